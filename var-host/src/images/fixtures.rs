//! The golden resizes and crops made with Pillow, for the tests of this folder.

use std::fs;

use safetensors::SafeTensors;
use serde_json::Value;

use super::RgbImage;

/// One image, and its output of the training pipeline.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) source: RgbImage,
    /// The shorter side after resizing.
    pub(super) mid: usize,
    /// The side after cropping.
    pub(super) side: usize,
    pub(super) resized: RgbImage,
    pub(super) center_crop: RgbImage,
}

pub(super) use crate::fixture::fixture as path;

pub(super) fn cases() -> Vec<Case> {
    let bytes = fs::read(path("image_pipeline.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let picture = |name: String| {
        let tensor = tensors.tensor(&name).unwrap();
        let [height, width, 3] = *tensor.shape() else { panic!("{name}: {:?}", tensor.shape()) };
        RgbImage::new(width, height, tensor.data().to_vec())
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let about: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["about"]).unwrap();
    let about = about.as_object().unwrap();
    assert_eq!(about.len(), 5);
    let case = |(key, case): (&String, &Value)| {
        let name = case["source"].as_str().unwrap().to_owned();
        Case {
            source: RgbImage::open(&path(&name)).unwrap(),
            mid: case["mid"].as_u64().unwrap() as usize,
            side: case["final"].as_u64().unwrap() as usize,
            resized: picture(format!("resized.{key}")),
            center_crop: picture(format!("centre_crop.{key}")),
            name,
        }
    };
    about.iter().map(case).collect()
}
