//! What ranks do together: one call on each of them.

use core::fmt;

/// One call of [`Ranks`](super::Ranks), as the other ranks must make it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// How many calls this rank made before.
    pub number: u64,
    /// Which it is.
    pub operation: Operation,
    /// Values summed; bytes broadcast, as far as known.
    pub length: u64,
}

/// The calls of [`Ranks`](super::Ranks).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// [`sum`](super::Ranks::sum).
    Sum = 1,
    /// [`sum_f64`](super::Ranks::sum_f64).
    SumF64 = 2,
    /// [`broadcast`](super::Ranks::broadcast).
    Broadcast = 3,
    /// [`barrier`](super::Ranks::barrier).
    Barrier = 4,
}

impl Call {
    /// Whether two ranks that make these calls do the same. How much is broadcast, rank 0 alone
    /// knows.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let any_length = self.operation == Operation::Broadcast;
        self.number == other.number
            && self.operation == other.operation
            && (any_length || self.length == other.length)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, operation, length } = self;
        match operation {
            Operation::Sum => write!(formatter, "a sum of {length} f32")?,
            Operation::SumF64 => write!(formatter, "a sum of {length} f64")?,
            Operation::Broadcast => formatter.write_str("a broadcast")?,
            Operation::Barrier => formatter.write_str("a barrier")?,
        }
        write!(formatter, " (call {number})")
    }
}
