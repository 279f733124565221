//! `--device` and `--precision`: the processor or a GPU.

#[cfg(feature = "cuda")]
use anyhow::Context;
use anyhow::Result;
#[cfg(not(feature = "cuda"))]
use anyhow::bail;
use var_host::engine::Engine;
#[cfg(feature = "cuda")]
use var_host::gpu::{self, GpuOptions};
#[cfg(feature = "cuda")]
use var_kernel::cuda::{Cuda, CudaError, Precision};

use super::Usage;
#[cfg(feature = "cuda")]
use super::launch;
use super::values::{DeviceName, PrecisionName};

/// Where to compute, as far as it is known before a GPU is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "no GPU can be asked for"))]
pub(crate) struct Device {
    /// The device asked for; none for a GPU if one answers.
    asked: Option<DeviceName>,
    precision: Option<PrecisionName>,
    /// Whether no launcher counts.
    alone: bool,
}

impl Device {
    /// The device of the options.
    pub(crate) fn new(
        asked: Option<DeviceName>,
        precision: Option<PrecisionName>,
        alone: bool,
    ) -> Result<Self> {
        if let (Some(DeviceName::Cpu), Some(_)) = (asked, precision) {
            let text = "--precision goes with --device cuda: the processor computes in f32";
            return Err(Usage(text.to_owned()).into());
        }
        #[cfg(not(feature = "cuda"))]
        {
            let only = "this build computes on the CPU only";
            if let Some(device @ DeviceName::Cuda(_)) = asked {
                bail!("--device {device}: {only}: use --device cpu, or build with --features cuda");
            }
            if precision.is_some() {
                bail!("--precision goes with --device cuda: {only}, in f32");
            }
        }
        Ok(Self { asked, precision, alone })
    }

    /// The same with a GPU that computes in `f32`, if no precision was asked for.
    #[cfg(feature = "cuda")]
    pub(crate) fn exact(self) -> Self {
        self.by_default(PrecisionName::F32)
    }

    /// The same with a GPU that computes in TF32, if no precision was asked for.
    pub(crate) fn tokenizing(self) -> Self {
        self.by_default(PrecisionName::Tf32)
    }

    fn by_default(self, precision: PrecisionName) -> Self {
        match self.asked {
            Some(DeviceName::Cpu) => self,
            _ => Self { precision: self.precision.or(Some(precision)), ..self },
        }
    }

    /// The GPU once more, in another precision; TF32 for `f32` where that was asked for.
    #[cfg(feature = "cuda")]
    pub(crate) fn gpu(self, precision: Precision) -> Result<Cuda> {
        let precision = match (precision, self.precision) {
            (Precision::F32, Some(PrecisionName::Tf32)) => Precision::Tf32,
            _ => precision,
        };
        let chosen = GpuOptions { number: self.number()?, precision };
        gpu::open(chosen, warn).with_context(|| format!("--device cuda:{}", chosen.number))
    }

    /// Which GPU.
    #[cfg(feature = "cuda")]
    fn number(self) -> Result<u32> {
        match self.asked {
            Some(DeviceName::Cuda(Some(number))) => Ok(number.into()),
            _ => {
                let number = launch::read(self.alone)?.gpu();
                let number = number.map_err(|error| Usage(error.to_string()))?;
                Ok(u32::try_from(number).unwrap_or(u32::MAX))
            }
        }
    }

    /// The GPU that was asked for, or one that answers, if any.
    #[cfg(feature = "cuda")]
    pub(crate) fn open(self, quiet: bool) -> Result<Option<Cuda>> {
        let name = match self.asked {
            Some(DeviceName::Cpu) => return Ok(None),
            name => name,
        };
        let number = match (self.number(), name) {
            (Ok(number), _) => number,
            // It is no matter where no GPU answers.
            (Err(_), None)
                if gpu::open(GpuOptions { number: 0, precision: Precision::F32 }, warn)
                    .is_err() =>
            {
                0
            }
            (Err(error), _) => return Err(error),
        };
        let chosen = GpuOptions { number, precision: self.precision() };
        match (gpu::open(chosen, warn), name) {
            (Ok(cuda), _) => Ok(Some(cuda)),
            (Err(error), Some(name)) => Err(error).with_context(|| format!("--device {name}")),
            (Err(error), None) => {
                // Most machines have no driver, and nothing to say about it.
                if !quiet && !matches!(error, CudaError::NoDriver) {
                    eprintln!("computing on the processor, in f32: {error}");
                }
                Ok(None)
            }
        }
    }

    /// The GPU that was asked for, or one that answers, else the processor, as [`var_host::Model`] takes it;
    /// and its name.
    #[cfg(feature = "serve")]
    pub(crate) fn of_model(self, quiet: bool) -> Result<(var_host::Device, String)> {
        #[cfg(feature = "cuda")]
        if self.open(quiet)?.is_some() {
            let number = self.number()?;
            let device = var_host::Device::cuda(number, self.precision());
            return Ok((device, format!("cuda:{number}")));
        }
        let _ = quiet;
        Ok((var_host::Device::cpu(), "cpu".to_owned()))
    }

    /// The engine on the GPU that was asked for, or on one that answers; else as it is.
    #[cfg(feature = "cuda")]
    pub(crate) fn engine<'w>(self, engine: Engine<'w>, quiet: bool) -> Result<Engine<'w>> {
        Ok(match self.open(quiet)? {
            Some(cuda) => engine.on_gpu(cuda)?,
            None => engine,
        })
    }

    /// The engine as it is.
    #[cfg(not(feature = "cuda"))]
    pub(crate) fn engine<'w>(self, engine: Engine<'w>, _: bool) -> Result<Engine<'w>> {
        Ok(engine)
    }

    /// Precision of products on a GPU.
    #[cfg(feature = "cuda")]
    pub(crate) fn precision(self) -> Precision {
        match self.precision {
            Some(PrecisionName::F32) => Precision::F32,
            Some(PrecisionName::Tf32) => Precision::Tf32,
            None | Some(PrecisionName::F16) => Precision::F16,
            Some(PrecisionName::Bf16) => Precision::Bf16,
        }
    }
}

/// Prints a warning.
#[cfg(feature = "cuda")]
fn warn(text: &str) {
    eprintln!("var: {text}");
}
