//! The processor as the home of a run.

use core::ops::Deref;
use std::borrow::Cow;

use var_kernel::cpu::Cpu;

use super::{Home, Layout, Precision, Ranks, TrainError};
use crate::engine::Buffer;

/// The processor's memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnProcessor;

/// The processor, as long as its threads are lent.
pub struct Lent<'d>(Cpu<'d>);

impl<'d> Deref for Lent<'d> {
    type Target = Cpu<'d>;

    fn deref(&self) -> &Cpu<'d> {
        &self.0
    }
}

impl Home for OnProcessor {
    type Slice = [f32];
    type Numbers = Vec<f32>;
    type Working = Buffer;
    type Group = ();
    type Device<'d> = Cpu<'d>;
    type Handle<'d> = Lent<'d>;

    fn device<'d>(&'d self, cpu: Cpu<'d>) -> Lent<'d> {
        Lent(cpu)
    }

    fn zeros(_: &Cpu<'_>, floats: usize) -> Result<Vec<f32>, TrainError> {
        Ok(vec![0.0; floats])
    }

    fn keep(_: &Cpu<'_>, layout: &Layout, numbers: Vec<f32>) -> Result<Vec<f32>, TrainError> {
        assert_eq!(numbers.len(), layout.floats(), "numbers are not as long as their layout");
        Ok(numbers)
    }

    fn read<'n>(
        _: &Cpu<'_>,
        _: &Layout,
        numbers: &'n Vec<f32>,
    ) -> Result<Cow<'n, [f32]>, TrainError> {
        Ok(Cow::Borrowed(numbers))
    }

    fn room<'m>(
        _: &Cpu<'_>,
        working: &'m mut Buffer,
        floats: usize,
    ) -> Result<&'m mut [f32], TrainError> {
        Ok(working.at_least(floats)?)
    }

    fn round(
        cpu: &Cpu<'_>,
        precision: Precision,
        layout: &Layout,
        weights: &[f32],
        computed: &mut [f32],
    ) -> Result<(), TrainError> {
        precision.round(cpu, layout, weights, computed);
        Ok(())
    }

    fn group(_: &Cpu<'_>, _: &dyn Ranks) -> Result<(), TrainError> {
        Ok(())
    }

    fn sum(
        _: &Cpu<'_>,
        (): &mut (),
        ranks: &dyn Ranks,
        numbers: &mut Vec<f32>,
    ) -> Result<(), TrainError> {
        Ok(ranks.sum(numbers)?)
    }

    fn free(_: &Cpu<'_>) -> Option<u64> {
        None
    }
}
