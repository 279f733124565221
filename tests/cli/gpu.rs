//! `--device`: GPUs that are there, that are not, and that refuse. The driver is the emulator's, as a fake that
//! computes nothing.

use super::Place;

/// Options for GPUs are refused by name where the build has none.
#[cfg(not(feature = "cuda"))]
#[test]
fn build_without_gpus_says_so() {
    let place = Place::new();
    let only = "this build computes on the CPU only";
    for (options, message) in [
        (["--device", "cuda"], format!("--device cuda: {only}: use --device cpu, or build with")),
        (["--device", "cuda:3"], format!("--device cuda:3: {only}")),
        (["--precision", "f16"], format!("--precision goes with --device cuda: {only}, in f32")),
    ] {
        place.refused(&["sample", options[0], options[1]], 1, &message);
    }
    for precision in ["f16", "tf32"] {
        let cpu = ["sample", "--device", "cpu", "--precision", precision];
        place.refused(
            &cpu,
            2,
            "--precision goes with --device cuda: the processor computes in f32",
        );
    }
}

#[cfg(feature = "cuda")]
mod with_gpus {
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Output};

    use var_host::checkpoint::Checkpoint;
    use var_testing::cuda::emulator;

    use super::super::fixture;
    use super::Place;
    use crate::launch::ProcessGroup;

    const SMALL: [&str; 7] = ["sample", "--count", "2", "--seed", "3", "-o", "out.png"];

    /// Puts the emulator's driver and, if wanted, its NVRTC into `folder`; false if there is no emulator.
    fn build(folder: &Path, nvrtc: bool) -> bool {
        let libraries = ["libcuda.so", "libnvrtc.so"];
        emulator::link_or_skip(folder, &libraries[..1 + usize::from(nvrtc)])
    }

    /// `var` with the fake driver in `folder`.
    fn command(place: &Place, folder: &Path, fake: &str, arguments: &[&str]) -> Command {
        let mut command = place.command(arguments);
        command.env("LD_LIBRARY_PATH", folder).env("VAR_FAKE_GPU", fake);
        command.env("VAR_CUBINS", folder.join("cubins"));
        command
    }

    #[test]
    fn machine_without_a_driver_says_so_or_computes_on_the_processor() {
        let (place, none) = (Place::new(), tempfile::tempdir().unwrap());
        if Path::new("/dev/nvidiactl").exists() {
            eprintln!("skipped: this machine has a driver");
            return;
        }
        let on = |device: &[&str]| command(&place, none.path(), "", &[&SMALL[..], device].concat());
        for name in ["cuda", "cuda:1"] {
            let message = format!("--device {name}: there is no NVIDIA driver on this machine");
            place.refused_by(&mut on(&["--device", name]), 1, &message);
        }
        let outputs = [&["--device", "cpu"][..], &[], &["--quiet"]].map(|device| {
            let output = on(device).output().unwrap();
            let faults = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{faults}");
            let picture = fs::read(place.path("out.png")).unwrap();
            fs::remove_file(place.path("out.png")).unwrap();
            (picture, faults)
        });
        let line = "computing on the processor, in f32: ";
        let silent = outputs.each_ref().map(|(_, faults)| !faults.contains(line));
        assert_eq!(silent, [true; 3], "{:?}", outputs[1].1);
        assert!(outputs.iter().all(|(picture, _)| *picture == outputs[0].0), "other bytes");
    }

    #[test]
    fn gpu_that_cannot_be_used_is_named() {
        let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
        if !build(folder.path(), true) {
            return;
        }
        for (fake, device, message) in [
            ("none", "cuda", "--device cuda: the NVIDIA driver finds no GPU"),
            (
                "stub",
                "cuda",
                "a stub of the CUDA toolkit, to link with: take the folder `stubs` out of",
            ),
            (
                "",
                "cuda:5",
                "--device cuda:5: there is no GPU number 5: the driver finds 1, counted from 0",
            ),
            (
                "old-driver",
                "cuda",
                "serves CUDA 12.4, this program wants 12.8 or newer: update the driver",
            ),
            (
                "old-gpu",
                "cuda",
                "fake GPU has compute capability 7.5, this program wants 8.0 or newer",
            ),
            ("busy", "cuda", "using the GPU: all CUDA-capable devices are busy or unavailable"),
            ("new-gpu", "cuda", "NVRTC 13.0 does not compile for GPUs of compute capability 9.0"),
            ("lost", "cuda", "the GPU failed, in kernel"),
        ] {
            let arguments = [&SMALL[..], &["--device", device]].concat();
            place.refused_by(&mut command(&place, folder.path(), fake, &arguments), 1, message);
            assert!(place.names().is_empty(), "{fake}: wrote {:?}", place.names());
        }
    }

    #[test]
    fn full_gpu_says_what_was_asked_and_what_is_free() {
        let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
        if !build(folder.path(), true) {
            return;
        }
        let batch =
            ["sample", "--count", "512", "--batch", "512", "-o", "o.png", "--device", "cuda"];
        // The tests' own model fits the tiny one.
        let large = fixture("../var-host/src/model/default.safetensors");
        let one = [&SMALL[..], &["--model", &large, "--device", "cuda"]].concat();
        for (fake, arguments, message) in [
            ("full", &batch[..], "--batch 512 takes "),
            ("full", &batch, " of memory, the GPU has "),
            ("tiny", &one, "MiB of memory of the GPU cannot be had: "),
            (
                "tiny",
                &one,
                "MiB of 8.0 MiB are free: try a smaller batch, another GPU or the processor",
            ),
        ] {
            place.refused_by(&mut command(&place, folder.path(), fake, arguments), 1, message);
            assert!(place.names().is_empty(), "{fake}: wrote {:?}", place.names());
        }
    }

    #[test]
    fn machine_without_nvrtc_says_what_to_install() {
        let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
        if !build(folder.path(), false) {
            return;
        }
        let arguments = [&SMALL[..], &["--device", "cuda"]].concat();
        let message =
            "NVRTC, which compiles kernels, is not on this machine: install the CUDA toolkit";
        place.refused_by(&mut command(&place, folder.path(), "", &arguments), 1, message);
    }

    /// The host's side of training: data, steps, validation, checkpoints; then a GPU that is lost on the
    /// way.
    #[test]
    fn gpu_lost_while_training_leaves_the_checkpoint_whole() {
        let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
        if !build(folder.path(), true) {
            return;
        }
        crate::cli::train::data(&place);
        for (train, more) in [
            ("train", &["--vae", "built-in", "--depth", "1", "--width", "64", "--fp16", "1"][..]),
            (
                "train-vae",
                &[
                    "--ch",
                    "32",
                    "--ch-mult",
                    "1,1",
                    "--blocks",
                    "1",
                    "--pn",
                    "1_2_4",
                    "--share-quant-resi",
                    "1",
                ],
            ),
        ] {
            let options = ["--data", "data", "--bs", "4", "--iterations", "6", "--save-every", "2"];
            let run = |fake: &str, out: &str, launches: u32| {
                let out = ["-q", "--out", out, "--device", "cuda"];
                let arguments = [&[train][..], &options, more, &out].concat();
                let mut command = command(&place, folder.path(), fake, &arguments);
                command.env("VAR_FAKE_LAUNCHES", launches.to_string());
                command
            };
            let whole = format!("whole-{train}");
            let Output { status, stdout, stderr } = run("counting", &whole, 0).output().unwrap();
            let faults = String::from_utf8(stderr).unwrap();
            assert!(status.success() && !faults.contains("fake driver:"), "{train}: {faults}");
            let said = String::from_utf8(stdout).unwrap();
            let line = said.lines().find(|line| line.starts_with("launches ")).expect("counted");
            let launches = line[9..].split(',').next().unwrap().parse::<u32>().unwrap();
            assert!(launches > 300, "{line}");
            // From the second step on: the passes forwards and backwards of a transformer, encoder, decoder
            // and the way back of a VQVAE.
            let graphs = line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
            println!("{train}: {line}");
            assert!(graphs >= if train == "train" { 10 } else { 15 }, "{line}");
            let iterations = |out: &str| {
                let last = place.path(out).join("ckpt-last.safetensors");
                let checkpoint = Checkpoint::open(&last).unwrap();
                let state: serde_json::Value =
                    serde_json::from_str(&checkpoint.metadata()["train"]).unwrap();
                state["iterations"].as_u64().unwrap()
            };
            assert_eq!(iterations(&whole), 6, "{train}");
            let lost = format!("lost-{train}");
            place.refused_by(&mut run("lost", &lost, launches * 3 / 4), 1, "the GPU failed");
            let done = iterations(&lost);
            assert!((2..6).contains(&done) && done % 2 == 0, "{train}: {done}");
            // And the run goes on from there.
            let output = run("counting", &lost, 0).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(iterations(&lost), 6, "{train}");
        }
    }

    /// Two ranks on two GPUs: they add up over the GPUs, and a rank that dies ends the one that waits.
    #[test]
    fn ranks_add_up_over_their_gpus() {
        let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
        if !build(folder.path(), true) {
            return;
        }
        crate::cli::train::data(&place);
        let rank = |fake: &str, out: &str, width: &str| {
            let arguments = [
                "train",
                "--vae",
                "built-in",
                "--data",
                "data",
                "--bs",
                "4",
                "--depth",
                "1",
                "--width",
                width,
                "--iterations",
                "4",
                "--out",
                out,
                "--device",
                "cuda",
            ];
            command(&place, folder.path(), fake, &arguments)
        };
        let limit = core::time::Duration::from_secs(120);
        // Without NCCL, and with it under the name that the wheel and run-time packages install.
        let over_host = ProcessGroup::start([0, 1].map(|_| rank("pair", "over-host", "64")));
        for output in over_host.wait(limit) {
            let faults = crate::cli::faults(&output);
            assert!(output.status.success() && !faults.contains("fake driver:"), "{faults}");
            assert!(faults.contains("gradients are added up over the host"), "{faults}");
        }
        assert!(emulator::link_or_skip(folder.path(), &["libnccl.so.2"]));
        // At this width there are four buckets; all but the last are begun while there is more to do. The
        // fake sees that each waits for its gradients, the optimizer for them all, and that no float is left
        // out.
        for output in ProcessGroup::start([0, 1].map(|_| rank("pair", "run", "768"))).wait(limit) {
            let [said, faults] = [output.stdout, output.stderr]
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            assert!(output.status.success() && !faults.contains("fake driver:"), "{faults}");
            assert!(said.contains("sums 16, 12 early\n"), "{said}{faults}");
        }
        let mut ranks = ProcessGroup::start([0, 1].map(|_| rank("waiting", "stuck", "64")));
        let begun = std::time::Instant::now();
        while !place.path("stuck/log.jsonl").exists() {
            assert!(begun.elapsed() < limit, "it does not begin");
            std::thread::sleep(core::time::Duration::from_millis(20));
        }
        ranks.kill(1);
        let outputs = ranks.wait(core::time::Duration::from_secs(30));
        let faults = String::from_utf8_lossy(&outputs[0].stderr);
        assert!(!outputs[0].status.success() && faults.contains("rank 1"), "{faults}");
        // A rank that ends with an error of its own says goodbye: the other does not wait for ever either.
        let fakes = ["waiting", "lost-of-pair"].map(|fake| rank(fake, "left", "64"));
        let outputs = ProcessGroup::start(fakes).wait(limit);
        let faults: Vec<_> =
            outputs.iter().map(|output| String::from_utf8_lossy(&output.stderr)).collect();
        assert!(faults[0].contains("rank 1 has left the run"), "{faults:?}");
        assert!(faults[1].contains("unspecified launch failure"), "{faults:?}");
    }

    /// The host's side of a whole run: modules, captures and launches, and that everything is freed.
    #[test]
    fn run_replays_graphs_and_leaves_nothing_behind() {
        let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
        if !build(folder.path(), true) {
            return;
        }
        let arguments = ["sample", "--count", "8", "--batch", "2", "-o", "o/", "--device", "cuda"];
        let Output { status, stdout, stderr } =
            command(&place, folder.path(), "counting", &arguments).output().unwrap();
        let (said, faults) =
            (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(status.success() && !faults.contains("fake driver:"), "{said}{faults}");
        // Batches of two labels with classes: noted, captured, then replayed.
        let line = said.lines().find(|line| line.starts_with("launches ")).expect("it is counted");
        let numbers: Vec<u32> = line
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        let [launches, graphs] = numbers[..] else { panic!("{line}") };
        assert!(launches > 100 && graphs >= 8, "{line}");
        // Kernels that were compiled are kept, under the compiler's whole version.
        let kept = fs::read_dir(folder.path().join("cubins")).unwrap();
        let kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name().into_string()).collect();
        let named = |file: &String| file.ends_with("-nvrtc13.0.cubin");
        assert!(kept.len() >= 8 && kept.iter().flatten().all(named), "{kept:?}");

        // As many launches where no graph can be made, which is said once, or none is wanted.
        for (fake, wanted, warnings) in [("no-capture", "1", 1), ("no-graph", "1", 1), ("", "0", 0)]
        {
            let fake = format!("counting,{fake}");
            let mut command = command(&place, folder.path(), &fake, &arguments);
            let output = command.arg("--force").env("VAR_GRAPHS", wanted).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let faults = crate::cli::faults(&output);
            assert!(
                output.status.success() && !faults.contains("fake driver:"),
                "{fake}: {faults}"
            );
            assert!(said.contains(&format!("launches {launches}, graphs 0\n")), "{fake}: {said}");
            let warning = "var: the GPU is asked kernel by kernel, which takes longer: ";
            assert_eq!(faults.matches(warning).count(), warnings, "{fake}: {faults}");
        }
    }
}
