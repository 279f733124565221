//! Real images in many orders, whole and broken.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::data::{CropPositions, Flip, SamplerConfig};
use crate::images::{Parameters, write_png};

const START: BatchCursor = BatchCursor { epoch: 0, batch: 0 };

const VIEWS: CropSpec =
    CropSpec { side: 16, resize: 1.125, crops: CropPositions::Random(1), flip: Flip::Random };

/// A data set of 3 classes with `pictures` small images in turns, of which the `broken` are text.
fn data(pictures: u32, broken: &[u32]) -> (TempDir, Arc<Folder>) {
    let folder = tempfile::tempdir().unwrap();
    for class in 0..3 {
        fs::create_dir(folder.path().join(format!("class{class}"))).unwrap();
    }
    // Class by class, as the folder numbers them.
    let per_class = pictures.div_ceil(3);
    for picture in 0..pictures {
        let name = format!("class{}/{picture:03}.png", picture / per_class);
        let path = folder.path().join(name);
        if broken.contains(&picture) {
            fs::write(path, "no image").unwrap();
        } else {
            let pixel = |n: u32| [(n % 251) as u8, picture as u8, (n / 24) as u8];
            let rgb = (0..24 * 20).flat_map(pixel).collect();
            write_png(&path, &RgbImage::new(24, 20, rgb), &Parameters::new(), false).unwrap();
        }
    }
    let opened = Folder::open(folder.path()).unwrap();
    (folder, Arc::new(opened))
}

fn training(batch: u32) -> SamplerConfig {
    SamplerConfig { pass: SamplerMode::Training, batch, rank: 0, ranks: 1, seed: 7, shuffle: true }
}

fn load(
    folder: &Arc<Folder>,
    config: SamplerConfig,
    workers: usize,
    from: BatchCursor,
    until: u32,
) -> Result<Vec<ImageBatch>, DataError> {
    let sampler = BatchSampler::new(folder.pictures(), config)?;
    Loader::start(Arc::clone(folder), sampler, VIEWS, workers, from, until)?.collect()
}

/// The real images of the fixtures in two classes.
fn fixtures() -> (TempDir, Arc<Folder>) {
    let folder = tempfile::tempdir().unwrap();
    for (number, class) in ["a", "b", "a", "b", "b"].iter().enumerate() {
        let class = folder.path().join(class);
        fs::create_dir_all(&class).unwrap();
        let from = crate::fixture::fixture(&format!("pipeline_{number}.png"));
        fs::copy(from, class.join(format!("{number}.png"))).unwrap();
    }
    let opened = Folder::open(folder.path()).unwrap();
    (folder, Arc::new(opened))
}

#[test]
fn threads_change_nothing() {
    let (_folder, folder) = fixtures();
    let expected = load(&folder, training(2), 0, START, 3).unwrap();
    assert_eq!(expected.len(), 6);
    for batch in &expected {
        assert_eq!((batch.crops.len(), batch.labels.len(), batch.broken.len()), (2, 2, 0));
        for (picture, label) in batch.pictures.iter().zip(&batch.labels) {
            assert_eq!(*label, u32::from(*picture >= 2));
        }
    }
    assert_ne!(expected[0].crops, expected[2].crops, "every epoch has its own");
    for workers in [1, 3] {
        assert_eq!(load(&folder, training(2), workers, START, 3).unwrap(), expected);
    }
}

#[test]
fn loader_gives_the_views_of_the_picture() {
    let (_folder, folder) = fixtures();
    let crops = CropSpec { crops: CropPositions::Random(2), flip: Flip::Both, ..VIEWS };
    let sampler = BatchSampler::new(5, training(5)).unwrap();
    let place = BatchCursor { epoch: 4, batch: 0 };
    let batches = Loader::start(Arc::clone(&folder), sampler.clone(), crops, 1, place, 5).unwrap();
    let batch = batches.map(Result::unwrap).next().unwrap();
    assert_eq!(batch.crops.len(), 5 * 4);
    for (position, views_of_one) in batch.crops.chunks_exact(4).enumerate() {
        let picture = sampler.order(4).item(position as u32);
        assert_eq!(batch.pictures[position], picture);
        let path = folder.path().join(folder.file(picture as usize));
        let draw = AugmentKey { seed: 7, epoch: 4, position: position as u32 };
        assert_eq!(views_of_one, crops.cut(&RgbImage::open(&path).unwrap(), draw).unwrap());
    }
    let mut values = vec![9.0; 5 * 4 * 16 * 16 * 3];
    batch.to_values(&mut values);
    let bytes: Vec<u8> = batch.crops.iter().flat_map(|view| view.rgb()).copied().collect();
    let expected = RgbImage::new(16, 16 * 20, bytes);
    assert_eq!(RgbImage::from_values(16, 16 * 20, &values), expected);
    assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
}

#[test]
fn next_that_can_be_read_stands_in() {
    let (_folder, folder) = data(6, &[1, 2]);
    let order = SamplerConfig { shuffle: false, ..training(3) };
    let batches = load(&folder, order, 2, START, 2).unwrap();
    let pictures: Vec<_> = batches.iter().map(|batch| &batch.pictures[..]).collect();
    assert_eq!(pictures, [[0, 3, 3], [3, 4, 5], [0, 3, 3], [3, 4, 5]]);
    assert_eq!(batches[0].labels, [0, 1, 1]);
    let told: Vec<usize> = batches.iter().map(|batch| batch.broken.len()).collect();
    assert_eq!(told, [2, 0, 0, 0]);
    let broken = &batches[0].broken[1];
    assert_eq!(broken.path, folder.path().join("class1/002.png"));
    assert!(
        broken.reason.starts_with("is not a PNG, JPEG, WebP, BMP, GIF, TIFF or Netpbm image"),
        "{}",
        broken.reason
    );
    // Three at two positions, cut by the random numbers of each.
    assert_ne!(batches[0].crops[1], batches[0].crops[2]);
}

#[test]
fn last_is_replaced_by_the_first() {
    let (_folder, folder) = data(4, &[3]);
    let order = SamplerConfig { shuffle: false, ..training(2) };
    let batches = load(&folder, order, 0, START, 1).unwrap();
    assert_eq!(batches[1].pictures, [2, 0]);
}

#[test]
fn validation_leaves_broken_pictures_out() {
    let (_folder, folder) = data(7, &[0, 5]);
    let whole = SamplerConfig { pass: SamplerMode::Validation, shuffle: false, ..training(3) };
    let batches = load(&folder, whole, 2, START, 1).unwrap();
    let pictures: Vec<_> = batches.iter().map(|batch| &batch.pictures[..]).collect();
    assert_eq!(pictures, [&[1, 2][..], &[3, 4], &[6]]);
    assert_eq!(batches.iter().map(|batch| batch.broken.len()).sum::<usize>(), 2);
}

#[test]
fn folder_of_broken_pictures_alone_is_an_error() {
    let (_folder, folder) = data(5, &[0, 1, 2, 3, 4]);
    for pass in [SamplerMode::Training, SamplerMode::Validation] {
        for workers in [0, 3] {
            let order = SamplerConfig { pass, shuffle: false, ..training(2) };
            let fault = load(&folder, order, workers, START, 3).unwrap_err().to_string();
            let path = folder.path().display().to_string();
            let fault = fault.replace(&path, "DATA");
            let expected = "DATA: none of its 5 images can be read; the first, \
                            DATA/class0/000.png: is not a PNG, JPEG, WebP, BMP, GIF, TIFF or Netpbm image";
            assert!(fault.starts_with(expected), "{fault}");
        }
    }
}

#[test]
fn files_that_go_missing_count_as_broken() {
    let (_folder, folder) = data(3, &[]);
    fs::remove_file(folder.path().join(folder.file(1))).unwrap();
    let order = SamplerConfig { shuffle: false, ..training(3) };
    let batches = load(&folder, order, 1, START, 1).unwrap();
    assert_eq!(batches[0].pictures, [0, 2, 2]);
}

#[test]
fn dropping_in_mid_epoch_ends_the_threads() {
    let (_folder, folder) = data(60, &Vec::from_iter(1..60));
    let sampler = BatchSampler::new(60, training(2)).unwrap();
    let mut loader = Loader::start(folder, sampler, VIEWS, 3, START, u32::MAX).unwrap();
    let batch = loader.next().unwrap().unwrap();
    assert_eq!(batch.pictures, [0, 0]);
    assert_eq!(loader.broken(), batch.broken.len());
    let reader = Arc::downgrade(&loader.reader);
    drop(loader);
    assert!(reader.upgrade().is_none(), "the threads have ended");
}

#[test]
fn loader_ends_its_search_when_nobody_waits() {
    let (_folder, folder) = data(6, &[0, 1, 2]);
    let sampler = BatchSampler::new(6, SamplerConfig { shuffle: false, ..training(6) }).unwrap();
    let loader = Loader::start(folder, sampler.clone(), VIEWS, 0, START, 1).unwrap();
    let step = sampler.walk(START, 1).unwrap().next().unwrap();
    loader.reader.stopped.store(true, Ordering::Relaxed);
    let found = loader.reader.read(&step);
    assert_eq!((found.broken.len(), found.picture.is_some()), (0, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ranks_threads_and_resuming_change_nothing(
        pictures in 4_u32..14,
        broken in prop::collection::vec(0_u32..14, 0..6),
        workers in 0_usize..4,
        at in 0_usize..99,
        shuffle: bool,
    ) {
        let (_folder, folder) = data(pictures, &broken);
        prop_assume!((0..pictures).any(|picture| !broken.contains(&picture)));
        let of = |rank, ranks, workers, from| {
            let config = SamplerConfig { rank, ranks, shuffle, ..training(4) };
            load(&folder, config, workers, from, 3).unwrap()
        };
        let whole = of(0, 1, 0, START);
        // Also the warnings of broken images, and their order.
        prop_assert_eq!(&of(0, 1, workers, START), &whole);
        let seen = |batches: &[ImageBatch]| -> Vec<_> {
            let seen = |b: &ImageBatch| (b.place, b.crops.clone(), b.labels.clone(), b.pictures.clone());
            batches.iter().map(seen).collect()
        };
        let resumed = at % whole.len();
        let rest = of(0, 1, workers, whole[resumed].place);
        prop_assert_eq!(seen(&rest), seen(&whole[resumed..]));
        let halves = of(0, 2, workers, START).into_iter().zip(of(1, 2, 0, START));
        let joined = halves.map(|(mut first, second)| {
            first.crops.extend(second.crops);
            first.labels.extend(second.labels);
            first.pictures.extend(second.pictures);
            first
        });
        prop_assert_eq!(seen(&joined.collect::<Vec<_>>()), seen(&whole));
        let told: Vec<_> = whole.iter().flat_map(|batch| &batch.broken).collect();
        let once: HashSet<_> = told.iter().map(|broken| &broken.path).collect();
        prop_assert_eq!(told.len(), once.len());
    }
}
