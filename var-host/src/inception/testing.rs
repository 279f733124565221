//! Weights, images and golden files of the tests, by the fixtures' formulas.

use std::path::PathBuf;

use super::weights::tensors;
use crate::checkpoint::Checkpoint;
use crate::images::RgbImage;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the golden files are.
pub(crate) fn fixture_path(name: &str) -> PathBuf {
    crate::fixture::fixture("evaluator").join(name)
}

/// A golden file of tensors.
pub(crate) fn fixture(name: &str) -> Checkpoint {
    Checkpoint::open(fixture_path(name)).unwrap()
}

/// The generator's number `i` under a name.
fn hash(seed: u64, i: u64) -> u64 {
    let z = seed.wrapping_add(i.wrapping_mul(STEP)).wrapping_add(STEP);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// `count` bytes under a name.
pub(crate) fn bytes(name: &str, count: usize) -> Vec<u8> {
    let seed = seed(name);
    (0..count as u64).map(|i| (hash(seed, i) >> 56) as u8).collect()
}

/// `count` numbers of mean 0 and variance 1 under a name.
pub(crate) fn normal(name: &str, count: usize) -> Vec<f64> {
    let seed = seed(name);
    let scale = 2.0_f64.powi(-53);
    let number = |i: u64| {
        let (a, b) = (hash(seed, 2 * i), hash(seed, 2 * i + 1));
        let (a, b) = (((a >> 11) as f64 + 1.0) * scale, (b >> 11) as f64 * scale);
        (-2.0 * a.ln()).sqrt() * (2.0 * core::f64::consts::PI * b).cos()
    };
    (0..count as u64).map(number).collect()
}

/// A weight of the set with `gain`.
fn weight(name: &str, shape: &[usize], gain: f64) -> Vec<f32> {
    let seed = seed(name);
    let fan_in: usize = shape[1..].iter().product();
    let spread = (3.0 / fan_in as f64).sqrt() * gain;
    let number = |i: u64| {
        let u = (hash(seed, i) >> 40) as f64 / 16_777_216.0;
        let t = 2.0 * u - 1.0;
        let value = match name.rsplit_once('.') {
            Some((part, "weight")) if part.ends_with("bn") => 1.0 + 0.1 * t,
            Some((_, "weight")) => t * spread,
            Some(("fc", "bias")) => 0.02 * t,
            Some((_, "bias" | "running_mean")) => 0.1 * t,
            Some((_, "running_var")) => 1.0 + 0.5 * u,
            _ => panic!("{name}: no formula"),
        };
        value as f32
    };
    (0..shape.iter().product::<usize>() as u64).map(number).collect()
}

/// The set of weights with features most like real ones.
pub(crate) const SET_B: f64 = 1.625;

/// A file of the weights with `gain`, as the published one but for its format.
pub(crate) fn weights_file(gain: f64) -> Vec<u8> {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    let all: Vec<_> = tensors()
        .into_iter()
        .map(|(name, shape)| {
            let values = weight(&name, &shape, gain);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = all.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// An image by formula: `cells` × `cells` smooth patches and noise of so many levels.
pub(crate) fn image(name: &str, side: usize, cells: usize, noise: i64) -> RgbImage {
    let c = side / cells;
    let lattice = bytes(name, (cells + 1) * (cells + 1) * 3);
    let noises = bytes(&format!("{name}/noise"), side * side * 3);
    let value = |at: usize| {
        let (y, x, color) = (at / 3 / side, at / 3 % side, at % 3);
        let ((cy, fy), (cx, fx)) = ((y / c, y % c), (x / c, x % c));
        let g = |y: usize, x: usize| usize::from(lattice[(y * (cells + 1) + x) * 3 + color]);
        let (above, below) = (c - fy, fy);
        let sum = g(cy, cx) * above * (c - fx)
            + g(cy, cx + 1) * above * fx
            + g(cy + 1, cx) * below * (c - fx)
            + g(cy + 1, cx + 1) * below * fx;
        let smooth = ((sum + c * c / 2) / (c * c)) as i64;
        let noise = ((i64::from(noises[at]) * (2 * noise + 1)) >> 8) - noise;
        (smooth + noise).clamp(0, 255) as u8
    };
    RgbImage::new(side, side, (0..side * side * 3).map(value).collect())
}

/// Image `n` of a set of 64 × 64.
pub(crate) fn image64(set: &str, n: usize) -> RgbImage {
    image(&format!("{set}/{n}"), 64, [2, 4, 8, 16][n % 4], [0, 24, 8, 48][n / 4 % 4])
}

/// Image `n` of those of 256 × 256.
pub(crate) fn image256(n: usize) -> RgbImage {
    image(&format!("img/256/{n}"), 256, [4, 8, 16, 32][n % 4], [0, 24, 8, 48][n / 4 % 4])
}

#[test]
fn generator_is_the_fixtures() {
    assert_eq!(hash(0, 0), 0xe220_a839_7b1d_cdaf);
    assert_eq!(seed("fc.bias"), 0x145e_200a_f8fe_4b85);
    let golden = fixture("inception.safetensors");
    for (tensor, pictures) in [
        ("images64", (0..8).map(|n| image64("img/64", n)).collect::<Vec<_>>()),
        ("images256", vec![image256(0)]),
    ] {
        let made: Vec<u8> = pictures.iter().flat_map(|picture| picture.rgb().to_vec()).collect();
        assert!(golden.tensor(tensor).unwrap().bytes == made, "{tensor}");
    }
    // The sum over all tensors of Σ (i + 1) · bits, as weights_check.json has it.
    let bits = |values: Vec<f32>| {
        let each = values.iter().zip(1_u64..);
        each.fold(0_u64, |sum, (value, i)| {
            sum.wrapping_add(i.wrapping_mul(u64::from(value.to_bits())))
        })
    };
    let sum = |gain: f64| {
        let all = tensors().into_iter().map(|(name, shape)| bits(weight(&name, &shape, gain)));
        all.fold(0_u64, u64::wrapping_add)
    };
    assert_eq!(sum(2.0_f64.sqrt()), 0x383a_6c6f_998d_76a2);
    assert_eq!(sum(SET_B), 0xf75d_45c9_24d0_3637);
}
