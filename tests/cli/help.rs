//! Every option is in the help.

use super::Place;

/// The options of each command that users rely on.
const OPTIONS: [(&str, &[&str]); 18] = [
    (
        "convert",
        &["--dtype", "--ladder", "--heads", "--class-names", "--classes-file", "--inception", "-o"],
    ),
    ("info", &["--json", "[MODEL]"]),
    (
        "sample",
        &[
            "--class",
            "--count",
            "--per-class",
            "--seed",
            "--cfg",
            "--top-k",
            "--top-p",
            "--more-smooth",
            "--batch",
            "-o",
            "--grid",
            "--tokens",
            "--progressive",
            "--from",
            "--scales",
            "--reject",
            "--reject-scores",
            "WORLD_SIZE",
        ],
    ),
    (
        "train",
        &[
            "--data",
            "--tokens",
            "--vae",
            "--out",
            "--depth",
            "--width",
            "--heads",
            "--saln",
            "--anorm",
            "--pn",
            "--classes",
            "--bs",
            "--ac",
            "--ep",
            "--tblr",
            "--twd",
            "--twde",
            "--tclip",
            "--ls",
            "--wp",
            "--wp0",
            "--wpe",
            "--sche",
            "--fp16",
            "--alng",
            "--aln",
            "--hd",
            "--ini",
            "--pg",
            "--pg0",
            "--pgwp",
            "--hflip",
            "--mid-reso",
            "--seed",
            "--workers",
            "--drop-path",
            "--cond-drop",
            "--init-from",
            "--aug",
            "--no-shuffle",
            "--balance",
            "--ema",
            "--save-every",
            "--keep",
            "--val-every",
            "--sample-every",
        ],
    ),
    ("train-vae", &["--data", "--out", "--codes", "--lpips", "--disc-weight", "--codebook"]),
    ("validate", &["--data", "--tokens", "--json"]),
    ("encode", &["<IMAGE>...", "-o", "--no-exif"]),
    ("decode", &["<TOKENS>", "-o"]),
    ("reconstruct", &["<IMAGE>...", "-o", "--per-scale", "--no-exif", "--json"]),
    (
        "edit",
        &[
            "<IMAGE>",
            "--box",
            "--mask",
            "--outpaint",
            "--no-exif",
            "--class",
            "--seed",
            "--cfg",
            "--top-k",
            "-o",
        ],
    ),
    ("pack", &["<DIR>", "-o", "--side"]),
    ("statistics", &["-o", "--inception", "--images", "--side"]),
    ("evaluate", &["--reference", "--inception", "--any-size", "--side", "--json"]),
    ("scaling", &["<RUN>...", "-o", "--json"]),
    ("score", &["<IMAGE>...", "--classes", "--no-exif", "--json"]),
    (
        "tokenize",
        &[
            "<DATA>",
            "-o",
            "--split",
            "--crops",
            "--flip",
            "--batch",
            "--mid-reso",
            "--seed",
            "--workers",
        ],
    ),
    ("plot", &["<RUN>...", "-o", "--keys", "--smooth", "--columns", "--log-x", "--log-y"]),
    ("bench", &["--json", "--runs", "--batch", "--depth", "--dtype", "--whole", "--against"]),
];

#[cfg(feature = "serve")]
const SERVE: &[(&str, &[&str])] =
    &[("serve", &["--host", "--port", "--open", "--queue", "--batch"])];
#[cfg(not(feature = "serve"))]
const SERVE: &[(&str, &[&str])] = &[];

#[test]
fn help_names_every_option() {
    let place = Place::new();
    let all = place.var(&["--help"]);
    for (command, options) in OPTIONS.iter().chain(SERVE).copied() {
        assert!(all.contains(&format!("  {command} ")), "{command} is not in:\n{all}");
        let help = place.var(&[command, "--help"]);
        let common =
            ["--threads", "--isa", "--device", "--precision", "--force", "--alone", "--quiet"];
        let takes_none =
            ["train", "train-vae", "pack", "statistics", "evaluate", "scaling", "plot"];
        let model: &[&str] =
            if takes_none.contains(&command) { &[] } else { &["--model", "--var", "--vae"] };
        for option in options.iter().chain(&common).chain(model) {
            assert!(help.contains(option), "{command}: {option} is not in:\n{help}");
        }
    }
}

#[test]
fn version_is_the_packages() {
    let version = Place::new().var(&["--version"]);
    assert_eq!(version.trim(), format!("var {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn command_line_of_nothing_shows_the_commands() {
    let output = Place::new().command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Usage: var [OPTIONS] <COMMAND>"));
}

#[test]
fn help_names_the_options_of_training_a_vqvae() {
    let place = Place::new();
    assert!(place.var(&["--help"]).contains("  train-vae "));
    let help = place.var(&["train-vae", "--help"]);
    for option in [
        "--data",
        "--out",
        "--ch",
        "--ch-mult",
        "--blocks",
        "--latent",
        "--codes",
        "--pn",
        "--share-quant-resi",
        "--bs",
        "--ac",
        "--ep",
        "--lr",
        "--wd",
        "--clip",
        "--ema",
        "--seed",
        "--workers",
        "--hflip",
        "--mid-reso",
        "--lpips",
        "--lpips-min-side",
        "--disc-weight",
        "--disc-start",
        "--codebook",
        "--spread",
        "--revive",
        "--val-every",
        "--save-every",
        "--keep",
        "--sample-every",
    ] {
        assert!(help.contains(option), "{option} is not in:\n{help}");
    }
}
