//! The options of `var train-vae`.

use super::Differs::{Contents, Files, Log, Nothing, Refused, Start, Weights};
use super::{Row, Runs, check, check_defaults, check_same, row};

/// Two epochs of two iterations, of images of 16 × 16.
const BASE: &str = "--data=@data --ch=32 --ch-mult=1,1 --blocks=1 --latent=4 --codes=16 --pn=1_2_8 \
                    --share-quant-resi=2 --disc-channels=8 --disc-start=0 --disc-warmup=0 --bs=4 \
                    --iterations=4 --lr=1e-3 --seed=3 --log-every=1 --save-every=0 --sample-every=0 \
                    --val-every=0";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("out", "", ["", "--seed=3"], Nothing),
    row("data", "", ["--data=@data", "--data=@other"], Contents),
    row("init-from", "", ["", "--init-from=@start/ckpt-last.safetensors"], Start),
    row("no-verify", "--init-from=@start/ckpt-last.safetensors", ["", "--no-verify"], Nothing),
    row("workers", "", ["--workers=0", "--workers=2"], Nothing),
    row("hflip", "", ["", "--hflip"], Weights),
    row("mid-reso", "", ["--mid-reso=1", "--mid-reso=1.125"], Weights),
    row("aug", "", ["--aug=crop", "--aug=center"], Weights),
    row("no-shuffle", "", ["", "--no-shuffle"], Weights),
    row("balance", "", ["--balance=0", "--balance=1"], Weights),
    row("ch", "", ["--ch=32", "--ch=64"], Weights),
    row("ch-mult", "", ["--ch-mult=1,1", "--ch-mult=1,2"], Weights),
    row("blocks", "", ["--blocks=1", "--blocks=2"], Weights),
    row("latent", "", ["--latent=4", "--latent=8"], Weights),
    row("codes", "", ["--codes=16", "--codes=32"], Weights),
    row("pn", "", ["--pn=1_2_8", "--pn=1-4-8"], Weights),
    row("share-quant-resi", "", ["--share-quant-resi=2", "--share-quant-resi=1"], Weights),
    row("l1", "", ["--l1=0.2", "--l1=1"], Weights),
    row("l2", "", ["--l2=1", "--l2=0.5"], Weights),
    row("lpips", "", ["", "--lpips=@none"], Refused("none")),
    row("lpips-weight", "", ["", "--lpips-weight=2"], Refused("--lpips-weight: goes with --lpips")),
    row("lpips-min-side", "", ["", "--lpips-min-side=8"], Refused("--lpips-min-side: goes with")),
    row("vq", "", ["--vq=1", "--vq=2"], Weights),
    row("spread", "", ["--spread=0.05", "--spread=0.5"], Weights),
    row("disc-weight", "!disc-channels !disc-start !disc-warmup", ["--disc-weight=0.4 --disc-start=0", "--disc-weight=0"], Weights),
    row("disc-start", "", ["--disc-start=0", "--disc-start=0.5"], Weights),
    row("disc-warmup", "", ["--disc-warmup=0", "--disc-warmup=0.5"], Weights),
    row("disc-channels", "", ["--disc-channels=8", "--disc-channels=16"], Weights),
    row("bs", "", ["--bs=4", "--bs=8"], Weights),
    row("ac", "", ["--ac=1", "--ac=2"], Weights),
    row("ep", "!iterations", ["--ep=1", "--ep=2"], Weights),
    row("iterations", "", ["--iterations=4", "--iterations=3"], Weights),
    row("lr", "", ["--lr=1e-3", "--lr=2e-3"], Weights),
    row("wd", "", ["--wd=5e-3", "--wd=0.5"], Weights),
    row("clip", "", ["--clip=10", "--clip=0.01"], Weights),
    row("wp", "", ["--wp=0.25", "--wp=0.5"], Weights),
    row("wp0", "--wp=0.5", ["--wp0=0.005", "--wp0=0.5"], Weights),
    row("wpe", "", ["--wpe=0.3", "--wpe=1"], Weights),
    row("ema", "", ["--ema=0", "--ema=0.5"], Weights),
    row("codebook", "", ["--codebook=ema", "--codebook=gradient"], Weights),
    row("codebook-decay", "", ["--codebook-decay=0.99", "--codebook-decay=0.5"], Weights),
    row("revive", "", ["--revive=0.9", "--revive=0"], Weights),
    row("gain", "", ["--gain=0.5", "--gain=1"], Weights),
    row("seed", "", ["--seed=3", "--seed=4"], Weights),
    row("save-every", "", ["--save-every=epoch", "--save-every=0"], Files("ckpt-2")),
    row("keep", "--save-every=1", ["--keep=1", "--keep=3"], Files("ckpt-2")),
    row("val-every", "", ["--val-every=1", "--val-every=end"], Log("val_psnr")),
    row("val-every", "", ["--val-every=end", "--val-every=0"], Files("ckpt-best")),
    row("sample-every", "", ["--sample-every=end", "--sample-every=0"], Files("reconstructions-")),
    row("log-every", "", ["--log-every=1", "--log-every=2"], Log("iter")),
    row("log-every", "", ["--log-every=2", "--log-every=0"], Log("iter")),
];

fn runs() -> Runs {
    Runs::new("train-vae", BASE, "vae.")
}

#[test]
fn train_vae_options_each_have_an_effect() {
    let runs = runs();
    let start = BASE.replace("--seed=3", "--seed=9");
    runs.var(&format!("var train-vae {start} --out=@start --alone -q")).unwrap();
    check(&runs, "train-vae", ROWS, &["out", "no-verify"]);
}

#[test]
fn train_vae_options_that_are_not_typed_have_their_defaults() {
    let runs = runs();
    check_defaults(
        &runs,
        "train-vae",
        "--wp=0.5",
        &["out", "ep", "lpips-weight", "lpips-min-side"],
    );
    check_same(&runs, &[["--clip=0", "--clip=-1"]]);
}

/// Options that were typed and decide nothing beside the others, and values that learn nothing.
#[test]
fn train_vae_options_that_would_decide_nothing_are_refused() {
    let runs = runs();
    for (more, message) in [
        ("--disc-weight=0", "--disc-start: --disc-weight 0 means no discriminator"),
        ("--codebook=gradient --codebook-decay=0.5", "--codebook-decay: goes with --codebook ema"),
        ("--wp=0 --wp0=0.5", "--wp0: --wp 0 means no warm-up"),
        ("--ema=1", "1 is not in 0..1"),
        ("--codebook-decay=1", "1 is not in 0..1"),
        ("--lpips=@data/train/ant/0.png", "not a checkpoint"),
        ("--force", "--force: --out goes on with the run that is there"),
    ] {
        let fault = runs.outcome(more).err().unwrap_or_else(|| panic!("{more}: is taken"));
        assert!(fault.contains(message), "{more}: {fault}");
    }
    runs.outcome("").unwrap();
    let fault = runs.go_on("", "--iterations=9").unwrap_err();
    assert!(
        fault.contains("its learning rates depend on its length: a new run goes on from"),
        "{fault}"
    );
}
