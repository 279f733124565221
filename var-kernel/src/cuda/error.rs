//! Errors of GPUs.

use core::fmt;
use std::string::String;

/// A GPU that cannot be used, or a command it refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CudaError {
    /// There is no NVIDIA driver on this machine.
    NoDriver,
    /// The driver's library that was found is a stub of the CUDA toolkit, to link with.
    StubDriver,
    /// The driver is there, but finds no GPU of this number.
    NoDevice {
        /// The GPU asked for, counted from 0.
        asked: u32,
        /// How many there are.
        found: u32,
    },
    /// The driver is older than this program requires.
    OldDriver {
        /// The CUDA version the driver serves, as 1000 · major + 10 · minor.
        has: u32,
        /// The least that will do.
        wants: u32,
    },
    /// The GPU is older than the kernels' instructions.
    OldGpu {
        /// Its name.
        name: String,
        /// Its compute capability.
        capability: (u32, u32),
        /// The least that will do.
        wants: (u32, u32),
    },
    /// The library that compiles kernels (NVRTC) is not on this machine.
    NoCompiler,
    /// The library that adds up over GPUs (NCCL) is not on this machine.
    NoNccl,
    /// The library that compiles kernels does not know the GPU's architecture.
    OldCompiler {
        /// Its version.
        has: (i32, i32),
        /// The GPU's compute capability.
        capability: (u32, u32),
    },
    /// The compiler refused a kernel's text.
    Compile {
        /// The text's name.
        source: &'static str,
        /// Its log.
        log: String,
    },
    /// The GPU has not as much memory.
    OutOfMemory {
        /// Bytes asked for.
        asked: u64,
        /// Bytes that were free.
        free: u64,
        /// Bytes the GPU has.
        total: u64,
    },
    /// A kernel could not be started.
    Launch {
        /// The kernel.
        kernel: &'static str,
        /// The driver's error.
        reason: String,
    },
    /// The GPU failed while computing: a fault in a kernel, or the GPU was lost.
    Failed {
        /// The last kernel that was started before this showed; the fault lies there or before.
        after: &'static str,
        /// The driver's error.
        reason: String,
    },
    /// A call of the driver failed for a reason of its own.
    Driver {
        /// The action.
        doing: &'static str,
        /// The driver's error.
        reason: String,
    },
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => f.write_str("there is no NVIDIA driver on this machine"),
            Self::StubDriver => f.write_str(
                "the libcuda that is found is a stub of the CUDA toolkit, to link with: take the folder \
                 `stubs` out of LD_LIBRARY_PATH",
            ),
            Self::NoDevice { found: 0, .. } => f.write_str("the NVIDIA driver finds no GPU"),
            Self::NoDevice { asked, found } => {
                write!(f, "there is no GPU number {asked}: the driver finds {found}, counted from 0")
            }
            Self::OldDriver { has, wants } => write!(
                f,
                "the NVIDIA driver serves CUDA {}, this program wants {} or newer: update the driver",
                version(*has),
                version(*wants)
            ),
            Self::OldGpu { name, capability: (major, minor), wants } => write!(
                f,
                "{name} has compute capability {major}.{minor}, this program wants {}.{} or newer",
                wants.0, wants.1
            ),
            Self::NoCompiler => f.write_str(
                "NVRTC, which compiles kernels, is not on this machine: install the CUDA toolkit, or put \
                 the folder with libnvrtc into LD_LIBRARY_PATH",
            ),
            Self::NoNccl => f.write_str(
                "NCCL, which adds up over GPUs, is not on this machine: put the folder with libnccl \
                 into LD_LIBRARY_PATH",
            ),
            Self::OldCompiler { has, capability: (major, minor) } => write!(
                f,
                "NVRTC {}.{} does not compile for GPUs of compute capability {major}.{minor}: install \
                 a newer CUDA toolkit",
                has.0, has.1
            ),
            Self::Compile { source, log } => write!(f, "the kernels of {source} do not compile: {log}"),
            Self::OutOfMemory { asked, free, total } => write!(
                f,
                "{} of memory of the GPU cannot be had: {} of {} are free: try a smaller batch, another GPU or the processor",
                bytes(*asked),
                bytes(*free),
                bytes(*total)
            ),
            Self::Launch { kernel, reason } => write!(f, "kernel {kernel} does not start: {reason}"),
            Self::Failed { after, reason } => {
                write!(f, "the GPU failed, in kernel {after} or before: {reason}")
            }
            Self::Driver { doing, reason } => write!(f, "{doing}: {reason}"),
        }
    }
}

impl core::error::Error for CudaError {}

/// `13.0` of 13000.
fn version(number: u32) -> String {
    std::format!("{}.{}", number / 1000, number % 1000 / 10)
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { std::format!("{bytes} B") } else { std::format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn messages_name_both_numbers() {
        let error = CudaError::OutOfMemory { asked: 3 << 30, free: 1 << 29, total: 80 << 30 };
        assert_eq!(
            error.to_string(),
            "3.0 GiB of memory of the GPU cannot be had: 512.0 MiB of 80.0 GiB are free: try a \
             smaller batch, another GPU or the processor"
        );
        let error = CudaError::OldDriver { has: 12040, wants: 13000 };
        assert!(error.to_string().contains("serves CUDA 12.4, this program wants 13.0"));
        let error = CudaError::NoDevice { asked: 3, found: 1 };
        assert_eq!(
            error.to_string(),
            "there is no GPU number 3: the driver finds 1, counted from 0"
        );
    }
}
