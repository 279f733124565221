//! The random numbers of the data: each has a place of its own, whatever thread or rank wants it.
//!
//! [`Philox`] with the run's seed as key and the counter (place, part, epoch, stream). The streams
//! of sampling lie at the other end, but for that of labels, which is the last.
//!
//! | stream | place | part | words |
//! |---|---|---|---|
//! | 2³² − 2: the order of an epoch | ⌊step / 2⌋ | 0 | step even: 0 and 1, odd: 2 and 3 |
//! | 2³² − 3: crop and flip | position in the epoch | crop | 0: row, 1: column, 2: flip |
//! | 2³² − 4: variant | image | 0 | 0 |
//! | 2³² − 5: the order of a balanced epoch's items | as that of an epoch | | |

use var_kernel::sample::random::Philox;

/// A stream of random numbers.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum RngStream {
    EpochOrder = 0xffff_fffe,
    View = 0xffff_fffd,
    Variant = 0xffff_fffc,
    BalancedOrder = 0xffff_fffb,
}

/// The four words of a place.
pub(super) fn words(seed: u64, stream: RngStream, epoch: u32, place: u32, part: u32) -> [u32; 4] {
    Philox::new(seed).words([place, part, epoch, stream as u32])
}

/// A number of 0 .. `n` from a word: ⌊word · n / 2³²⌋.
pub(super) fn below(word: u32, n: u32) -> u32 {
    ((u64::from(word) * u64::from(n)) >> 32) as u32
}

/// A number of 0 .. `n` from two words, the first the upper half of one of 64 bits.
///
/// For choices among very many, of which one word would favor some.
pub(super) fn below_wide(high: u32, low: u32, n: u32) -> u32 {
    let word = (u128::from(high) << 32) | u128::from(low);
    ((word * u128::from(n)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below() {
        assert_eq!([0, 1 << 31, u32::MAX].map(|word| below(word, 10)), [0, 5, 9]);
        assert_eq!(below(u32::MAX, u32::MAX), u32::MAX - 1);
        assert_eq!(below_wide(u32::MAX, u32::MAX, u32::MAX), u32::MAX - 1);
        assert_eq!(below_wide(1 << 31, 0, 7), 3);
        assert_eq!(below_wide(0, u32::MAX, 7), 0);
    }
}
