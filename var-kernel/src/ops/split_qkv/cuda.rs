//! Queries, keys and values on a card: one warp a head of a row.

use super::{Dims, Normalisation, SplitQkv};
use crate::cuda::command::Launch;
use crate::cuda::text::{Kernel, Text};
use crate::cuda::{Cuda, CudaError, Element, Remote};
use crate::memory::{Device, Floats};

pub(crate) static TEXT: Text = Text::new("split_qkv", include_str!("kernel.cu"));

const SINGLE: Kernel = Kernel::new(&TEXT, "split_qkv");
const TO_SHORT: Kernel = Kernel::new(&TEXT, "split_qkv_to_short");
const SHORT: Kernel = Kernel::new(&TEXT, "split_qkv_short");
#[cfg(test)]
const NAIVE: Kernel = Kernel::new(&TEXT, "split_qkv_naive");

/// Heads of a block: one a warp.
const HEADS: usize = 8;

impl SplitQkv for Cuda {
    /// `q`, `k` and `v` are left in the format of activations inside a block; `k` and `v` may be
    /// [`Device::kept_len`] long.
    fn split_qkv(
        &self,
        q: &mut Remote,
        k: &mut Remote,
        v: &mut Remote,
        qkv: &Remote,
        biases: Option<[&Remote; 2]>,
        normalisation: Normalisation<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        self.check_split(q, [k, v], qkv, biases, normalisation, d);
        if q.is_empty() {
            return Ok(());
        }
        let (kernel, element) = match (self.element_of(qkv), self.inner()) {
            (Element::F32, Element::F32) => (SINGLE, Element::F32),
            (Element::F32, short) => (TO_SHORT, short),
            (_, short) => (SHORT, short),
        };
        let all_heads = d.batch * d.rows * d.heads;
        let launch = Launch::new(kernel, [all_heads.div_ceil(HEADS), 1, 1], 32 * HEADS as u32);
        let launch = arguments(launch, [q, k, v], qkv, biases, normalisation, d).length(all_heads);
        // Of the cache only the new rows are written, but all of it is in this format.
        self.launch(launch, [(q, element), (k, element), (v, element)])
    }
}

impl Cuda {
    fn check_split(
        &self,
        q: &Remote,
        kept: [&Remote; 2],
        qkv: &Remote,
        biases: Option<[&Remote; 2]>,
        normalisation: Normalisation<'_, Remote>,
        d: Dims,
    ) {
        let scale = match normalisation {
            Normalisation::None => None,
            Normalisation::UnitLength { scale } => Some(scale.len()),
        };
        let lengths = biases.map(|biases| biases.map(Floats::len));
        let numbers = d.batch * d.capacity * d.width();
        d.check(
            q.len(),
            kept.map(|run| self.kept_numbers(run.len(), numbers)),
            qkv.len(),
            lengths,
            scale,
        );
    }
}

fn arguments(
    launch: Launch,
    [q, k, v]: [&Remote; 3],
    qkv: &Remote,
    biases: Option<[&Remote; 2]>,
    normalisation: Normalisation<'_, Remote>,
    d: Dims,
) -> Launch {
    let scale = match normalisation {
        Normalisation::None => None,
        Normalisation::UnitLength { scale } => Some(scale),
    };
    let launch = launch.run(q).run(k).run(v).run(qkv);
    let launch = launch.run_or_null(biases.map(|[q, _]| q)).run_or_null(biases.map(|[_, v]| v));
    let launch = launch.run_or_null(scale).size(scale.is_some().into());
    launch.size(d.rows).size(d.heads).size(d.head_width).size(d.start).size(d.capacity)
}

#[cfg(test)]
impl Cuda {
    /// As [`SplitQkv::split_qkv`], plainly and in `f32`.
    pub(crate) fn split_qkv_naive(
        &self,
        q: &mut Remote,
        k: &mut Remote,
        v: &mut Remote,
        qkv: &Remote,
        biases: Option<[&Remote; 2]>,
        normalisation: Normalisation<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        self.check_split(q, [k, v], qkv, biases, normalisation, d);
        let launch = Launch::for_each(NAIVE, qkv.len());
        let launch = arguments(launch, [q, k, v], qkv, biases, normalisation, d).length(qkv.len());
        self.launch(launch, [(q, Element::F32), (k, Element::F32), (v, Element::F32)])
    }
}
