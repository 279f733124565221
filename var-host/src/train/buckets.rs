//! Gradients that ranks begin to add up while others are still computed.
//!
//! Weights lie in buckets of neighbors. A bucket's gradients are complete once the backward pass has
//! come down to the first operation that read one of its weights: there the pass is cut, and their sum
//! begins. Every rank cuts at the same places, since all have the same tape.

use core::ops::Range;

use var_kernel::memory::{Device, Floats};

use super::layout::ParameterLayout;
use crate::grad::{Memory, Tape, TrainBackend};

/// Floats of a bucket at least: 8 MiB.
pub const BUCKET: usize = 1 << 21;

/// The most cuts, about: each piece between two is a graph of its own on a GPU, which keeps some
/// hundreds.
const MOST_CUTS: usize = 64;

/// Weights that are added up together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bucket {
    /// The range they span, padding included.
    range: Range<usize>,
    /// Their gradients are complete when those of the operations from this one on are.
    complete: usize,
}

/// A place in the backward pass where sums begin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BucketCut {
    /// The operations from this one on have been.
    number: usize,
    /// Complete ranges, in order of completion.
    ranges: Vec<Range<usize>>,
}

/// Begins the sum of a bucket's gradients, to which nothing more is added.
pub type StartAllReduce<'o, B> =
    dyn FnMut(&mut <B as Device>::Slice) -> Result<(), <B as Device>::Error> + 'o;

/// How sums begin during a backward pass.
pub struct Overlap<'o, B: Device> {
    /// Floats of a bucket at least.
    pub floats: usize,
    /// Begins them.
    pub begin: &'o mut StartAllReduce<'o, B>,
}

/// The backward pass of `tape`, with sums that begin in it, if any: each float of `layout` is in one.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// As [`Tape::backward`], or if there is an overlap and weights are frozen.
pub fn backward<B: TrainBackend>(
    b: &B,
    layout: &ParameterLayout,
    tape: &Tape,
    memory: &mut Memory<'_, B::Slice>,
    overlap: Option<Overlap<'_, B>>,
) -> Result<(), B::Error> {
    // The same operations on the same memory in every step: a GPU makes graphs of them.
    let mut left = tape.operations();
    if let Some(Overlap { floats, begin }) = overlap {
        let buckets = buckets(layout, tape.reads_of_weights(), left, floats);
        for BucketCut { number, ranges } in cuts(buckets, floats.max(layout.floats() / MOST_CUTS)) {
            b.capture(&mut || tape.backward_over(b, memory, number..left))?;
            left = number;
            let gradients = memory.weight_gradients.as_deref_mut().expect("weights are trained");
            for range in ranges {
                begin(gradients.range_mut(range))?;
            }
        }
    }
    b.capture(&mut || tape.backward_over(b, memory, 0..left))
}

/// Buckets of at least `floats` where there are as many: every float of `layout` is in one, the first
/// complete come first.
///
/// `reads`: runs of weights, each with the number of an operation that read it, of so many `operations`.
fn buckets(
    layout: &ParameterLayout,
    reads: impl Iterator<Item = (Range<usize>, usize)>,
    operations: usize,
    floats: usize,
) -> Vec<Bucket> {
    let tensors = layout.tensors();
    // A tensor without a reader has no gradient to wait for.
    let mut complete = vec![operations; tensors.len()];
    for (range, number) in reads {
        let first = tensors.partition_point(|tensor| tensor.range.end <= range.start);
        let these = tensors[first..].iter().take_while(|tensor| tensor.range.start < range.end);
        let these = these.zip(&mut complete[first..]);
        these.for_each(|(_, complete)| *complete = number.min(*complete));
    }
    let mut buckets: Vec<Bucket> = Vec::new();
    let ends = tensors[1..].iter().map(|tensor| tensor.range.start).chain([layout.floats()]);
    for ((tensor, end), complete) in tensors.iter().zip(ends).zip(complete) {
        match buckets.last_mut() {
            Some(last) if last.range.len() < floats => {
                (last.range.end, last.complete) = (end, last.complete.min(complete));
            }
            _ => buckets.push(Bucket { range: tensor.range.start..end, complete }),
        }
    }
    if let Some(last) = buckets.pop_if(|last| last.range.len() < floats) {
        match buckets.last_mut() {
            Some(before) => {
                before.range.end = last.range.end;
                before.complete = before.complete.min(last.complete);
            }
            None => buckets.push(last),
        }
    }
    buckets.sort_by_key(|bucket| operations - bucket.complete);
    buckets
}

/// Cuts at which at least `floats` are complete since the one before, but for the last.
fn cuts(buckets: Vec<Bucket>, floats: usize) -> Vec<BucketCut> {
    let mut cuts: Vec<BucketCut> = Vec::new();
    for Bucket { range, complete } in buckets {
        match cuts.last_mut() {
            Some(cut) if cut.number == complete || few(&cut.ranges, floats) => {
                cut.number = complete;
                cut.ranges.push(range);
            }
            _ => cuts.push(BucketCut { number: complete, ranges: vec![range] }),
        }
    }
    cuts
}

fn few(ranges: &[Range<usize>], floats: usize) -> bool {
    ranges.iter().map(Range::len).sum::<usize>() < floats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::listing::Wanted;

    /// Tensors of so many floats, each read by some operations.
    fn plan(tensors: &[(usize, &[usize])], operations: usize, floats: usize) -> Vec<Bucket> {
        let wanted = tensors.iter().map(|(length, _)| Wanted {
            name: "weight".to_owned(),
            shape: vec![*length],
            matrix: false,
        });
        let layout = ParameterLayout::new(wanted.collect());
        let reads = layout.tensors().iter().zip(tensors).flat_map(|(tensor, (_, numbers))| {
            numbers.iter().map(|number| (tensor.range.clone(), *number))
        });
        buckets(&layout, reads, operations, floats)
    }

    fn bucket(range: Range<usize>, complete: usize) -> Bucket {
        Bucket { range, complete }
    }

    #[test]
    fn buckets_hold_every_float_once_and_none_before_its_last_gradient() {
        // Five of 32 floats, padding included; the fourth was not read, the second twice.
        let tensors: [(usize, &[usize]); 5] =
            [(32, &[7]), (30, &[8, 2]), (20, &[5]), (32, &[]), (32, &[6])];
        let each = plan(&tensors, 9, 1);
        let want = [
            bucket(96..128, 9),
            bucket(0..32, 7),
            bucket(128..160, 6),
            bucket(64..96, 5),
            bucket(32..64, 2),
        ];
        assert_eq!(each, want);
        // At least 40: the rest at the end joins the bucket before.
        assert_eq!(plan(&tensors, 9, 40), [bucket(64..160, 5), bucket(0..64, 2)]);
        assert_eq!(plan(&tensors, 9, 1000), [bucket(0..160, 2)]);
    }

    #[test]
    fn run_over_several_tensors_completes_all_of_them() {
        let wanted = |name: &str| Wanted { name: name.to_owned(), shape: vec![16], matrix: false };
        let layout = ParameterLayout::new(["a", "b", "c", "d"].map(wanted).into());
        let buckets = buckets(&layout, [(8..40, 3)].into_iter(), 5, 1);
        assert_eq!(
            buckets,
            [bucket(48..64, 5), bucket(0..16, 3), bucket(16..32, 3), bucket(32..48, 3)]
        );
    }

    #[test]
    fn cuts_are_where_enough_is_complete() {
        let buckets = vec![
            bucket(0..10, 9),
            bucket(10..30, 9),
            bucket(30..40, 6),
            bucket(40..60, 4),
            bucket(60..70, 0),
            bucket(70..80, 0),
        ];
        let cut = |number, ranges: &[Range<usize>]| BucketCut { number, ranges: ranges.to_vec() };
        assert_eq!(
            cuts(buckets, 25),
            [cut(9, &[0..10, 10..30]), cut(4, &[30..40, 40..60]), cut(0, &[60..70, 70..80])]
        );
    }
}
