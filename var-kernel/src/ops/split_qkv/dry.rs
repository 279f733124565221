//! split_qkv in a dry run.

use core::convert::Infallible;

use super::{Dims, Normalization, SplitQkv};
use crate::dry::Dry;
use crate::memory::Floats;
use crate::ops::Attention;

impl<B: Attention, S: Floats + ?Sized + 'static> SplitQkv for Dry<'_, B, S> {
    fn split_qkv(
        &self,
        q: &mut S,
        k: &mut S,
        v: &mut S,
        qkv: &S,
        biases: Option<[&S; 2]>,
        normalization: Normalization<'_, S>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let scale = match normalization {
            Normalization::None => None,
            Normalization::UnitLength { scale } => Some(scale.len()),
        };
        let biases = biases.map(|biases| biases.map(S::len));
        let numbers = d.batch * d.capacity * d.width();
        let kept = [k.len(), v.len()].map(|length| self.kv_values(length, numbers));
        d.check(q.len(), kept, qkv.len(), biases, scale);
        Ok(())
    }
}
