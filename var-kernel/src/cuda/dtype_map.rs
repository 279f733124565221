//! In which format the numbers of each run are.
//!
//! A run is as long as its numbers would be as `f32`. Inside a block, operations leave 16-bit numbers
//! in the first half of a run instead; readers of the run ask here.

use std::collections::BTreeMap;

use super::dtype::Dtype;

/// Runs that hold something other than `f32`, by where they begin; no two overlap.
#[derive(Debug, Default)]
pub(crate) struct DtypeMap(BTreeMap<u64, DtypeRange>);

#[derive(Clone, Copy, Debug)]
struct DtypeRange {
    end: u64,
    dtype: Dtype,
}

impl DtypeMap {
    /// Format of the run that begins at `address`.
    ///
    /// # Panics
    /// If a run of half-precision numbers begins before and reaches over it: they do not lie where a part of it
    /// would.
    #[track_caller]
    pub(crate) fn of(&self, address: u64) -> Dtype {
        match self.0.range(..=address).next_back() {
            Some((start, run)) if run.end > address => {
                assert_eq!(*start, address, "a part of a run of {:?} is read", run.dtype);
                run.dtype
            }
            _ => Dtype::F32,
        }
    }

    /// Notes that `bytes` bytes from `address` on have been overwritten with numbers of `dtype`.
    pub(crate) fn record(&mut self, address: u64, bytes: u64, dtype: Dtype) {
        if bytes == 0 {
            return;
        }
        let end = address + bytes;
        // A run that begins before may reach in: no two overlap, so only the last such run can.
        let before = self.0.range(..address).next_back();
        if let Some((start, run)) = before
            && run.end > address
        {
            let start = *start;
            self.0.remove(&start);
        }
        while let Some((start, _)) = self.0.range(address..end).next() {
            let start = *start;
            self.0.remove(&start);
        }
        if dtype != Dtype::F32 {
            self.0.insert(address, DtypeRange { end, dtype });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_what_was_last_written_over_it() {
        let mut dtypes = DtypeMap::default();
        dtypes.record(100, 50, Dtype::F16);
        dtypes.record(200, 50, Dtype::Bf16);
        assert_eq!([100, 150, 200].map(|at| dtypes.of(at)), [Dtype::F16, Dtype::F32, Dtype::Bf16]);
        dtypes.record(140, 70, Dtype::F32);
        assert_eq!([100, 140, 200].map(|at| dtypes.of(at)), [Dtype::F32; 3]);
        dtypes.record(100, 10, Dtype::F16);
        dtypes.record(110, 10, Dtype::F16);
        dtypes.record(90, 10, Dtype::F32);
        dtypes.record(120, 10, Dtype::F32);
        assert_eq!([100, 110].map(|at| dtypes.of(at)), [Dtype::F16; 2]);
        dtypes.record(100, 20, Dtype::F32);
        assert_eq!([100, 110].map(|at| dtypes.of(at)), [Dtype::F32; 2]);
    }

    #[test]
    #[should_panic(expected = "a part of a run of F16 is read")]
    fn part_of_short_numbers_is_refused() {
        let mut dtypes = DtypeMap::default();
        dtypes.record(100, 50, Dtype::F16);
        dtypes.of(120);
    }
}
