//! The metrics on given features against golden numbers.

use serde_json::Value;
use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};

use super::{expected, with_cpu};
use crate::evaluate::*;
use crate::inception::testing::{fixture, normal};
use crate::pool::Threads;

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

    fn rows(&self) -> FeatureRows {
        let mut rows = FeatureRows::new(self.width).unwrap();
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
fn matrices_that_are_no_covariance_are_refused() {
    let real = Set::stored("m64.ref").statistics();
    let mut indefinite = real.clone();
    (0..64).for_each(|i| indefinite.covariance[i * 64 + i] -= 0.05);
    let fault = |other: &Statistics| frechet_distance(&real, other, 0.0).unwrap_err().to_string();
    assert!(fault(&indefinite).starts_with("a covariance has eigenvalues from -"));
    for (at, value) in [(0, f64::NAN), (70, f64::INFINITY), (4095, f64::NEG_INFINITY)] {
        let mut holed = real.clone();
        holed.covariance[at] = value;
        let of = |set: &str, array: &str, at: usize| {
            format!("the {set} set's {array}: element {at} is {value}: no distance can be computed")
        };
        assert_eq!(fault(&holed), of("second", "covariance", at));
        let swapped = frechet_distance(&holed, &real, 1e-6).unwrap_err().to_string();
        assert_eq!(swapped, of("first", "covariance", at));
        let mut holed = real.clone();
        holed.mean[63] = value;
        assert_eq!(fault(&holed), of("second", "mean", 63));
    }
    let narrow = Set::stored("m64.ref").column(0).statistics();
    assert_eq!(fault(&narrow), "features of widths 64 and 1 cannot be compared");
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
    let square = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    };
    let radii = |set: &Set| -> Vec<f64> {
        let points = || set.values.chunks_exact(5);
        let third = |point: &[f32]| {
            let mut distances: Vec<f64> = points().map(|other| square(point, other)).collect();
            *distances.select_nth_unstable_by(3, f64::total_cmp).1
        };
        points().map(third).collect()
    };
    let want = radii(&set);
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!((f64::from(*got) - want).abs() < 1e-5, "{i}: {got}, not {want}");
    }
    let made = Set::generated("smp", 1500, 5, 0.1);
    let covered = |points: &Set, set: &Set, radii: &[f64]| {
        let balls = || set.values.chunks_exact(5).zip(radii);
        let inside =
            |point: &&[f32]| balls().any(|(other, radius)| square(point, other) <= *radius);
        let all = points.values.chunks_exact(5);
        all.clone().filter(inside).count() as f64 / all.len() as f64
    };
    let exact = [covered(&made, &set, &want), covered(&set, &made, &radii(&made))];
    for (got, want) in precision_recall(&set, &made).into_iter().zip(exact) {
        assert!((0.2..1.0).contains(&want) && (got - want).abs() < 1e-3, "{got}, not {want}");
    }
}
