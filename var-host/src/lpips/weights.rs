//! The weights of LPIPS: their file, checked, and as a source for the network.

use core::convert::Infallible;
use core::fmt;
use std::collections::HashMap;
use std::path::Path;

use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::model::vqvae::COLORS;
use var_kernel::model::weights::Source;

use super::network::{Channels, STAGES};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::model::ModelError;

/// Mean and deviation of each color of the network's input.
pub(super) const SHIFT: [f32; COLORS] = [-0.030, -0.088, -0.188];
pub(super) const SCALE: [f32; COLORS] = [0.458, 0.448, 0.450];

/// The weights in a file, checked.
pub struct Lpips {
    checkpoint: Checkpoint,
    channels: Channels,
    /// Tensors used as `f32` in any file: biases, heads and the scaling of colors.
    vectors: HashMap<String, Vec<f32>>,
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
        let open = Open { checkpoint: &checkpoint, file };
        let (mut vectors, mut channels) = (scaling(), [0; STAGES.len()]);
        let mut inner = COLORS;
        for (stage, layers) in STAGES.into_iter().enumerate() {
            for (place, layer) in layers.iter().enumerate() {
                let name = format!("features.{layer}.weight");
                // The first convolution of a stage sets the channels, the others keep them.
                if place == 0 {
                    channels[stage] = open.tensor(&name)?.shape.first().copied().unwrap_or(0);
                }
                open.matrix(&name, &[channels[stage], inner, 3, 3])?;
                let name = format!("features.{layer}.bias");
                let bias = open.numbers(&name, &[channels[stage]])?.to_f32();
                vectors.insert(name, bias);
                inner = channels[stage];
            }
            let name = format!("lin{stage}.model.1.weight");
            let head = open.numbers(&name, &[1, inner, 1, 1])?.to_f32();
            vectors.insert(name, head);
        }
        Ok(Self { checkpoint, channels, vectors })
    }

    /// Channels of each stage.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// The numbers of the tensor `name` as `f32`, whatever the file has.
    ///
    /// # Panics
    /// If the network wants no such tensor.
    pub fn numbers(&self, name: &str) -> Vec<f32> {
        match self.vectors.get(name) {
            Some(vector) => vector.clone(),
            None => self.known(name).to_f32(),
        }
    }

    /// The weights as the network takes them on the CPU.
    pub(super) fn source(&self) -> FileSource<'_> {
        FileSource(self)
    }

    fn known(&self, name: &str) -> Tensor<'_> {
        self.checkpoint.tensor(name).expect("`of` has found every tensor")
    }
}

/// `(x − shift) / scale` as a convolution's weight and bias.
fn scaling() -> HashMap<String, Vec<f32>> {
    let mut weight = vec![0.0; COLORS * COLORS];
    for color in 0..COLORS {
        weight[color * COLORS + color] = 1.0 / SCALE[color];
    }
    let bias = (0..COLORS).map(|color| -SHIFT[color] / SCALE[color]).collect();
    HashMap::from([("scaling.weight".to_owned(), weight), ("scaling.bias".to_owned(), bias)])
}

/// A file in which tensors are looked for.
struct Open<'c> {
    checkpoint: &'c Checkpoint,
    file: String,
}

impl Open<'_> {
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
        let values = tensor.to_f32();
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(tensor),
            Some(index) => {
                let (tensor, value) = (name.to_owned(), values[index]);
                Err(ModelError::NotFinite { file, tensor, index, value })
            }
        }
    }
}

/// A tensor as convolutions take it.
fn matrix_of(tensor: Tensor<'_>) -> Option<Matrix<'_>> {
    let single = tensor.as_f32().map(Matrix::F32);
    single.or(tensor.as_f16().map(Matrix::F16)).or(tensor.as_bf16().map(Matrix::Bf16))
}

/// [`Lpips`] as a source of weights for the CPU.
pub(super) struct FileSource<'l>(&'l Lpips);

impl<'l> Source<'l, Cpu<'_>> for FileSource<'l> {
    type Error = Infallible;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        _shape: &[usize],
    ) -> Result<Matrix<'l>, Infallible> {
        let (lpips, name): (&'l Lpips, _) = (self.0, name.to_string());
        if let Some(vector) = lpips.vectors.get(&name) {
            return Ok(Matrix::F32(vector));
        }
        Ok(matrix_of(lpips.known(&name)).expect("`of` has checked its type"))
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        _shape: &[usize],
    ) -> Result<&'l [f32], Infallible> {
        let lpips: &'l Lpips = self.0;
        Ok(lpips.vectors.get(&name.to_string()).expect("`of` has read every vector"))
    }
}
