//! AdamW on a GPU: one pass over weights, moments and gradient.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::parts::{Kernel, Launch};

use super::{AdamW, Factors, Update};
use crate::grad::kernel_sources::ADAMW;

const STEP: Kernel = Kernel::new(&ADAMW, "adamw");
const SUMS_OF_SQUARES: Kernel = Kernel::new(&ADAMW, "sums_of_squares");
const SUM_OF_PARTS: Kernel = Kernel::new(&ADAMW, "sum_of_parts");
const AVERAGE: Kernel = Kernel::new(&ADAMW, "average");

const THREADS: usize = 256;

/// Bytes of four numbers, which one access moves.
const FOUR: u64 = 16;

/// Squares that are worth a block of their own.
const SQUARES: usize = 1 << 13;

/// Blocks that share the squares at most.
const PARTS: usize = 1024;

impl Update for Cuda {
    /// The same bits as the CPU's.
    fn adamw(
        &self,
        weights: &mut Remote,
        [m, v]: [&mut Remote; 2],
        gradient: &Remote,
        factor: f32,
        decay: f64,
        step: AdamW,
    ) -> Result<(), CudaError> {
        let length = weights.len();
        assert_eq!([m.len(), v.len(), gradient.len()], [length; 3], "adamw: lengths differ");
        if length == 0 {
            return Ok(());
        }
        let Factors { beta_1, beta_2, keep, size, root, eps } = step.factors(decay);
        let ([b1, rest_1], [b2, rest_2]) = (beta_1, beta_2);
        // They change from step to step, so they travel as mail: a graph keeps its arguments.
        let factors = [b1, rest_1, b2, rest_2, keep, size, root, eps, factor].map(f32::to_bits);
        let factors = self.send(&factors)?;
        let by_four = length.is_multiple_of(4)
            && [&*weights, m, v, gradient].iter().all(|run| run.address().is_multiple_of(FOUR));
        let threads = if by_four { length / 4 } else { length };
        let launch = Launch::new(STEP, [threads.div_ceil(THREADS), 1, 1], THREADS as u32);
        let launch = launch.slice(weights).slice(m).slice(v).slice(gradient).address(factors);
        let launch = launch.length(length).size(by_four.into());
        let dtype = Dtype::F32;
        self.launch(launch, [(weights, dtype), (m, dtype), (v, dtype)])
    }

    /// # Panics
    /// Also within a [`Capture::capture`](var_kernel::capture::Capture::capture).
    fn sum_of_squares(&self, x: &Remote) -> Result<f64, CudaError> {
        if x.is_empty() {
            return Ok(0.0);
        }
        self.fresh_scratch();
        let count = x.len().div_ceil(SQUARES).min(PARTS);
        // Two words a number.
        let (parts, out) = (self.scratch(2 * count)?, self.scratch(2)?);
        let launch = Launch::new(SUMS_OF_SQUARES, [count, 1, 1], THREADS as u32).address(parts);
        self.launch_to_scratch(launch.slice(x).length(x.len()))?;
        let launch = Launch::new(SUM_OF_PARTS, [1, 1, 1], THREADS as u32).address(out);
        self.launch_to_scratch(launch.address(parts).size(count))?;
        let mut words = [0; 2];
        self.download_scratch(&mut words, out)?;
        let [low, high] = words.map(u64::from);
        Ok(f64::from_bits(high << 32 | low))
    }

    /// The same bits as the CPU's.
    fn average(&self, average: &mut Remote, x: &Remote, decay: f32) -> Result<(), CudaError> {
        let length = average.len();
        assert_eq!(length, x.len(), "average: lengths differ");
        if length == 0 {
            return Ok(());
        }
        let launch = Launch::for_each(AVERAGE, length).slice(average).slice(x);
        let launch = launch.float(decay).float(1.0 - decay).length(length);
        self.launch(launch, [(average, Dtype::F32)])
    }
}
