//! Whole evaluations of sets of images, and sets that are none.

use std::fs;
use std::path::Path;

use var_kernel::cpu::Isa;

use super::{expected, with_cpu};
use crate::checkpoint::Checkpoint;
use crate::evaluate::*;
use crate::images::{Parameters, RgbImage, write_png};
use crate::inception::Inception;
use crate::inception::testing::{SET_B, image64, weights_file};
use crate::inception::tests::inception;
use crate::npz::{NpyDtype, NpzWriter};

/// An archive of images, and statistics if there are some.
fn archive(path: &Path, pictures: &[RgbImage], statistics: Option<&[Statistics; 2]>) {
    let mut writer = NpzWriter::create(path, true).unwrap();
    let (width, height) = (pictures[0].width(), pictures[0].height());
    writer.begin("arr_0", NpyDtype::U8, &[pictures.len(), height, width, 3]).unwrap();
    pictures.iter().for_each(|picture| writer.write(picture.rgb()).unwrap());
    if let Some(statistics) = statistics {
        write_statistics(&mut writer, statistics).unwrap();
    }
    writer.finish().unwrap();
}

fn folder(path: &Path, pictures: &[RgbImage]) {
    fs::create_dir_all(path).unwrap();
    for (n, picture) in pictures.iter().enumerate() {
        write_png(&path.join(format!("{n:06}.png")), picture, &Parameters::new(), true).unwrap();
    }
}

fn observe(observer: &mut FeatureExtractor<'_>, path: &Path) -> SetFeatures {
    let set = EvaluationSet::open(path, None).unwrap();
    let mut seen = 0;
    let known = set.observe::<EvaluateError>(observer, &mut |done, _| {
        seen = done;
        Ok(())
    });
    assert_eq!(seen, set.count());
    known.unwrap()
}

/// Mean and covariance of both kinds of features.
fn statistics(set: &SetFeatures) -> [Statistics; 2] {
    [set.pooled.clone(), set.spatial.clone().unwrap()]
}

/// Archives and folders of images, with and without statistics, as the evaluator itself scored them.
#[test]
fn whole_evaluations_are_the_evaluators() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let set = |tag: &str, count: usize| -> Vec<RgbImage> {
        (0..count).map(|n| image64(&format!("e2e/{tag}"), n)).collect()
    };
    let (real, made) = (set("ref", 60), set("smp", 50));
    archive(&path("made.npz"), &made, None);
    archive(&path("real.npz"), &real, None);
    folder(&path("both"), &[&real[..], &made].concat());

    let mut observer = FeatureExtractor::new(inception(), 2, Isa::best()).unwrap();
    let samples = observe(&mut observer, &path("made.npz"));
    let both = observe(&mut observer, &path("both"));
    archive(&path("stored.npz"), &real[..20], Some(&statistics(&both)));

    let expected = expected("e2e_expected.json");
    let [real, with_statistics] =
        ["real.npz", "stored.npz"].map(|file| observe(&mut observer, &path(file)));
    for (name, known) in [("plain", &real), ("ref_with_stats", &with_statistics)] {
        let got = compare(&observer.cpu(), &samples, known).unwrap();
        println!("{name}: {got:?}");
        let want = &expected["B"]["f64_reference"][name];
        for (what, got, want) in [
            ("FID", got.fid, &want["FID"]["fid"]),
            ("sFID", got.sfid.unwrap(), &want["sFID"]["fid"]),
            ("IS", got.inception_score.unwrap(), &want["IS"]),
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
        assert!(got.missing.is_empty(), "{name}: {:?}", got.missing);
    }

    // Audit 8: statistics in the samples' file stand for its images, but in IS, precision and recall.
    archive(&path("few.npz"), &made[..4], None);
    archive(&path("stated.npz"), &made[..4], Some(&statistics(&samples)));
    let [few, stated] = ["few.npz", "stated.npz"].map(|file| observe(&mut observer, &path(file)));
    let [all, few, stated] =
        [&samples, &few, &stated].map(|set| compare(&observer.cpu(), set, &real).unwrap());
    assert_eq!((stated.fid, stated.sfid), (all.fid, all.sfid));
    assert!(few.inception_score.is_some_and(|score| score > 1.0), "{few:?}");
    assert_eq!(stated.inception_score, few.inception_score);
    assert_eq!((stated.precision, stated.recall), (few.precision, few.recall));

    // N03: of mu and sigma alone there is FID.
    let mut writer = NpzWriter::create(&path("fid.npz"), true).unwrap();
    let Statistics { mean, covariance } = &real.pooled;
    writer.floats("mu", &[mean.len()], mean).unwrap();
    writer.floats("sigma", &[mean.len(), mean.len()], covariance).unwrap();
    writer.finish().unwrap();
    let fid_only = observe(&mut observer, &path("fid.npz"));
    let got = compare(&observer.cpu(), &samples, &fid_only).unwrap();
    assert_eq!((got.fid, got.sfid, got.precision, got.recall), (all.fid, None, None, None));
    assert_eq!(got.inception_score, all.inception_score);
    assert_eq!(got.missing["sfid"], "the reference has no mu_s and sigma_s");
    let images = "the reference has no images (arr_0)";
    assert_eq!([&got.missing["precision"], &got.missing["recall"]], [images; 2]);
    let turned = compare(&observer.cpu(), &fid_only, &samples).unwrap();
    assert!((turned.fid - all.fid).abs() < 1e-9 * all.fid);
    assert_eq!(turned.missing["inception_score"], "the samples have no images (arr_0)");
}

#[test]
fn sets_that_are_none_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let fault = |result: Result<ImageSource, EvaluateError>| {
        result.unwrap_err().to_string().replace(place.path().to_str().unwrap(), "DIR")
    };
    let open = |name: &str| fault(ImageSource::open(&path(name), None));
    assert_eq!(open("none"), "DIR/none: is neither a folder of images nor an .npz archive");
    fs::create_dir(path("empty")).unwrap();
    assert_eq!(open("empty"), "DIR/empty: has no images");
    let arrays = |element: NpyDtype, shape: &[usize]| {
        let mut writer = NpzWriter::create(&path("a.npz"), true).unwrap();
        writer.begin("arr_0", element, shape).unwrap();
        writer.write(&vec![0; shape.iter().product::<usize>() * element.size()]).unwrap();
        writer.finish().unwrap();
        open("a.npz")
    };
    assert_eq!(arrays(NpyDtype::U8, &[0, 8, 8, 3]), "DIR/a.npz: has no images");
    let wants = "wants |u1 (bytes) of shape [N, height, width, 3]";
    let message =
        format!("DIR/a.npz: arr_0: has |u1 of shape [2, 3, 8, 8], {wants}: channels come last");
    assert_eq!(arrays(NpyDtype::U8, &[2, 3, 8, 8]), message);
    let message =
        format!("DIR/a.npz: arr_0: has <f4 of shape [2, 8, 8, 3], {wants}: 0 to 255, rounded");
    assert_eq!(arrays(NpyDtype::F32, &[2, 8, 8, 3]), message);
    assert!(arrays(NpyDtype::U8, &[2, 8, 8]).ends_with("three colors, gray repeated"));
    assert!(arrays(NpyDtype::U8, &[2, 8, 8, 1]).ends_with("three colors, gray repeated"));
    assert!(arrays(NpyDtype::U8, &[2, 8, 8, 4]).ends_with("three colors, without alpha"));
    let one = arrays(NpyDtype::U8, &[8, 8, 3]);
    assert!(one.ends_with("[N, height, width, 3]: one image is [1, height, width, 3]"), "{one}");

    // Found when their turn comes.
    let gray = |side| RgbImage::filled(side, side, [7; 3]);
    folder(&path("mixed"), &[gray(8), gray(8), gray(9)]);
    let pictures = ImageSource::open(&path("mixed"), None).unwrap();
    let all: Result<Vec<RgbImage>, _> = pictures.stream(2).unwrap().collect();
    let message = all.unwrap_err().to_string();
    assert!(message.contains("000002.png: is 9 × 9, the set's first image 8 × 8"), "{message}");
    let pictures = ImageSource::open(&path("mixed"), Some(8)).unwrap();
    let all: Result<Vec<RgbImage>, _> = pictures.stream(2).unwrap().collect();
    assert_eq!(all.unwrap(), vec![gray(8); 3]);

    // Cut short, and of another resolution.
    archive(&path("b.npz"), &[gray(8), gray(8)], None);
    let small = EvaluationSet::open(&path("b.npz"), None).unwrap();
    let large = EvaluationSet::open(&path("mixed"), Some(16)).unwrap();
    let message = large.check_size(&small).unwrap_err().to_string();
    assert!(message.starts_with("the samples are 16 × 16, the reference's images 8 × 8"));
    let bytes = fs::read(path("b.npz")).unwrap();
    fs::write(path("b.npz"), &bytes[..bytes.len() - 300]).unwrap();
    assert!(open("b.npz").starts_with("DIR/b.npz: "));

    // Statistics of other features than Inception's.
    let mut writer = NpzWriter::create(&path("c.npz"), true).unwrap();
    for array in ["mu", "sigma", "mu_s", "sigma_s"] {
        writer.floats(array, &[2], &[0.0; 2]).unwrap();
    }
    writer.finish().unwrap();
    let message = EvaluationSet::open(&path("c.npz"), None).unwrap_err().to_string();
    assert!(message.ends_with("mu: has shape [2], wants [2048]"), "{message}");
}

#[test]
fn one_picture_has_no_covariance() {
    with_cpu(|cpu| {
        let mut moments = Moments::new(2);
        moments.add(cpu, &[1.0, 2.0]);
        let message = moments.statistics(cpu).unwrap_err().to_string();
        assert_eq!(message, "1 image: a covariance wants at least 2");
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
    let pictures = ImageSource::open(place.path(), None).unwrap();
    let mut observer = FeatureExtractor::new(&weights, 2, Isa::best()).unwrap();
    let known =
        observer.observe::<EvaluateError>(&pictures, ObservedParts::All, &mut |_, _| Ok(()));
    let message = "image 0: feature 0 is inf: are the weights Inception's?";
    assert_eq!(known.unwrap_err().to_string(), message);
}

#[test]
fn folders_of_two_runs_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let [mixed, other] = ["mixed", "other"].map(|name| place.path().join(name));
    folder(&other, &[image64("a", 0)]);
    fs::create_dir(&mixed).unwrap();
    for seed in ["0", "1"] {
        let settings = [("Software", "var"), ("seed", seed)];
        let settings = settings.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let path = mixed.join(seed).with_extension("png");
        write_png(&path, &image64("a", 0), &settings, false).unwrap();
    }
    for (samples, reference) in [(&mixed, &other), (&other, &mixed)] {
        let refused = evaluate(samples, reference, "none", crate::Device::cpu()).unwrap_err();
        let message = "1.png: was made with seed 1, wanted is 0 as ";
        assert!(refused.to_string().contains(message), "{refused}");
    }
}
