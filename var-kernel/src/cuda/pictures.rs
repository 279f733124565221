//! Images as samples of 8 bits, to the GPU and back: a quarter of the bytes on the way.

use super::command::Launch;
use super::kernel_source::{Kernel, KernelSource};
use super::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource = KernelSource::new("pictures", include_str!("pictures.cu"));

const READ: Kernel = Kernel::new(&SOURCE, "read_pictures");
const SHOW: Kernel = Kernel::new(&SOURCE, "show_pictures");

/// Samples of a word.
const SAMPLES: usize = 4;

impl Cuda {
    #[track_caller]
    pub(super) fn read_pictures(&self, to: &mut Remote, from: &[u8]) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        if from.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let words = from.len().div_ceil(SAMPLES);
        let samples = self.scratch(words)?;
        self.upload_bytes(Remote::at_mut(samples, words), from)?;
        let launch = Launch::for_each(READ, words).slice(to).address(samples);
        self.launch(launch.length(from.len()), [(to, Dtype::F32)])
    }

    #[track_caller]
    pub(super) fn show_pictures(&self, to: &mut [u8], from: &Remote) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        if to.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let (x, words) = (self.operand_f32(from, to.len())?, to.len().div_ceil(SAMPLES));
        let samples = self.scratch(words)?;
        let launch = Launch::for_each(SHOW, words).address(samples).address(x);
        self.launch_to_scratch(launch.length(to.len()))?;
        self.download_bytes(to, samples)
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use crate::cuda::testing::gpus;
    use crate::image;
    use crate::ops::testing::random;
    use crate::transfer::ImageTransfer;

    #[test]
    fn samples_go_there_and_back_as_on_the_processor() {
        for length in [0, 1, 3, 4, 1001, 3072] {
            let samples: Vec<u8> = (0..length).map(|i| (i * 7 % 256) as u8).collect();
            let mut want = vec![0.0; length];
            image::from_bytes(&mut want, &samples);
            for gpu in gpus().iter() {
                let (mut numbers, mut back) = (gpu.nans(length), vec![0; length]);
                gpu.cuda.upload_images(&mut numbers, &samples).unwrap();
                assert!(gpu.read(&numbers) == want, "{}, {length} samples", gpu.name);
                gpu.cuda.download_images(&mut back, &numbers).unwrap();
                assert!(back == samples, "{}, {length} samples back", gpu.name);
            }
        }
    }

    #[test]
    fn numbers_are_shown_as_on_the_processor() {
        let mut numbers: Vec<f32> = random(2000, 1).iter().map(|x| 1.2 * x).collect();
        // Half-way between two samples, out of range, and none.
        numbers.extend((0..255).map(|sample| (sample as f32 + 0.5) / 127.5 - 1.0));
        numbers.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0]);
        let mut want = vec![0; numbers.len()];
        image::to_bytes(&mut want, &numbers);
        for gpu in gpus().iter() {
            let mut shown = vec![1; numbers.len()];
            gpu.cuda.download_images(&mut shown, &gpu.put(&numbers)).unwrap();
            assert!(shown == want, "{}", gpu.name);
        }
    }
}
