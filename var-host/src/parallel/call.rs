//! Collectives: one call on each rank.

use core::fmt;

/// One call of [`ProcessGroup`](super::ProcessGroup), as the other ranks must make it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectiveCall {
    /// How many calls this rank made before.
    pub number: u64,
    /// Which it is.
    pub operation: Collective,
    /// Values summed; bytes broadcast, as far as known.
    pub length: u64,
}

/// The calls of [`ProcessGroup`](super::ProcessGroup).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Collective {
    /// [`sum`](super::ProcessGroup::sum).
    Sum = 1,
    /// [`sum_f64`](super::ProcessGroup::sum_f64).
    SumF64 = 2,
    /// [`broadcast`](super::ProcessGroup::broadcast).
    Broadcast = 3,
    /// [`barrier`](super::ProcessGroup::barrier).
    Barrier = 4,
}

/// Bytes of a call's header before its values.
pub(super) const HEADER: usize = 24;

impl CollectiveCall {
    /// The call as it goes to other ranks; numbers are little-endian.
    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.operation as u8;
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// The call another rank sent, if it is one.
    pub(super) fn from_bytes(bytes: &[u8; HEADER]) -> Option<Self> {
        use Collective::{Barrier, Broadcast, Sum, SumF64};
        let operations = [Sum, SumF64, Broadcast, Barrier];
        let operation = operations.into_iter().find(|operation| *operation as u8 == bytes[0])?;
        let number = |at: usize| u64::from_le_bytes(core::array::from_fn(|byte| bytes[at + byte]));
        Some(Self { operation, number: number(8), length: number(16) })
    }

    /// Whether two ranks that make these calls do the same. How much is broadcast, rank 0 alone
    /// knows.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let any_length = self.operation == Collective::Broadcast;
        self.number == other.number
            && self.operation == other.operation
            && (any_length || self.length == other.length)
    }
}

impl fmt::Display for CollectiveCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, operation, length } = self;
        match operation {
            Collective::Sum => write!(formatter, "a sum of {length} f32")?,
            Collective::SumF64 => write!(formatter, "a sum of {length} f64")?,
            Collective::Broadcast => formatter.write_str("a broadcast")?,
            Collective::Barrier => formatter.write_str("a barrier")?,
        }
        write!(formatter, " (call {number})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_received_as_sent() {
        let call = CollectiveCall { number: 1 << 40, operation: Collective::SumF64, length: 7 };
        assert_eq!(CollectiveCall::from_bytes(&call.to_bytes()), Some(call));
        assert_eq!(CollectiveCall::from_bytes(&[0; HEADER]), None);
        assert_eq!(CollectiveCall::from_bytes(&[5; HEADER]), None);
    }

    #[test]
    fn calls_agree_in_all_but_the_length_of_a_broadcast() {
        let call = |number, operation, length| CollectiveCall { number, operation, length };
        let sum = call(3, Collective::Sum, 4);
        assert!(sum.agrees(&sum));
        for other in [
            call(4, Collective::Sum, 4),
            call(3, Collective::SumF64, 4),
            call(3, Collective::Sum, 5),
        ] {
            assert!(!sum.agrees(&other), "{other}");
        }
        assert!(call(3, Collective::Broadcast, 4).agrees(&call(3, Collective::Broadcast, 0)));
    }
}
