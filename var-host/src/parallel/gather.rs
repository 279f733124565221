//! The bytes of all ranks on each of them.

use super::{ProcessGroup, ProcessGroupError};

/// The bytes of every rank, in the order of ranks, on every rank. A few kilobytes of each: they are
/// sums of numbers on the way, which every kind of ranks has.
///
/// # Errors
/// As [`ProcessGroup::sum_f64`].
pub fn gather(ranks: &dyn ProcessGroup, own: &[u8]) -> Result<Vec<Vec<u8>>, ProcessGroupError> {
    let mut lengths = vec![0.0; ranks.size()];
    lengths[ranks.rank()] = own.len() as f64;
    ranks.sum_f64(&mut lengths)?;
    let lengths = Vec::from_iter(lengths.into_iter().map(|length| length as usize));
    let mut all = vec![0.0; lengths.iter().sum()];
    let first = lengths[..ranks.rank()].iter().sum();
    for (to, byte) in all.iter_mut().skip(first).zip(own) {
        *to = f64::from(*byte);
    }
    ranks.sum_f64(&mut all)?;
    let mut bytes = all.into_iter().map(|byte| byte as u8);
    Ok(lengths.into_iter().map(|length| bytes.by_ref().take(length).collect()).collect())
}
