//! The network against golden features; damaged weights.

use std::fs;
use std::sync::OnceLock;

use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};

use super::testing::{SET_B, fixture, image64, image256, weights_file};
use super::*;
use crate::checkpoint::Checkpoint;
use crate::images::RgbImage;
use crate::pool::Threads;

/// Weights of set B, made once.
pub(crate) fn inception() -> &'static Inception {
    static INCEPTION: OnceLock<Inception> = OnceLock::new();
    INCEPTION.get_or_init(|| {
        let file = Checkpoint::from_bytes(&weights_file(SET_B)).unwrap();
        Inception::of(&file, "set B").unwrap()
    })
}

fn features(isa: Isa, threads: usize, pictures: &[RgbImage]) -> InceptionFeatures {
    let threads = Threads::new(threads, SCRATCH_FLOATS).unwrap();
    Forward::new(inception()).features(&Cpu::new(isa, &threads), pictures).unwrap()
}

/// `‖got − want‖ / ‖want‖`
fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |sum: f64, x: f64| sum + x * x;
    let error = got.iter().zip(want).map(|(a, b)| f64::from(*a) - f64::from(*b)).fold(0.0, square);
    (error / want.iter().map(|x| f64::from(*x)).fold(0.0, square)).sqrt()
}

#[test]
fn features_are_the_evaluators() {
    let golden = fixture("inception.safetensors");
    let of = |name: &str| golden.tensor(name).unwrap().to_f32();
    let mut pictures: Vec<RgbImage> = (0..8).map(|n| image64("img/64", n)).collect();
    pictures.extend((0..8).map(image256));
    let mut got = InceptionFeatures::default();
    for pictures in pictures.chunks(8) {
        let part = features(Isa::best(), 2, pictures);
        got.pooled.extend(part.pooled);
        got.spatial.extend(part.spatial);
        got.logits.extend(part.logits);
    }
    for (what, got, want) in [
        ("pooled", &got.pooled, "pool"),
        ("spatial", &got.spatial, "spatial"),
        ("logits", &got.logits, "logits"),
    ] {
        // By PyTorch in double precision, and by the evaluator itself in single precision.
        let (exact, own) = (format!("B.{want}"), format!("B.tf_{want}"));
        let error = distance(got, &of(&exact));
        assert!(error < 1e-5, "{what}: off by {error:e}");
        if golden.contains(&own) {
            let error = distance(got, &of(&own));
            assert!(error < 1e-5, "{what}: off from TensorFlow's by {error:e}");
        }
        println!("{what}: {error:e}");
    }
    // Features after another tool's resize differ by a hundred times the tolerance.
    assert!(distance(&got.pooled, &of("B.pytorchfid_pool")) > 1e-3);
}

#[test]
fn features_are_the_same_bits_for_any_threads_neighbors_and_instructions() {
    let pictures: Vec<RgbImage> = (0..3).map(|n| image64("img/64", n)).collect();
    let whole = features(Isa::best(), 1, &pictures);
    assert!(features(Isa::best(), 3, &pictures) == whole, "threads");
    let alone = features(Isa::best(), 2, &pictures[1..2]);
    assert!(alone.pooled == whole.pooled[POOLED..2 * POOLED], "neighbours");
    assert!(alone.spatial == whole.spatial[SPATIAL..2 * SPATIAL], "neighbours");
    for isa in Isa::all().filter(|isa| isa.name() != "portable") {
        assert!(features(isa, 2, &pictures[1..2]) == alone, "{isa:?}");
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    use safetensors::SafeTensors;
    use safetensors::tensor::TensorView;
    type Named<'a> = (String, TensorView<'a>);

    let file = weights_file(SET_B);
    let whole = SafeTensors::deserialize(&file).unwrap();
    let fault = |change: &dyn Fn(&mut Vec<Named<'_>>)| {
        let mut tensors = whole.tensors();
        change(&mut tensors);
        let file = safetensors::serialize(tensors, None).unwrap();
        let checkpoint = Checkpoint::from_bytes(&file).unwrap();
        Inception::of(&checkpoint, "file").map(|_| ()).unwrap_err().to_string()
    };
    let name = "Mixed_6b.branch7x7_2.bn.running_var";
    assert_eq!(fault(&|t| t.retain(|t| t.0 != name)), format!("file: {name} is missing"));
    let renamed = fault(&|t| t.iter_mut().for_each(|t| t.0 = format!("module.{}", t.0)));
    assert!(renamed.ends_with("is not part of the model"), "{renamed}");
    let swapped = fault(&|t| {
        let at = |n: &str| t.iter().position(|t| t.0 == n).unwrap();
        let (a, b) = (at("Mixed_5b.branch1x1.conv.weight"), at("Mixed_5b.branch5x5_1.conv.weight"));
        let (x, y) = (t[a].1.clone(), t[b].1.clone());
        (t[a].1, t[b].1) = (y, x);
    });
    assert_eq!(
        swapped,
        "file: Mixed_5b.branch1x1.conv.weight: wants [64, 192, 1, 1], file has [48, 192, 1, 1]"
    );
    let bad: Vec<u8> =
        [[0.5_f32; 63].as_slice(), &[-1.0]].concat().iter().flat_map(|x| x.to_le_bytes()).collect();
    let negative = fault(&|t| {
        let at = t.iter().position(|t| t.0 == "Mixed_5b.branch1x1.bn.running_var").unwrap();
        t[at].1 = TensorView::new(
            safetensors::Dtype::F32,
            vec![64],
            Box::leak(bad.clone().into_boxed_slice()),
        )
        .unwrap();
    });
    assert_eq!(negative, "file: Mixed_5b.branch1x1.bn.running_var: element 63 is -1, a variance");
}

#[test]
fn converted_file_is_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, weights_file(SET_B)).unwrap();
    convert(&from, &to, false).unwrap();
    let converted = Inception::open(&to).unwrap();
    for conv in weights::convs() {
        let (a, b) = (converted.conv(&conv.name), inception().conv(&conv.name));
        assert!(a.weight == b.weight && a.bias == b.bias, "{}", conv.name);
    }
    assert!(converted.logits() == inception().logits());
    assert!(convert(&from, &to, false).is_err(), "overwrote");
}

#[cfg(feature = "cuda")]
mod on_gpus {
    use var_kernel::cuda::{GemmProvider, Options, Precision};
    use var_testing::cuda::real;
    use var_testing::cuda::recording::recorded;

    use super::*;

    #[test]
    fn every_convolution_is_asked_for_once() {
        let recorded = recorded(Precision::F32, 8 << 30, GemmProvider::Builtin);
        let Some((cuda, gpu)) = recorded else { return };
        let threads = Threads::new(1, SCRATCH_FLOATS).unwrap();
        let mut pass = Forward::new(inception()).on_gpu(cuda).unwrap();
        let pictures: Vec<RgbImage> = (0..3).map(|n| image64("img/64", n)).collect();
        let got = pass.features(&Cpu::new(Isa::best(), &threads), &pictures).unwrap();
        let lengths = [got.pooled.len(), got.spatial.len(), got.logits.len()];
        assert_eq!(lengths, [3 * POOLED, 3 * SPATIAL, 3 * CLASSES]);
        let launched = gpu.launched();
        let count = |part: &str| launched.iter().filter(|l| l.kernel.contains(part)).count();
        assert_eq!(count("conv"), weights::convs().len(), "{launched:?}");
        // Four poolings that halve, ten within blocks, one of the whole last map.
        assert_eq!(count("pool"), 14, "{launched:?}");
    }

    /// An emulated GPU would take an hour.
    #[test]
    fn gpu_sees_what_the_processor_does() {
        let Some(cuda) = real(Options::default()) else { return };
        let pictures: Vec<RgbImage> = (0..5).map(|n| image64("img/64", n)).collect();
        let threads = Threads::new(2, SCRATCH_FLOATS).unwrap();
        let cpu = Cpu::new(Isa::best(), &threads);
        let mut pass = Forward::new(inception()).on_gpu(cuda).unwrap();
        let (got, want) =
            (pass.features(&cpu, &pictures).unwrap(), features(Isa::best(), 2, &pictures));
        for (what, got, want) in [
            ("pooled", &got.pooled, &want.pooled),
            ("spatial", &got.spatial, &want.spatial),
            ("logits", &got.logits, &want.logits),
        ] {
            let error = distance(got, want);
            assert!(error < 1e-5, "{what}: off by {error:e}");
        }
    }
}
