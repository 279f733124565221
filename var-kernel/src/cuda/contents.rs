//! In which format the numbers of each run are.
//!
//! A run is as long as its numbers would be as `f32`. Inside a block, operations leave 16-bit numbers
//! in the first half of a run instead; readers of the run ask here.

use std::collections::BTreeMap;

use super::element::Element;

/// Runs that hold something other than `f32`, by where they begin; no two overlap.
#[derive(Debug, Default)]
pub(crate) struct Contents(BTreeMap<u64, Run>);

#[derive(Clone, Copy, Debug)]
struct Run {
    end: u64,
    element: Element,
}

impl Contents {
    /// Format of the run that begins at `address`.
    ///
    /// # Panics
    /// If a run of short numbers begins before and reaches over it: they do not lie where a part of it
    /// would.
    #[track_caller]
    pub(crate) fn of(&self, address: u64) -> Element {
        match self.0.range(..=address).next_back() {
            Some((start, run)) if run.end > address => {
                assert_eq!(*start, address, "a part of a run of {:?} is read", run.element);
                run.element
            }
            _ => Element::F32,
        }
    }

    /// Notes that `bytes` bytes from `address` on have been overwritten with numbers of `element`.
    pub(crate) fn note(&mut self, address: u64, bytes: u64, element: Element) {
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
        if element != Element::F32 {
            self.0.insert(address, Run { end, element });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_what_was_last_written_over_it() {
        let mut contents = Contents::default();
        contents.note(100, 50, Element::F16);
        contents.note(200, 50, Element::Bf16);
        assert_eq!(
            [100, 150, 200].map(|at| contents.of(at)),
            [Element::F16, Element::F32, Element::Bf16]
        );
        contents.note(140, 70, Element::F32);
        assert_eq!([100, 140, 200].map(|at| contents.of(at)), [Element::F32; 3]);
        contents.note(100, 10, Element::F16);
        contents.note(110, 10, Element::F16);
        contents.note(90, 10, Element::F32);
        contents.note(120, 10, Element::F32);
        assert_eq!([100, 110].map(|at| contents.of(at)), [Element::F16; 2]);
        contents.note(100, 20, Element::F32);
        assert_eq!([100, 110].map(|at| contents.of(at)), [Element::F32; 2]);
    }

    #[test]
    #[should_panic(expected = "a part of a run of F16 is read")]
    fn a_part_of_short_numbers_is_refused() {
        let mut contents = Contents::default();
        contents.note(100, 50, Element::F16);
        contents.of(120);
    }
}
