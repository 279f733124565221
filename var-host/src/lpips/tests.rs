//! LPIPS against its formula in `f64`, on a narrow network.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use var_kernel::cpu::{Inline, Isa, SCRATCH_FLOATS};

use super::network::STAGES;
use super::weights::{SCALE, SHIFT};
use super::*;
use crate::checkpoint::Checkpoint;
use crate::model::ModelError;

/// Channels of each stage of a narrow network.
const CHANNELS: [usize; 5] = [3, 2, 5, 4, 3];

fn number(seed: usize) -> f32 {
    (seed.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f32 / 32_768.0 - 1.0
}

/// Names, shapes and numbers of a narrow network.
fn tensors() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let (mut tensors, mut inner) = (Vec::new(), 3);
    let mut push = |name: String, shape: Vec<usize>, shift: f32| {
        let seed = 1000 * name.len() + shape[0];
        let length = shape.iter().product::<usize>();
        let values = (0..length).map(|i| shift + 0.5 * number(seed + 7 * i)).collect();
        tensors.push((name, shape, values));
    };
    for (stage, layers) in STAGES.into_iter().enumerate() {
        for layer in layers {
            let outer = CHANNELS[stage];
            push(format!("features.{layer}.weight"), vec![outer, inner, 3, 3], 0.0);
            push(format!("features.{layer}.bias"), vec![outer], 0.3);
            inner = outer;
        }
        push(format!("lin{stage}.model.1.weight"), vec![1, inner, 1, 1], 0.6);
    }
    tensors
}

fn lpips(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Result<Lpips, ModelError> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.2.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    Lpips::of(Checkpoint::from_bytes(&file).unwrap(), "file".to_owned())
}

/// Weights of a narrow network.
pub(crate) fn narrow() -> Lpips {
    lpips(&tensors()).unwrap()
}

pub(crate) fn picture(seed: usize, side: usize) -> RgbImage {
    let byte = |i: usize| (128.0 + 127.0 * number(seed + i)) as u8;
    RgbImage::new(side, side, (0..3 * side * side).map(byte).collect())
}

/// One channel, `[y][x]`.
type Map = Vec<Vec<f64>>;

/// The features of every stage by the formula, in `f64`: `[stage][channel]`.
fn naive(picture: &RgbImage) -> Vec<Vec<Map>> {
    let (side, tensors) = (picture.width(), tensors());
    let numbers = |name: &str| &tensors.iter().find(|t| t.0 == name).unwrap().2;
    let mut maps: Vec<Map> = (0..3)
        .map(|c| {
            let at = |i: usize| f64::from(picture.rgb()[3 * i + c]) / 127.5 - 1.0;
            let at = |i| (at(i) - f64::from(SHIFT[c])) / f64::from(SCALE[c]);
            (0..side).map(|y| (0..side).map(|x| at(y * side + x)).collect()).collect()
        })
        .collect();
    let mut stages = Vec::new();
    for (stage, layers) in STAGES.into_iter().enumerate() {
        if stage > 0 {
            let half = maps[0].len() / 2;
            let pool = |map: &Map| -> Map {
                let at = |y: usize, x: usize| {
                    let row = |y: usize| map[y][2 * x].max(map[y][2 * x + 1]);
                    row(2 * y).max(row(2 * y + 1))
                };
                (0..half).map(|y| (0..half).map(|x| at(y, x)).collect()).collect()
            };
            maps = maps.iter().map(pool).collect();
        }
        for layer in layers {
            let weight = numbers(&format!("features.{layer}.weight"));
            let bias = numbers(&format!("features.{layer}.bias"));
            let (inner, side) = (maps.len(), maps[0].len());
            let at = |o: usize, row: usize, column: usize| {
                let mut sum = f64::from(bias[o]);
                for i in 0..inner {
                    for tap in 0..9 {
                        let (y, x) = (row + tap / 3, column + tap % 3);
                        if (1..=side).contains(&y) && (1..=side).contains(&x) {
                            let weight = f64::from(weight[(o * inner + i) * 9 + tap]);
                            sum += weight * maps[i][y - 1][x - 1];
                        }
                    }
                }
                sum.max(0.0)
            };
            let row = |o: usize, y: usize| (0..side).map(|x| at(o, y, x)).collect();
            maps = (0..bias.len()).map(|o| (0..side).map(|y| row(o, y)).collect()).collect();
        }
        stages.push(maps.clone());
    }
    stages
}

#[test]
fn distance_follows_its_formula() {
    let (a, b) = (picture(1, 24), picture(999, 24));
    let mut want = 0.0;
    for (stage, (a, b)) in naive(&a).into_iter().zip(naive(&b)).enumerate() {
        let (side, channels) = (a[0].len(), a.len());
        let name = format!("lin{stage}.model.1.weight");
        let weights = tensors().into_iter().find(|t| t.0 == name).unwrap().2;
        for (y, x) in (0..side * side).map(|i| (i / side, i % side)) {
            let squares = |maps: &[Map]| maps.iter().map(|m| m[y][x].powi(2)).sum::<f64>();
            // A cell may have no features at all.
            let length = |maps: &[Map]| squares(maps).sqrt() + 1e-10;
            for c in 0..channels {
                let (a, b) = (a[c][y][x] / length(&a), b[c][y][x] / length(&b));
                want += f64::from(weights[c]) * (a - b).powi(2) / (side * side) as f64;
            }
        }
    }
    let mut scratch = vec![0.0; SCRATCH_FLOATS];
    let workers = Inline::new(&mut scratch);
    let cpu = Cpu::new(Isa::best(), &workers);
    let lpips = lpips(&tensors()).unwrap();
    let got = lpips.distance(&cpu, &a, &b).unwrap();
    assert!(want > 1e-3, "the images differ by {want}");
    assert!((f64::from(got) - want).abs() < 1e-5 * want, "{got} {want}");
    assert_eq!(lpips.distance(&cpu, &a, &a), Some(0.0));
    assert_eq!(lpips.distance(&cpu, &picture(1, 15), &picture(2, 15)), None);
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let mut damaged = tensors();
    damaged.retain(|t| t.0 != "features.12.bias");
    let error = lpips(&damaged).err().unwrap().to_string();
    assert_eq!(error, "file: features.12.bias is missing");
    let mut damaged = tensors();
    damaged[0].1 = vec![3, 3, 9, 1];
    let error = lpips(&damaged).err().unwrap().to_string();
    assert_eq!(error, "file: features.0.weight: wants [3, 3, 3, 3], file has [3, 3, 9, 1]");
}
