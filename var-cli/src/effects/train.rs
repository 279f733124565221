//! The options of `var train`.

use super::Differs::{Contents, Files, Judged, Log, Nothing, Refused, Start, Weights};
use super::{Row, Runs, check, check_defaults, check_same, row};

/// Two epochs of two iterations.
const BASE: &str = "--tokens=@tokens --vae=@small --depth=1 --bs=4 --iterations=4 --tblr=0.05 --seed=3 \
                    --log-every=1 --save-every=0 --sample-every=0";

/// Learns from images.
const PICTURES: &str = "!tokens --data=@data";
/// And with another VQVAE, whose file has no ladder.
const PUBLISHED: &str = "!tokens --data=@data --vae=@vae.safetensors";
/// And with one of two VQVAEs in a file.
const BOTH: &str = "!tokens --data=@data --vae=@vqvaes --pn=1_2_4";
/// Judges by tokens.
const JUDGED: &str = "--val-tokens=@tokens";
/// Coarse scales first.
const PROGRESSIVE: &str = "--pg=0.9 --pg0=1";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("ini", "", ["--ini=-1", "--ini=0.05"], Weights),
    row("hd", "", ["--hd=0.02", "--hd=0.5"], Weights),
    row("aln", "", ["--aln=0.5", "--aln=0.1"], Weights),
    row("alng", "", ["--alng=1e-5", "--alng=1e-3"], Weights),
    row("wpe", "", ["--wpe=0.01", "--wpe=0.1"], Weights),
    row("twd", "", ["--twd=0.05", "--twd=0.5"], Weights),
    row("twde", "", ["--twde=0", "--twde=0.5"], Weights),
    row("tclip", "", ["--tclip=2", "--tclip=0.01"], Weights),
    row("ls", "", ["--ls=0", "--ls=0.1"], Weights),
    row("cond-drop", "", ["--cond-drop=0", "--cond-drop=0.9"], Weights),
    row("drop-path", "--depth=2", ["--drop-path=0", "--drop-path=0.5"], Weights),
    row("ema", "", ["--ema=0", "--ema=0.5"], Weights),
    row("no-shuffle", "", ["", "--no-shuffle"], Weights),
    row("balance", "", ["--balance=0", "--balance=1"], Weights),
    row("anorm", "", ["--anorm=1", "--anorm=0"], Weights),
    row("saln", "", ["--saln=0", "--saln=1"], Weights),
    row("pgwp", "--pg=0.9 --pg0=1 --iterations=8", ["--pgwp=0.5", "--pgwp=3"], Weights),
    row("sche", "", ["--sche=lin0", "--sche=cos"], Weights),
    row("hflip", PICTURES, ["", "--hflip"], Weights),

    row("out", "", ["", "--seed=3"], Nothing),
    row("data", "!tokens", ["--data=@data", "--data=@other"], Contents),
    row("tokens", "", ["--tokens=@tokens", "--tokens=@other-tokens"], Contents),
    row("val-tokens", "", ["--val-tokens=@tokens", "--val-tokens=@other-tokens"], Judged("val_L_mean")),
    row("vae", PICTURES, ["--vae=@small", "--vae=@vae.safetensors --pn=1_2_4"], Contents),
    row("part", BOTH, ["--part=model", "--part=ema"], Contents),
    row("no-verify", "--init-from=@first/ckpt-last.safetensors", ["", "--no-verify"], Nothing),
    row("any-vae", "--init-from=@first/ckpt-last.safetensors", ["", "--any-vae"], Nothing),
    row("init-part", "--init-from=@transformers", ["--init-part=model", "--init-part=ema"], Start),
    row("workers", PICTURES, ["--workers=0", "--workers=2"], Nothing),
    row("mid-reso", PICTURES, ["--mid-reso=1", "--mid-reso=1.125"], Weights),
    row("aug", PICTURES, ["--aug=crop", "--aug=center"], Weights),
    row("depth", "", ["--depth=1", "--depth=2"], Weights),
    row("width", "", ["--width=64", "--width=128"], Weights),
    row("heads", "", ["--heads=1", "--heads=2"], Weights),
    row("pn", PUBLISHED, ["--pn=1_2_4", "--pn=1-4"], Weights),
    row("classes", "", ["--classes=2", "--classes=5"], Weights),
    row("init-from", "", ["", "--init-from=@first/ckpt-last.safetensors"], Start),
    row("bs", "", ["--bs=4", "--bs=8"], Weights),
    row("ac", "", ["--ac=1", "--ac=2"], Weights),
    row("recompute", "", ["", "--recompute"], Nothing),
    row("ep", "!iterations", ["--ep=1", "--ep=2"], Weights),
    row("iterations", "", ["--iterations=4", "--iterations=3"], Weights),
    row("tblr", "", ["--tblr=0.05", "--tblr=0.06"], Weights),
    row("wp", "", ["--wp=0.5", "--wp=1"], Weights),
    row("wp0", "--wp=0.5", ["--wp0=0.005", "--wp0=0.5"], Weights),
    row("fp16", "", ["--fp16=0", "--fp16=1"], Weights),
    row("fp16", "", ["--fp16=1", "--fp16=2"], Weights),
    row("pg", "--pg0=1", ["--pg=0.9", "--pg=0.3"], Weights),
    row("pg", "", ["--pg=0", PROGRESSIVE], Weights),
    row("pg0", "--pg=0.9", ["--pg0=0", "--pg0=1"], Weights),
    row("seed", "", ["--seed=3", "--seed=4"], Weights),
    row("save-every", "", ["--save-every=epoch", "--save-every=0"], Files("ckpt-2")),
    row("keep", "--save-every=1", ["--keep=1", "--keep=3"], Files("ckpt-2")),
    row("val-every", JUDGED, ["--val-every=1", "--val-every=end"], Log("val_L_mean")),
    row("val-every", JUDGED, ["--val-every=end", "--val-every=0"], Files("ckpt-best")),
    row("sample-every", "", ["--sample-every=end", "--sample-every=0"], Files("samples-")),
    row("log-every", "", ["--log-every=1", "--log-every=2"], Log("iter")),
    row("log-every", "", ["--log-every=2", "--log-every=0"], Log("iter")),
    row("details-every", "", ["--details-every=1", "--details-every=0"], Log("L_scale")),
    row("val-every", "", ["", "--val-every=1"], Refused("there is nothing to validate on")),
];

fn runs() -> Runs {
    let runs = Runs::new("train", BASE, "var.");
    for line in [
        "var tokenize @data --vae=@small -o @tokens -q",
        "var tokenize @other --vae=@small -o @other-tokens -q",
        "var train --tokens=@tokens --vae=@small --depth=1 --bs=4 --iterations=1 --seed=9 --sample-every=0 \
         --out=@first --alone -q",
    ] {
        runs.var(line).unwrap();
    }
    runs
}

/// Files that publish the weights of runs, one and two at a time.
fn publish(runs: &Runs) {
    let vae = "var train-vae --data=@data --ch=32 --ch-mult=1,1,1,1 --blocks=1 --latent=4 --codes=16 \
               --pn=1_2_4 --share-quant-resi=2 --disc-weight=0 --bs=4 --iterations=1 \
               --sample-every=0 --alone -q";
    runs.var(&format!("{vae} --out=@vae")).unwrap();
    runs.var(&format!("{vae} --seed=1 --out=@vae1")).unwrap();
    let var = "var train --tokens=@tokens --vae=@small --depth=1 --bs=4 --iterations=1 --sample-every=0 --alone -q";
    runs.var(&format!("{var} --out=@first1")).unwrap();
    let [one, other] = ["vae/ckpt-last.safetensors", "vae1/ckpt-last.safetensors"];
    runs.publish(&[[one, ""]], "vae.", "vae.safetensors");
    runs.publish(&[[one, "model."], [other, "ema."]], "vae.", "vqvaes");
    let [one, other] = ["first/ckpt-last.safetensors", "first1/ckpt-last.safetensors"];
    runs.publish(&[[one, "model."], [other, "ema."]], "var.", "transformers");
}

#[test]
fn train_options_each_have_an_effect() {
    let runs = runs();
    publish(&runs);
    let no_record = ["out", "part", "no-verify", "any-vae", "init-part", "recompute"];
    check(&runs, "train", ROWS, &no_record);
}

#[test]
fn train_options_that_are_not_typed_have_their_defaults() {
    let runs = runs();
    let with = "!tokens --data=@data --wp=0.5";
    check_defaults(&runs, "train", with, &["out", "ep", "pg0", "pgwp"]);
    check_same(
        &runs,
        &[
            ["", "--width=64 --heads=1 --classes=2"],
            ["--depth=2", "--depth=2 --drop-path=0.008333333333333333"],
            // A fiftieth of the run, and a three-hundredth.
            ["--iterations=100", "--iterations=100 --wp=1"],
            ["--pg=0.9 --pg0=1", "--pg=0.9 --pg0=1 --pgwp=0"],
            ["--twde=0", "--twde=0.05"],
            ["--hd=-1", "--hd=1"],
            ["--tclip=0", "--tclip=-1"],
            ["--saln --anorm", "--saln=True --anorm=1"],
        ],
    );
}

/// Options that were typed and decide nothing beside the others, and values that learn nothing.
#[test]
fn train_options_that_would_decide_nothing_are_refused() {
    let runs = runs();
    for (more, message) in [
        ("--hflip", "'--hflip' cannot be used with '--tokens <FILE>'"),
        ("--aug=crop", "'--aug <AUG>' cannot be used with '--tokens <FILE>'"),
        ("--mid-reso=1", "--mid-reso: goes with images"),
        ("--workers=2", "--workers: goes with images"),
        ("--val-tokens=@tokens --data=@data", "--data: --tokens and --val-tokens are in its place"),
        ("--data=@data/train", "--data: with --tokens it only validates"),
        ("--ema=1", "1 is not in 0..1"),
        ("--ls=1", "1 is not in 0..1"),
        ("--wp=3", "--wp 3: longer than the run of 2 epochs"),
        ("--wp0=0.1", "--wp0: the warm-up has no iteration"),
        ("--pg=0.5 --pg0=1 --sche=cos", "--sche: --pg 0.5 makes it lin0.5"),
        ("--pg=0.5", "--pg 0.5: nothing is learned later: --pg0 4 is the last of 4 scales"),
        (
            "--pg=0.1 --pg0=1 --wp=1",
            "--pg 0.1: all scales from iteration 0.4, which the warm-up of 2",
        ),
        ("--pg0=1", "--pg0: goes with --pg"),
        ("--pgwp=1", "--pgwp: goes with --pg"),
        ("--drop-path=0.1", "--drop-path: the first block is never passed by"),
        ("--init-from=@first/ckpt-last.safetensors --hd=1", "--hd: the weights are those of"),
        ("--init-from=@first/ckpt-last.safetensors --ini=1", "--ini: the weights are those of"),
        ("--force", "--force: --out goes on with the run that is there"),
        ("--opt=sgd", "'sgd' for '--opt': var train knows adamw"),
        ("--hd=NaN", "NaN is not finite"),
    ] {
        let fault = runs.outcome(more).err().unwrap_or_else(|| panic!("{more}: is taken"));
        assert!(fault.contains(message), "{more}: {fault}");
    }
    // --pg 1 obeys --sche: there is no lin1.
    let [lin, cos] = ["lin0", "cos"]
        .map(|sche| runs.outcome(&format!("--pg=1 --pg0=1 --sche={sche}")).unwrap().tensors);
    assert!(lin != cos);
}

#[test]
fn train_runs_of_constant_rates_may_be_lengthened() {
    let runs = runs();
    let short = "--wpe=1 --wp=0.5 --save-every=1 --iterations=2";
    let long = "--wpe=1 --wp=0.5 --save-every=1 --iterations=6";
    runs.outcome(short).unwrap();
    runs.go_on(short, long).unwrap();
    assert!(runs.left_by(short).tensors == runs.outcome(long).unwrap().tensors);
    // Of another schedule the rates of all iterations would be others.
    runs.outcome("").unwrap();
    let fault = runs.go_on("", "--iterations=9").unwrap_err();
    let message = "its learning rates depend on its length: a new run goes on from its weights";
    assert!(fault.contains(message) && fault.contains("/ckpt-last.safetensors"), "{fault}");
}
