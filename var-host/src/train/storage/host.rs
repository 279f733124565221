//! The host's memory.

use core::ops::Deref;
use std::borrow::Cow;

use var_kernel::cpu::Cpu;

use super::{AllReduce, ParameterLayout, Precision, Storage, TrainError};
use crate::engine::Buffer;
use crate::parallel::ProcessGroup;

/// The host's memory, in which the processor computes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host;

/// The processor, as long as its threads are lent.
pub struct LentCpu<'d>(Cpu<'d>);

impl<'d> Deref for LentCpu<'d> {
    type Target = Cpu<'d>;

    fn deref(&self) -> &Cpu<'d> {
        &self.0
    }
}

impl Storage for Host {
    type Slice = [f32];
    type Buffer = Vec<f32>;
    type Workspace = Buffer;
    type AllReduce = GroupAllReduce;
    type Device<'d> = Cpu<'d>;
    type Handle<'d> = LentCpu<'d>;

    fn device<'d>(&'d self, cpu: Cpu<'d>) -> LentCpu<'d> {
        LentCpu(cpu)
    }

    fn zeros(_: &Cpu<'_>, floats: usize) -> Result<Vec<f32>, TrainError> {
        Ok(vec![0.0; floats])
    }

    fn from_host(
        _: &Cpu<'_>,
        layout: &ParameterLayout,
        elements: Vec<f32>,
    ) -> Result<Vec<f32>, TrainError> {
        assert_eq!(elements.len(), layout.floats(), "elements are not as long as their layout");
        Ok(elements)
    }

    fn to_host<'n>(
        _: &Cpu<'_>,
        _: &ParameterLayout,
        elements: &'n Vec<f32>,
    ) -> Result<Cow<'n, [f32]>, TrainError> {
        Ok(Cow::Borrowed(elements))
    }

    fn workspace<'m>(
        _: &Cpu<'_>,
        working: &'m mut Buffer,
        floats: usize,
    ) -> Result<&'m mut [f32], TrainError> {
        Ok(working.at_least(floats)?)
    }

    fn round(
        cpu: &Cpu<'_>,
        precision: Precision,
        layout: &ParameterLayout,
        weights: &[f32],
        computed: &mut [f32],
    ) -> Result<(), TrainError> {
        precision.round(cpu, layout, weights, computed);
        Ok(())
    }

    fn free(_: &Cpu<'_>) -> Option<u64> {
        None
    }
}

/// Sums on the host, by the ranks' own collectives.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupAllReduce;

impl AllReduce<Host> for GroupAllReduce {
    fn join(
        &mut self,
        _: &Cpu<'_>,
        _: &dyn ProcessGroup,
    ) -> Result<Option<&'static str>, TrainError> {
        Ok(None)
    }

    fn sum(
        &mut self,
        _: &Cpu<'_>,
        ranks: &dyn ProcessGroup,
        elements: &mut [f32],
    ) -> Result<(), TrainError> {
        Ok(ranks.sum(elements)?)
    }
}
