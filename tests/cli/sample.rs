//! `var sample`: the reference's images, the same bytes whatever computes them.

use std::fs;

use safetensors::SafeTensors;
use var_host::images;
use var_kernel::sample::random::Philox;

use super::{Place, REFERENCE, fixture, isas, small_model, succeeds};

/// Names of the files `sample -o out/` writes for classes 0 to 9.
pub(super) fn names() -> Vec<String> {
    (0..10).map(|index| format!("out/{index:06}-class{index}.png")).collect()
}

#[test]
fn sample_without_options_makes_a_grid_of_sixteen() {
    let place = Place::new();
    let said = succeeds(&mut place.command_as_typed(&["sample"]));
    assert!(said.starts_with("samples.png: 16 images of 64 × 64\n"), "{said}");
    assert_eq!(place.names(), ["samples.png"]);
    let picture = place.picture("samples.png");
    // Four columns of 64 and three gaps of 2.
    assert_eq!((picture.width(), picture.height()), (262, 262));
    let parameters = place.parameters("samples.png");
    for (keyword, text) in [
        ("Software", "var"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("command", "sample"),
        ("model", "built-in"),
        ("seed", "0"),
        ("cfg", "1.5"),
        ("temperature", "1"),
        ("top_k", "900"),
        ("top_p", "0.96"),
        ("more_smooth", "false"),
        ("index", "0..16"),
    ] {
        assert_eq!(parameters[keyword], text, "{keyword}");
    }
    assert_eq!(parameters["class"].split(',').count(), 16);

    // Its own image it replaces; another's it does not, unless told to.
    place.var(&["sample", "--seed", "1", "-q"]);
    assert_ne!(place.picture("samples.png"), picture);
    images::write_png(&place.path("samples.png"), &picture, &Default::default(), true).unwrap();
    place.refused(&["sample"], 1, "samples.png: exists already; --force overwrites it");
    assert_eq!(place.picture("samples.png"), picture);
    place.var(&["sample", "--force"]);
    assert_eq!(place.parameters("samples.png")["seed"], "0");
}

#[test]
fn tokens_and_pictures_are_the_references() {
    let fashion = fixture("fashion_reference.safetensors");
    are_the_references(&["--model", &fashion], "fashion_reference", &[1, 2, 3, 4]);
    are_the_references(&[], "default", &[1, 2, 3, 4, 6, 8]);
}

/// Compares ten images of a model with those of the reference code in `{name}.expected.safetensors`.
fn are_the_references(model: &[&str], name: &str, ladder: &[u32]) {
    let place = Place::new();
    let options = ["-o", "out/", "--tokens", "tokens.safetensors"];
    let arguments = [&REFERENCE[..], model, &options].concat();
    succeeds(&mut place.command_as_typed(&arguments));
    let file = fs::read(fixture(&format!("{name}.expected.safetensors"))).unwrap();
    let expected = SafeTensors::deserialize(&file).unwrap();
    let expected_tokens = expected.tensor("sample.tokens").unwrap();
    let tokens = place.tokens("tokens.safetensors");
    let bytes: Vec<u8> = tokens.tokens().iter().flat_map(|token| token.to_le_bytes()).collect();
    assert_eq!(bytes, expected_tokens.data(), "{name}");
    assert_eq!(tokens.labels(), Some(&Vec::from_iter(0..10)[..]));
    assert_eq!(tokens.ladder(), ladder);

    let images = expected.tensor("sample.image_u8").unwrap();
    let pixels = images.shape()[2] * images.shape()[3];
    for (name, expected) in names().iter().zip(images.data().chunks_exact(3 * pixels)) {
        let picture = place.picture(name);
        assert_eq!(picture.rgb().len(), 3 * pixels);
        for (pixel, rgb) in picture.rgb().chunks_exact(3).enumerate() {
            for channel in 0..3 {
                let wants = expected[channel * pixels + pixel];
                let off = rgb[channel].abs_diff(wants);
                assert!(off <= 2, "{name}: pixel {pixel}, channel {channel} is off by {off}");
            }
        }
    }
}

#[test]
fn bytes_do_not_depend_on_what_computes_them() {
    let place = Place::new();
    let run = |options: &[&str]| {
        // -1 among them: a batch of both kinds is computed apart and put in order again.
        let base =
            ["sample", "--class", "0-4,-1,7", "--cfg", "3", "--top-k", "50", "--force", "-q"];
        place.var(&[&base[..], options, &["--tokens", "t"]].concat());
        (place.bytes("samples.png"), place.bytes("t"))
    };
    let expected = run(&["--threads", "1", "--batch", "1"]);
    for threads in ["1", "2", "3"] {
        for batch in ["3", "16"] {
            let same = run(&["--threads", threads, "--batch", batch]) == expected;
            assert!(same, "{threads} threads, batch {batch}");
        }
    }
    for isa in isas() {
        assert!(run(&["--isa", isa]) == expected, "{isa}");
    }
    let smooth = run(&["--more-smooth", "--isa", "portable", "--batch", "1"]);
    assert!(smooth != expected);
    for isa in isas() {
        assert!(run(&["--more-smooth", "--isa", isa]) == smooth, "{isa}, smooth");
    }
}

#[test]
fn temperature_near_zero_draws_the_likeliest() {
    let place = Place::new();
    let run = |options: &[&str]| {
        let base = ["sample", "--class", "0-9", "--seed", "7", "--top-p", "0", "--force", "-q"];
        place.var(&[&base[..], options, &["--tokens", "t"]].concat());
        place.tokens("t").tokens().to_vec()
    };
    let likeliest = run(&["--top-k", "1"]);
    assert_eq!(run(&["--top-k", "0", "--temperature", "0.01"]), likeliest);
    assert_eq!(place.parameters("samples.png")["temperature"], "0.01");
    assert_ne!(run(&["--top-k", "0"]), likeliest);
}

#[test]
fn image_depends_on_its_index_alone() {
    let place = Place::new();
    place.var(&["sample", "--count", "3", "-q", "-o", "few/"]);
    place.var(&["sample", "--count", "9", "-q", "-o", "many/"]);
    let few: Vec<String> = place
        .names()
        .into_iter()
        .filter_map(|name| Some(name.strip_prefix("few/")?.to_owned()))
        .filter(|name| name.ends_with(".png"))
        .collect();
    assert_eq!(few.len(), 3);
    for name in few {
        assert_eq!(
            place.bytes(&format!("few/{name}")),
            place.bytes(&format!("many/{name}")),
            "{name}"
        );
    }
}

#[test]
fn classes_by_number_and_name() {
    let place = Place::new();
    // Without one they are drawn by the seed.
    place.var(&["sample", "--seed", "7", "--count", "4", "-q"]);
    let drawn = [0, 1, 2, 3].map(|image| Philox::new(7).label(image, 10).to_string());
    assert_eq!(place.parameters("samples.png")["class"], drawn.join(","));
    let class = |options: &[&str]| {
        place.var(&[&["sample", "-q"], options].concat());
        place.parameters("samples.png")["class"].clone()
    };
    assert_eq!(class(&["--class", "boot, SNEAKER,t-shirt"]), "9,7,0");
    assert_eq!(class(&["--class", "-1"]), "-1");
    assert_eq!(class(&["--class=2-4", "--count", "5"]), "2,3,4,2,3");
    assert_eq!(class(&["--class", "1,2", "--per-class", "2"]), "1,1,2,2");
    assert_eq!(class(&["--class", "all"]), "0,1,2,3,4,5,6,7,8,9");
    assert_eq!(class(&["--per-class", "1"]), "0,1,2,3,4,5,6,7,8,9");
}

#[test]
fn processes_share_the_work() {
    let place = Place::new();
    let run = [&REFERENCE[..], &["-o", "shared/"]].concat();
    for rank in ["0", "1", "2"] {
        let mut command = place.command(&run);
        let status = command.env("RANK", rank).env("WORLD_SIZE", "3").status().unwrap();
        assert!(status.success(), "rank {rank}");
        let made = place.names().len() - 3;
        assert_eq!(made, [4, 7, 10][rank.parse::<usize>().unwrap()], "after rank {rank}");
    }
    place.var(&[&REFERENCE[..], &["-o", "out/"]].concat());
    for name in names() {
        assert_eq!(place.bytes(&name), place.bytes(&name.replace("out", "shared")), "{name}");
    }
    let mut command = place.command(&["sample"]);
    command.env("RANK", "0").env("WORLD_SIZE", "3");
    let message = "3 processes: only -o DIR/ without --tokens can be shared out (rank 0 of 3, from RANK \
                   and WORLD_SIZE";
    place.refused_by(&mut command, 2, message);
    let mut command = place.command(&run);
    command.env("RANK", "3").env("WORLD_SIZE", "3");
    place.refused_by(&mut command, 2, "RANK is 3 in the environment, WORLD_SIZE 3");
}

/// Samples for evaluation: so many of every class, each with random numbers of its own.
#[test]
fn every_image_of_every_class_is_another() {
    let place = Place::new();
    let run = ["sample", "--per-class", "6", "--class", "all", "-o", "made/"];
    // One of two processes, of which the other never ran; then one alone makes the missing images.
    let mut command = place.command(&run);
    let half = command.env("RANK", "1").env("WORLD_SIZE", "2").output().unwrap();
    let share = "rank 1 of 2, from RANK and WORLD_SIZE: makes 30 of 60 images\n";
    assert!(String::from_utf8(half.stderr).unwrap().starts_with(share));
    assert_eq!(
        String::from_utf8(half.stdout).unwrap(),
        "made/: 30 images made, 0 were there already\n"
    );
    assert_eq!(place.var(&run), "made/: 30 images made, 30 were there already\n");
    let pictures: Vec<_> = (0..60)
        .map(|index| place.picture(&format!("made/{index:06}-class{}.png", index / 6)))
        .collect();
    for (index, picture) in pictures.iter().enumerate() {
        let same = pictures[..index].iter().position(|other| other == picture);
        assert_eq!(same, None, "image {index} is that image again");
    }
    assert_eq!(place.names().len(), 3 + 60);
}

/// R01b: a launcher's stale environment cuts no work silently.
#[test]
fn sample_says_which_share_of_the_images_it_makes() {
    let place = Place::new();
    let made = |variables: &[(&str, &str)], arguments: &[&str]| {
        let run = [&["sample", "--count", "4", "-q", "--force", "-o", "made/"], arguments].concat();
        let mut command = place.command(&run);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let pictures = place.names().iter().filter(|name| name.ends_with(".png")).count();
        fs::remove_dir_all(place.path("made")).unwrap();
        (pictures, said)
    };
    let stale = [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "4"), ("SLURM_STEP_ID", "0")];
    let line = "rank 1 of 4, from SLURM_PROCID and SLURM_NTASKS: makes 1 of 4 images\n";
    assert_eq!(made(&stale, &[]), (1, line.to_owned()));
    assert_eq!(made(&stale, &["--alone"]), (4, String::new()));
    assert_eq!(made(&[&stale[..], &[("VAR_ALONE", "1")]].concat(), &[]), (4, String::new()));
    // A batch script that exports an address for a later srun is no task of it.
    let script = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4"), ("MASTER_ADDR", "localhost")];
    let line = "one process alone: SLURM_NTASKS is 4, but srun did not start this one\n";
    assert_eq!(made(&script, &[]), (4, line.to_owned()));

    let refused = |variables: &[(&str, &str)], message: &str| {
        let mut command = place.command(&["sample", "--count", "4", "-o", "made/"]);
        place.refused_by(command.envs(variables.iter().copied()), 2, message);
    };
    refused(&[("RANK", "1")], "RANK is 1 in the environment, WORLD_SIZE is not set");
    refused(&[("LOCAL_RANK", "1")], "LOCAL_RANK is 1 in the environment, RANK is not set");
    let by_hand = [&stale[..], &[("RANK", "0"), ("WORLD_SIZE", "4")]].concat();
    refused(&by_hand, "say 0 of 4, SLURM_PROCID and SLURM_NTASKS 1 of 4");
    assert!(place.names().is_empty());

    // Commands that write one file do all of the work, and say so.
    place.var(&["sample", "--count", "2", "-q", "-o", "two/"]);
    let output = place.command(&["pack", "two", "-o", "two.npz"]).envs(stale).output().unwrap();
    let line = "var: rank 1 of 4, from SLURM_PROCID and SLURM_NTASKS: this command does not share its \
                work, each process does all of it\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), line);
    assert!(output.stdout.starts_with(b"two.npz: 2 images of 32 "));
}

#[test]
fn rejection_keeps_the_best_candidate() {
    use var_host::engine::Engine;
    use var_host::model::{Hints, Weights};
    use var_kernel::cpu::Isa;

    let place = Place::new();
    let common = ["sample", "--class", "2,5", "--seed", "7", "-q"];
    let all = ["--per-class", "6", "-o", "all/", "--tokens", "all.tokens"];
    place.var(&[&common[..], &all].concat());
    let best = ["--per-class", "2", "--reject", "3", "-o", "best/", "--tokens", "best.tokens"];
    place.var(&[&common[..], &best].concat());
    let parameters = place.parameters("best/000003-class5.png");
    assert_eq!((&*parameters["reject"], &*parameters["reject_by"]), ("3", "likelihood"));

    // How much likelier under its class than under none.
    let path = small_model();
    let weights = Weights::open(path.as_ref(), &Hints::default()).unwrap();
    let mut engine = Engine::new(&weights, 1, Isa::best()).unwrap();
    let (all, best) = (place.tokens("all.tokens"), place.tokens("best.tokens"));
    let mut winners = Vec::new();
    for (image, candidates) in all.tokens().chunks_exact(3 * 30).enumerate() {
        let mut scores = candidates.chunks_exact(30).map(|tokens| {
            let tokens: Vec<u32> = tokens.iter().map(|token| *token as u32).collect();
            let mut nats = |label: u32| -> f64 {
                let nll = engine.nll(&tokens, label).unwrap();
                nll.iter().map(|nats| f64::from(*nats)).sum()
            };
            nats(10) - nats([2, 5][image / 2])
        });
        let scores: [f64; 3] = core::array::from_fn(|_| scores.next().unwrap());
        let top = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        assert_eq!(
            best.tokens()[image * 30..][..30],
            candidates[top * 30..][..30],
            "image {image}"
        );
        let class = [2, 5][image / 2];
        let kept = place.picture(&format!("best/{image:06}-class{class}.png"));
        let candidate = image * 3 + top;
        assert_eq!(kept, place.picture(&format!("all/{candidate:06}-class{class}.png")));
        winners.push(top);
    }
    assert!(winners.iter().any(|top| *top != winners[0]), "the first is always best: {winners:?}");

    // A user's scores: the second of each three, but the first of the last image.
    let score = |index: u32| if index % 3 == u32::from(index < 9) { "0.9" } else { "0.1" };
    let lines: String = (0..12).map(|index| format!("{index},{}\n", score(index))).collect();
    fs::write(place.path("scores.csv"), format!("index,score\n{lines}")).unwrap();
    let by_file = ["--per-class", "2", "--reject", "3", "--reject-scores", "scores.csv"];
    place.var(&[&common[..], &by_file, &["-o", "by-file/", "--batch", "2"]].concat());
    for (image, candidate) in [(0, 1), (1, 4), (2, 7), (3, 9)] {
        let class = [2, 5][image / 2];
        let kept = place.picture(&format!("by-file/{image:06}-class{class}.png"));
        assert_eq!(kept, place.picture(&format!("all/{candidate:06}-class{class}.png")));
    }
    // Resumes, and does not mix with images that were not chosen so.
    place.var(&[&common[..], &by_file, &["-o", "by-file/"]].concat());
    let plain = [&common[..], &["--per-class", "2", "-o", "by-file/"]].concat();
    place.refused(&plain, 1, "was made with reject 3, wanted is without");
    fs::write(place.path("few.csv"), "0,1\n").unwrap();
    let few = ["--reject", "2", "--reject-scores", "few.csv", "-o", "few/"];
    place.refused_by(
        &mut place.command(&[&common[..], &few].concat()),
        1,
        "--reject-scores: no score of candidate 1; image 0 has 2",
    );
}

#[test]
fn first_scales_of_a_run_give_its_pictures_again() {
    let place = Place::new();
    place.var(&[&REFERENCE[..], &["-o", "all.png", "--tokens", "all"]].concat());
    for scales in ["1", "3", "4"] {
        let options = ["-o", "from.png", "--tokens", "from", "--from", "all", "--scales", scales];
        // Classes and their number come with the tokens.
        let run = [&["sample"], &REFERENCE[3..], &options, &["--force"]].concat();
        place.var(&run);
        assert_eq!(place.tokens("from"), place.tokens("all"), "{scales} scales");
        assert_eq!(place.picture("from.png"), place.picture("all.png"), "{scales} scales");
    }
    assert_eq!(place.parameters("from.png")["scales"], "4");

    // With another seed only the given scales are the same.
    let run =
        ["sample", "--seed", "9", "--from", "all", "--scales", "2", "--tokens", "other", "-q"];
    place.var(&run);
    let (all, other) = (place.tokens("all"), place.tokens("other"));
    for (all, other) in all.tokens().chunks(30).zip(other.tokens().chunks(30)) {
        assert_eq!(all[..5], other[..5]);
    }
    assert_ne!(all.tokens(), other.tokens());
    // What was drawn without a class goes on without one.
    place.var(&["sample", "--class", "3,-1", "--tokens", "some", "-q", "--force"]);
    let run = ["sample", "--from", "some", "--scales", "1", "--tokens", "again", "-q", "--force"];
    place.var(&run);
    assert_eq!(place.tokens("again"), place.tokens("some"));
    place.refused(
        &["sample", "--from", "all", "--scales", "5"],
        1,
        "--scales 5: the model has 1 to 4",
    );
    place.refused(&["sample", "--from", "all"], 2, "--scales <K>");
}

#[test]
fn every_scale_has_its_picture() {
    let place = Place::new();
    place.var(&["sample", "--class", "3,-1", "--progressive", "steps", "-o", "out/", "-q"]);
    for name in ["000000-class3", "000001-none"] {
        let steps: Vec<_> = (0..4)
            .map(|scale| place.picture(&format!("steps/{name}-scale{scale:02}.png")))
            .collect();
        assert!(steps.windows(2).all(|pair| pair[0] != pair[1]), "{name}");
        assert_eq!(steps[3], place.picture(&format!("out/{name}.png")));
    }
    assert_eq!(place.names().len(), 2 + 8 + 2 + 4);
}
