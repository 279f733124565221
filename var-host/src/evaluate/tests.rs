//! The metrics against golden numbers; sets of pictures, good and bad.

use std::fs;
use std::path::Path;

use serde_json::Value;
use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::inception::Inception;
use crate::inception::testing::{SET_B, fixture, fixture_path, image64, normal, weights_file};
use crate::inception::tests::inception;
use crate::npz::{Element, NpzWriter};
use crate::pictures::{Parameters, Picture, write_png};
use crate::pool::Threads;

/// Runs `work` on two threads.
fn with_cpu<R>(work: impl FnOnce(&Cpu<'_>) -> R) -> R {
    let threads = Threads::new(2, SCRATCH_FLOATS).unwrap();
    work(&Cpu::new(Isa::best(), &threads))
}

fn expected(file: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture_path(file)).unwrap()).unwrap()
}

/// Rows of features.
#[derive(Clone)]
struct Set {
    width: usize,
    values: Vec<f32>,
}

impl Set {
    fn stored(name: &str) -> Self {
        let file = fixture("metrics.safetensors");
        let tensor = file.tensor(name).unwrap();
        Self { width: tensor.shape[1], values: tensor.to_f32() }
    }

    /// The fixtures' features of `tag`, by formula.
    fn generated(tag: &str, count: usize, width: usize, shift: f64) -> Self {
        const LATENT: usize = 12;
        let z = normal(&format!("feat/{tag}/z"), count * LATENT);
        let mix = normal(&format!("feat/mix/{width}"), LATENT * width);
        let noise = normal(&format!("feat/{tag}/e/{width}"), count * width);
        let value = |at: usize| {
            let (n, d) = (at / width, at % width);
            let sum = (0..LATENT).fold(0.0, |sum, l| sum + z[n * LATENT + l] * mix[l * width + d]);
            let amplitude = match (tag, n % 5) {
                ("ref", _) => 1.0,
                (_, 0) => 1.4,
                _ => 0.75,
            };
            let x = 0.4 + shift + (0.3 * amplitude) * (sum / 12.0_f64.sqrt()) + 0.05 * noise[at];
            x.max(0.0) as f32
        };
        Self { width, values: (0..count * width).map(value).collect() }
    }

    fn first(&self, rows: usize) -> Self {
        Self { width: self.width, values: self.values[..rows * self.width].to_vec() }
    }

    fn column(&self, column: usize) -> Self {
        let values = self.values.chunks_exact(self.width).map(|row| row[column]).collect();
        Self { width: 1, values }
    }

    fn plus(&self, shift: f32) -> Self {
        Self { width: self.width, values: self.values.iter().map(|x| x + shift).collect() }
    }

    fn repeated(&self, times: usize) -> Self {
        Self { width: self.width, values: self.values.repeat(times) }
    }

    fn statistics(&self) -> Statistics {
        with_cpu(|cpu| {
            let mut moments = Moments::new(self.width);
            moments.add(cpu, &self.values);
            moments.statistics(cpu).unwrap()
        })
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::new(self.width).unwrap();
        for part in self.values.chunks(7 * self.width) {
            rows.push(part).unwrap();
        }
        rows
    }
}

/// Precision and recall of samples.
fn precision_recall(real: &Set, made: &Set) -> [f64; 2] {
    with_cpu(|cpu| {
        let (real, made) = (real.rows(), made.rows());
        let manifolds = [&real, &made].map(|rows| Manifold::of(cpu, rows).unwrap());
        let covered = coverage(cpu, (&real, &manifolds[0]), (&made, &manifolds[1])).unwrap();
        [covered.of_second, covered.of_first]
    })
}

#[test]
fn frechet_distances_are_the_exact_ones() {
    let expected = expected("metrics_expected.json");
    let of =
        |name: &str| (Set::stored(&format!("{name}.ref")), Set::stored(&format!("{name}.smp")));
    let (real, made) = of("m64");
    let int16 = of("int16");
    let large = (Set::generated("ref", 600, 2048, 0.0), Set::generated("smp", 500, 2048, 0.1));
    let check: f64 = large.0.values.iter().map(|x| f64::from(*x)).sum();
    assert!(
        (check - 508_833.826_755_632).abs() < 1e-3,
        "the formula gives other features: {check}"
    );
    for (name, real, made) in [
        ("m64", real.clone(), made.clone()),
        ("m64_identical", real.clone(), real.clone()),
        ("m64_singular", real.first(40), made.first(50)),
        ("m64_one_singular", real.first(40), made.clone()),
        ("m64_far", real.clone(), made.plus(100.0)),
        ("d1", real.column(0), made.column(0)),
        ("int16", int16.0, int16.1),
        ("m2048", large.0, large.1),
        ("fallback", Set::stored("fallback.ref"), Set::stored("fallback.smp")),
    ] {
        let (real, made) = (real.statistics(), made.statistics());
        let want = expected[name]["fid_true_f64"].as_f64().unwrap();
        for got in [frechet_distance(&made, &real, 0.0), frechet_distance(&real, &made, 0.0)] {
            let error = (got.unwrap() - want).abs() / want.abs().max(1.0);
            println!("{name}: off by {error:e}");
            assert!(error <= 1e-6, "{name}: off by {error:e} of {want}");
        }
        if name == "fallback" {
            let want = expected[name]["fid_with_eps_1e_6_offset_eigh"].as_f64().unwrap();
            let got = frechet_distance(&made, &real, 1e-6).unwrap();
            assert!((got - want).abs() <= 1e-6 * want, "with an offset: {got}, not {want}");
        }
    }
}

#[test]
fn what_is_no_covariance_is_refused() {
    let real = Set::stored("m64.ref").statistics();
    let mut indefinite = real.clone();
    (0..64).for_each(|i| indefinite.covariance[i * 64 + i] -= 0.05);
    let fault = |other: &Statistics| frechet_distance(&real, other, 0.0).unwrap_err().to_string();
    assert!(fault(&indefinite).starts_with("a covariance has eigenvalues from -"));
    for at in [0, 70] {
        let mut holed = real.clone();
        holed.covariance[at] = f64::NAN;
        assert_eq!(fault(&holed), "a mean or covariance is not finite");
    }
    let narrow = Set::stored("m64.ref").column(0).statistics();
    assert_eq!(fault(&narrow), "features of 64 and 1 numbers cannot be compared");
    // Nothing varies at all: the distance of the means is left.
    let still = |x: f32| Set { width: 3, values: vec![x; 9] }.statistics();
    assert_eq!(frechet_distance(&still(1.0), &still(3.0), 0.0).unwrap(), 12.0);
}

#[test]
fn moments_are_the_evaluators_whatever_computes_them() {
    let golden = fixture("metrics.safetensors");
    let set = Set::stored("m64.ref");
    let Statistics { mean, covariance } = set.statistics();
    let want = golden.tensor("m64.mu_ref").unwrap().to_f32();
    let sigma = golden.tensor("m64.sigma_ref").unwrap();
    let sigma = sigma.bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
    assert!(mean.iter().zip(want).all(|(got, want)| (got - f64::from(want)).abs() < 1e-6));
    assert!(
        covariance
            .iter()
            .zip(sigma)
            .all(|(got, want)| (got - want).abs() < 1e-15 + 1e-12 * want.abs())
    );

    // In parts of any size, on any number of threads, with every instruction set; odd widths too.
    for width in [64, 37, 1] {
        let values = &set.values[..set.values.len() / width * width];
        let of = |isa: Isa, threads: usize, part: usize| {
            let threads = Threads::new(threads, SCRATCH_FLOATS).unwrap();
            let cpu = Cpu::new(isa, &threads);
            let mut moments = Moments::new(width);
            values.chunks(part * width).for_each(|part| moments.add(&cpu, part));
            moments.statistics(&cpu).unwrap()
        };
        let first = of(Isa::best(), 1, 600);
        for isa in Isa::all() {
            assert!(of(isa, 2, 1) == first && of(isa, 3, 100) == first, "{isa:?}, width {width}");
        }
        // Twice the same pass.
        let means = values.iter().step_by(width).map(|x| f64::from(*x));
        let mean = means.clone().sum::<f64>() / means.clone().count() as f64;
        let square: f64 = means.clone().map(|x| (x - mean).powi(2)).sum();
        let variance = square / (means.count() - 1) as f64;
        assert!((first.covariance[0] - variance).abs() < 1e-13, "width {width}");
    }
}

#[test]
fn inception_scores_are_the_evaluators() {
    let expected = expected("metrics_expected.json");
    let golden = fixture("metrics.safetensors");
    let probabilities = golden.tensor("is.probs").unwrap().to_f32();
    let score = |split: usize, change: &dyn Fn(&mut [f64])| {
        let mut score = InceptionScore::new(1008, split);
        for row in probabilities.chunks_exact(1008) {
            let mut row: Vec<f64> = row.iter().map(|p| f64::from(*p)).collect();
            change(&mut row);
            score.add_probabilities(&row);
        }
        score.value()
    };
    for split in [5000, 50, 7] {
        let want = expected["is"][format!("f64_split{split}")].as_f64().unwrap();
        let got = score(split, &|_| {});
        assert!((got - want).abs() < 1e-6 * want, "split {split}: {got}, not {want}");
    }
    // An impossible class adds nothing.
    assert!(score(5000, &|row| row[3] = 0.0).is_finite());

    // Logits are turned to probabilities, whatever is added to them.
    let mut from_logits = InceptionScore::new(1008, 5000);
    let logits = probabilities.iter().map(|p| (f64::from(*p).ln() + 500.0) as f32);
    from_logits.add_logits(&logits.collect::<Vec<_>>());
    assert!((from_logits.value() - score(5000, &|_| {})).abs() < 1e-3);
}

#[test]
fn precision_and_recall_are_the_evaluators() {
    let expected = expected("metrics_expected.json");
    let golden = fixture("metrics.safetensors");
    let (real, made) = (Set::stored("m64.ref"), Set::stored("m64.smp"));
    let pair = |value: &Value| [0, 1].map(|i| value[i].as_f64().unwrap());
    assert_eq!(precision_recall(&real, &made), pair(&expected["m64_pr"]["f64_direct"]));
    assert_eq!(precision_recall(&real, &real), [1.0, 1.0]);
    assert_eq!(precision_recall(&real, &made.plus(100.0)), [0.0, 0.0]);
    let ints = (Set::stored("int16.ref"), Set::stored("int16.smp"));
    assert_eq!(precision_recall(&ints.0, &ints.1), pair(&expected["int16_pr"]));
    // Every point five times over: radii are 0, and a point on the edge is within.
    let repeated = ints.0.first(60).repeated(5);
    assert_eq!(precision_recall(&repeated, &ints.1), pair(&expected["int16_dup_pr"]["pr"]));

    let radii = |set: &Set| with_cpu(|cpu| Manifold::of(cpu, &set.rows()).unwrap().radii);
    assert_eq!(radii(&ints.0), golden.tensor("int16.radii_ref").unwrap().to_f32());
    assert_eq!(radii(&ints.1), golden.tensor("int16.radii_smp").unwrap().to_f32());
    assert!(radii(&repeated).iter().all(|radius| *radius == 0.0));
    for (name, set) in [("m64.radii_ref", real), ("m64.radii_smp", made)] {
        let want = golden.tensor(name).unwrap().to_f32();
        for (got, want) in radii(&set).iter().zip(want) {
            assert!((got - want).abs() <= 1e-5 * want, "{name}: {got}, not {want}");
        }
    }
    let large = (Set::generated("ref", 600, 2048, 0.0), Set::generated("smp", 500, 2048, 0.1));
    assert_eq!(precision_recall(&large.0, &large.1), pair(&expected["m2048_pr"]["f64_direct"]));
}

/// More points than a block holds.
#[test]
fn blocks_of_points_leave_no_trace() {
    let set = Set::generated("ref", 1100, 5, 0.0);
    let rows = set.rows();
    let got = with_cpu(|cpu| Manifold::of(cpu, &rows).unwrap().radii);
    let points: Vec<&[f32]> = set.values.chunks_exact(5).collect();
    for (i, got) in got.iter().enumerate() {
        let square = |other: &&[f32]| -> f64 {
            points[i].iter().zip(*other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        let mut distances: Vec<f64> = points.iter().map(square).collect();
        distances.sort_by(f64::total_cmp);
        assert!((f64::from(*got) - distances[3]).abs() < 1e-5, "{i}: {got}, not {}", distances[3]);
    }
    let made = Set::generated("smp", 1500, 5, 0.1);
    let [precision, recall] = precision_recall(&set, &made);
    assert!(
        (0.2..1.0).contains(&precision) && (0.2..1.0).contains(&recall),
        "{precision} {recall}"
    );
}

/// An archive of pictures, and statistics if there are some.
fn archive(path: &Path, pictures: &[Picture], statistics: Option<&[Statistics; 2]>) {
    let mut writer = NpzWriter::create(path, true).unwrap();
    let (width, height) = (pictures[0].width(), pictures[0].height());
    writer.begin("arr_0", Element::U8, &[pictures.len(), height, width, 3]).unwrap();
    pictures.iter().for_each(|picture| writer.write(picture.rgb()).unwrap());
    if let Some(statistics) = statistics {
        write_statistics(&mut writer, statistics).unwrap();
    }
    writer.finish().unwrap();
}

fn folder(path: &Path, pictures: &[Picture]) {
    fs::create_dir_all(path).unwrap();
    for (n, picture) in pictures.iter().enumerate() {
        write_png(&path.join(format!("{n:06}.png")), picture, &Parameters::new(), true).unwrap();
    }
}

fn observe(observer: &mut Observer<'_>, path: &Path) -> Observations {
    let pictures = Pictures::open(path, None).unwrap();
    let mut seen = 0;
    let known = observer.observe::<EvaluateError>(&pictures, Keep::All, &mut |done, _| {
        seen = done;
        Ok(())
    });
    assert_eq!(seen, pictures.count());
    known.unwrap()
}

/// Archives and folders of pictures, with and without statistics, as the evaluator itself scored them.
#[test]
fn whole_evaluations_are_the_evaluators() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let set = |tag: &str, count: usize| -> Vec<Picture> {
        (0..count).map(|n| image64(&format!("e2e/{tag}"), n)).collect()
    };
    let (real, made) = (set("ref", 60), set("smp", 50));
    archive(&path("made.npz"), &made, None);
    archive(&path("real.npz"), &real, None);
    folder(&path("both"), &[&real[..], &made].concat());

    let mut observer = Observer::new(inception(), 2, Isa::best()).unwrap();
    let samples = observe(&mut observer, &path("made.npz"));
    let both = observe(&mut observer, &path("both"));
    let statistics = observer.statistics(&both).unwrap();
    archive(&path("stored.npz"), &real[..20], Some(&statistics));

    let expected = expected("e2e_expected.json");
    for (name, file) in [("plain", "real.npz"), ("ref_with_stats", "stored.npz")] {
        let reference = Reference::open(&path(file), None).unwrap();
        let known = reference.observe::<EvaluateError>(&mut observer, &mut |_, _| Ok(())).unwrap();
        let got = compare(&observer.cpu(), &samples, &known).unwrap();
        println!("{name}: {got:?}");
        let want = &expected["B"]["f64_reference"][name];
        for (what, got, want) in [
            ("FID", got.fid, &want["FID"]["fid"]),
            ("sFID", got.sfid, &want["sFID"]["fid"]),
            ("IS", got.inception_score, &want["IS"]),
        ] {
            let want = want.as_f64().unwrap();
            let error = (got - want).abs() / want;
            assert!(error < 1e-5, "{name}: {what} {got}, not {want}: off by {error:e}");
        }
        let covered = [got.precision.unwrap(), got.recall.unwrap()];
        assert_eq!(covered, [0, 1].map(|i| want["PR"][i].as_f64().unwrap()), "{name}");
        // The evaluator's own numbers, noise of its matrix root included.
        let fid = expected["B"][name]["FID"].as_f64().unwrap();
        assert!((got.fid - fid).abs() < 1e-3 * fid, "{name}: {} and {fid}", got.fid);
    }
}

#[test]
fn sets_that_are_none_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let fault = |result: Result<Pictures, EvaluateError>| {
        result.unwrap_err().to_string().replace(place.path().to_str().unwrap(), "DIR")
    };
    let open = |name: &str| fault(Pictures::open(&path(name), None));
    assert_eq!(open("none"), "DIR/none: is neither a folder of pictures nor an .npz archive");
    fs::create_dir(path("empty")).unwrap();
    assert_eq!(open("empty"), "DIR/empty: has no pictures");
    let arrays = |element: Element, shape: &[usize]| {
        let mut writer = NpzWriter::create(&path("a.npz"), true).unwrap();
        writer.begin("arr_0", element, shape).unwrap();
        writer.write(&vec![0; shape.iter().product::<usize>() * element.size()]).unwrap();
        writer.finish().unwrap();
        open("a.npz")
    };
    assert_eq!(arrays(Element::U8, &[0, 8, 8, 3]), "DIR/a.npz: has no pictures");
    let wants = "wants |u1 (bytes) of shape [N, height, width, 3]";
    let message =
        format!("DIR/a.npz: arr_0: has |u1 of shape [2, 3, 8, 8], {wants}: channels come last");
    assert_eq!(arrays(Element::U8, &[2, 3, 8, 8]), message);
    let message =
        format!("DIR/a.npz: arr_0: has <f4 of shape [2, 8, 8, 3], {wants}: 0 to 255, rounded");
    assert_eq!(arrays(Element::F32, &[2, 8, 8, 3]), message);
    assert!(arrays(Element::U8, &[2, 8, 8]).ends_with("three colours, grey repeated"));
    assert!(arrays(Element::U8, &[8, 8, 3]).contains("has |u1 of shape [8, 8, 3]"));

    // Found when their turn comes.
    let grey = |side| Picture::filled(side, side, [7; 3]);
    folder(&path("mixed"), &[grey(8), grey(8), grey(9)]);
    let pictures = Pictures::open(&path("mixed"), None).unwrap();
    let all: Result<Vec<Picture>, _> = pictures.stream(2).unwrap().collect();
    let message = all.unwrap_err().to_string();
    assert!(message.contains("000002.png: is 9 × 9, the set's first picture 8 × 8"), "{message}");
    let pictures = Pictures::open(&path("mixed"), Some(8)).unwrap();
    let all: Result<Vec<Picture>, _> = pictures.stream(2).unwrap().collect();
    assert_eq!(all.unwrap(), vec![grey(8); 3]);

    // Cut short, and of another resolution.
    archive(&path("b.npz"), &[grey(8), grey(8)], None);
    let small = Reference::open(&path("b.npz"), None).unwrap();
    let large = Pictures::open(&path("mixed"), Some(16)).unwrap();
    let message = small.check_size(&large).unwrap_err().to_string();
    assert!(message.starts_with("the samples are 16 × 16, the reference's pictures 8 × 8"));
    let bytes = fs::read(path("b.npz")).unwrap();
    fs::write(path("b.npz"), &bytes[..bytes.len() - 300]).unwrap();
    assert!(open("b.npz").starts_with("DIR/b.npz: "));

    // Statistics that are not whole.
    let mut writer = NpzWriter::create(&path("c.npz"), true).unwrap();
    writer.floats("mu", &[2], &[0.0; 2]).unwrap();
    writer.floats("sigma", &[2, 2], &[0.0; 4]).unwrap();
    writer.finish().unwrap();
    let message = Reference::open(&path("c.npz"), None).unwrap_err().to_string();
    assert!(message.contains("has mu but not mu_s"), "{message}");
    let mut writer = NpzWriter::create(&path("c.npz"), true).unwrap();
    for array in ["mu", "sigma", "mu_s", "sigma_s"] {
        writer.floats(array, &[2], &[0.0; 2]).unwrap();
    }
    writer.finish().unwrap();
    let message = Reference::open(&path("c.npz"), None).unwrap_err().to_string();
    assert!(message.ends_with("mu: has shape [2], wants [2048]"), "{message}");
}

#[test]
fn one_picture_has_no_covariance() {
    with_cpu(|cpu| {
        let mut moments = Moments::new(2);
        moments.add(cpu, &[1.0, 2.0]);
        let message = moments.statistics(cpu).unwrap_err().to_string();
        assert_eq!(message, "1 pictures: a covariance wants at least 2");
    });
}

/// A mean over the last map that overflows, as damaged weights may give.
#[test]
fn features_that_are_no_numbers_are_refused() {
    use safetensors::tensor::TensorView;
    use safetensors::{Dtype, SafeTensors};

    let file = weights_file(SET_B);
    let mut tensors = SafeTensors::deserialize(&file).unwrap().tensors();
    let huge: Vec<u8> = [f32::MAX; 320].iter().flat_map(|x| x.to_le_bytes()).collect();
    let name = "Mixed_7c.branch1x1.bn.bias";
    let at = tensors.iter().position(|tensor| tensor.0 == name).unwrap();
    tensors[at].1 = TensorView::new(Dtype::F32, vec![320], &huge).unwrap();
    let file = safetensors::serialize(tensors, None).unwrap();
    let weights = Inception::of(&Checkpoint::from_bytes(&file).unwrap(), "file").unwrap();
    let place = tempfile::tempdir().unwrap();
    folder(place.path(), &[image64("img/64", 0), image64("img/64", 1)]);
    let pictures = Pictures::open(place.path(), None).unwrap();
    let mut observer = Observer::new(&weights, 2, Isa::best()).unwrap();
    let known = observer.observe::<EvaluateError>(&pictures, Keep::All, &mut |_, _| Ok(()));
    let message = "picture 0: feature 0 is inf: are the weights Inception's?";
    assert_eq!(known.unwrap_err().to_string(), message);
}
