//! LPIPS, a distance between pictures that follows what people see (Zhang and others, "The
//! Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018), on VGG16.

use std::path::Path;

use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::ops::Conv2d;
use var_kernel::ops::conv2d::{Dims, Grid};

use crate::checkpoint::{Checkpoint, Tensor};
use crate::model::ModelError;
use crate::pictures::Picture;

/// The convolutions of VGG16 by their place among its layers, in stages with pooling between; the
/// last of each stage is compared.
const STAGES: [&[usize]; 5] = [&[0, 2], &[5, 7], &[10, 12, 14], &[17, 19, 21], &[24, 26, 28]];

/// The shortest side that is still a cell at the last stage.
pub const SHORTEST_SIDE: usize = 1 << (STAGES.len() - 1);

/// What is taken off each colour, and what it is then divided by.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// The network and the weights of its channels.
pub struct Lpips {
    checkpoint: Checkpoint,
    file: String,
}

/// Features of one stage, channels last.
struct Features {
    values: Vec<f32>,
    width: usize,
    height: usize,
    channels: usize,
}

impl Lpips {
    /// The weights in the file at `path`: `features.N.weight`, `features.N.bias` as in torchvision's
    /// VGG16, `linK.model.1.weight` as in LPIPS v0.1.
    ///
    /// # Errors
    /// If it cannot be read or a tensor is missing or misshapen.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::of(Checkpoint::open(path)?, path.display().to_string())
    }

    /// The weights in an open checkpoint, called `file` in messages.
    ///
    /// # Errors
    /// If a tensor is missing or misshapen.
    pub fn of(checkpoint: Checkpoint, file: String) -> Result<Self, ModelError> {
        let lpips = Self { checkpoint, file };
        let mut channels = SHIFT.len();
        for (stage, layers) in STAGES.into_iter().enumerate() {
            for layer in layers {
                let name = format!("features.{layer}.weight");
                let outer = lpips.tensor(&name)?.shape.first().copied().unwrap_or(0);
                lpips.matrix(&name, &[outer, channels, 3, 3])?;
                lpips.numbers(&format!("features.{layer}.bias"), &[outer])?;
                channels = outer;
            }
            lpips.numbers(&format!("lin{stage}.model.1.weight"), &[1, channels, 1, 1])?;
        }
        Ok(lpips)
    }

    /// How far apart two pictures are; 0 for equal ones. None if a side is under [`SHORTEST_SIDE`].
    ///
    /// `Σ_stages mean_cells Σ_c w_c · (a_c/‖a‖ − b_c/‖b‖)²`, a and b the features of a cell.
    ///
    /// # Panics
    /// If the pictures differ in size.
    pub fn distance(&self, cpu: &Cpu<'_>, a: &Picture, b: &Picture) -> Option<f32> {
        let size = (a.width(), a.height());
        assert_eq!(size, (b.width(), b.height()), "lpips: two sizes");
        if size.0.min(size.1) < SHORTEST_SIDE {
            return None;
        }
        let (mut a, mut b) = (Features::of(a), Features::of(b));
        let mut sum = 0.0;
        for (stage, layers) in STAGES.into_iter().enumerate() {
            if stage > 0 {
                (a, b) = (a.pooled(), b.pooled());
            }
            for layer in layers {
                (a, b) = (self.layer(cpu, *layer, &a), self.layer(cpu, *layer, &b));
            }
            let name = format!("lin{stage}.model.1.weight");
            sum += difference(&a, &b, &self.known(&name).to_f32());
        }
        Some(sum as f32)
    }

    /// A convolution, then ReLU.
    fn layer(&self, cpu: &Cpu<'_>, layer: usize, x: &Features) -> Features {
        let bias = self.known(&format!("features.{layer}.bias")).to_f32();
        let weight = matrix_of(self.known(&format!("features.{layer}.weight")));
        let weight = weight.expect("`of` has checked its type");
        let (height, width, inner, outer) = (x.height, x.width, x.channels, bias.len());
        let d = Dims { batch: 1, height, width, inner, outer, kernel: 3, grid: Grid::Same };
        let mut values = vec![0.0; d.out_len()];
        let mut scratch = vec![0.0; cpu.conv2d_scratch(d)];
        let Ok(()) = cpu.conv2d(&mut values, &x.values, weight, &bias, None, &mut scratch, d);
        for value in &mut values {
            *value = value.max(0.0);
        }
        Features { values, width, height, channels: outer }
    }

    fn known(&self, name: &str) -> Tensor<'_> {
        self.checkpoint.tensor(name).expect("`of` has found every tensor")
    }

    fn tensor(&self, name: &str) -> Result<Tensor<'_>, ModelError> {
        let missing = || ModelError::Missing { file: self.file.clone(), tensor: name.to_owned() };
        self.checkpoint.tensor(name).ok_or_else(missing)
    }

    /// Checks that the tensor `name` has this shape and a type that convolutions take.
    fn matrix(&self, name: &str, wants: &[usize]) -> Result<(), ModelError> {
        let tensor = self.numbers(name, wants)?;
        let (file, has) = (self.file.clone(), tensor.dtype);
        let other = ModelError::ElementType { file, tensor: name.to_owned(), has };
        matrix_of(tensor).map(|_| ()).ok_or(other)
    }

    /// Checks that the tensor `name` has this shape and holds floating-point numbers.
    fn numbers(&self, name: &str, wants: &[usize]) -> Result<Tensor<'_>, ModelError> {
        let (tensor, file) = (self.tensor(name)?, self.file.clone());
        if tensor.shape != wants {
            let (wants, has) = (wants.to_vec(), tensor.shape.to_vec());
            return Err(ModelError::Shape { file, tensor: name.to_owned(), wants, has });
        }
        if !tensor.dtype.is_float() {
            let has = tensor.dtype;
            return Err(ModelError::ElementType { file, tensor: name.to_owned(), has });
        }
        Ok(tensor)
    }
}

/// A tensor as convolutions take it.
fn matrix_of(tensor: Tensor<'_>) -> Option<Matrix<'_>> {
    let single = tensor.as_f32().map(Matrix::F32);
    single.or(tensor.as_f16().map(Matrix::F16)).or(tensor.as_bf16().map(Matrix::Bf16))
}

impl Features {
    /// A picture in [−1, 1], each colour shifted and scaled.
    fn of(picture: &Picture) -> Self {
        let mut values = vec![0.0; picture.rgb().len()];
        picture.to_values(&mut values);
        for pixel in values.chunks_exact_mut(SHIFT.len()) {
            for (colour, value) in pixel.iter_mut().enumerate() {
                *value = (*value - SHIFT[colour]) / SCALE[colour];
            }
        }
        let (width, height) = (picture.width(), picture.height());
        Self { values, width, height, channels: SHIFT.len() }
    }

    /// The greatest of each 2 × 2 cells; an odd last row or column is left out.
    fn pooled(&self) -> Self {
        let (width, height, channels) = (self.width / 2, self.height / 2, self.channels);
        let mut values = Vec::with_capacity(width * height * channels);
        let at = |y: usize, x: usize, c: usize| self.values[(y * self.width + x) * channels + c];
        for y in (0..2 * height).step_by(2) {
            for x in (0..2 * width).step_by(2) {
                values.extend((0..channels).map(|c| {
                    at(y, x, c).max(at(y, x + 1, c)).max(at(y + 1, x, c).max(at(y + 1, x + 1, c)))
                }));
            }
        }
        Self { values, width, height, channels }
    }
}

/// `mean_cells Σ_c w_c · (a_c/‖a‖ − b_c/‖b‖)²`, in `f64`.
fn difference(a: &Features, b: &Features, weights: &[f32]) -> f64 {
    /// Keeps a cell without features from dividing by zero.
    const LEAST: f64 = 1e-10;
    let length =
        |cell: &[f32]| cell.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() + LEAST;
    let cells = a.values.chunks_exact(a.channels).zip(b.values.chunks_exact(b.channels));
    let sum: f64 = cells
        .map(|(a, b)| {
            let (a_length, b_length) = (length(a), length(b));
            let square = |((a, b), weight): ((&f32, &f32), &f32)| {
                f64::from(*weight) * (f64::from(*a) / a_length - f64::from(*b) / b_length).powi(2)
            };
            a.iter().zip(b).zip(weights).map(square).sum::<f64>()
        })
        .sum();
    sum / (a.width * a.height) as f64
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use var_kernel::cpu::{Inline, Isa, SCRATCH_FLOATS};

    use super::*;

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

    fn picture(seed: usize, side: usize) -> Picture {
        let byte = |i: usize| (128.0 + 127.0 * number(seed + i)) as u8;
        Picture::new(side, side, (0..3 * side * side).map(byte).collect())
    }

    /// One channel, `[y][x]`.
    type Map = Vec<Vec<f64>>;

    /// The features of every stage by the formula, in `f64`: `[stage][channel]`.
    fn naive(picture: &Picture) -> Vec<Vec<Map>> {
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
    fn the_distance_follows_its_formula() {
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
        assert!(want > 1e-3, "the pictures differ by {want}");
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
}
