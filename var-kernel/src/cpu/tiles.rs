//! Tiles of an output, each written by one of several threads.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::Cpu;

impl Cpu<'_> {
    /// Calls `job` once for each of `0..tasks`, on whichever threads are free.
    ///
    /// The tasks are handed out here, not by the caller's [`Workers`](super::Workers): so each runs exactly once
    /// however those are written.
    pub fn for_each(&self, tasks: usize, job: impl Fn(usize, &mut [f32]) + Sync) {
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        if tasks > 0 {
            let wanted = self.workers.scratch_len();
            self.workers.broadcast(tasks.min(self.workers.count()), &|scratch| {
                let lent = scratch.len();
                assert!(lent >= wanted, "scratch memory of {wanted} floats promised, {lent} lent");
                loop {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task >= tasks {
                        break;
                    }
                    job(task, scratch);
                    done.fetch_add(1, Ordering::Release);
                }
            });
        }
        let done = done.load(Ordering::Acquire);
        assert_eq!(done, tasks, "the lent workers returned before the work was done");
    }

    /// Cuts `out` into runs of `length` (the last may be shorter) and calls `job` once for each
    /// with its number.
    pub fn for_each_run<T: Send>(
        &self,
        out: &mut [T],
        length: usize,
        job: impl Fn(usize, &mut [T], &mut [f32]) + Sync,
    ) {
        let whole = out.len();
        self.for_each_tile(out, whole.max(1), 1, length, |mut tile, scratch| {
            job(tile.columns.start / length, tile.row(0), scratch);
        });
    }

    /// Cuts the row-major matrix `out` into tiles of `rows × columns` and calls `job` once for each.
    ///
    /// # Panics
    /// If `out` is not whole rows of `width`, or a size is zero.
    pub fn for_each_tile<T: Send>(
        &self,
        out: &mut [T],
        width: usize,
        rows: usize,
        columns: usize,
        job: impl Fn(Tile<'_, T>, &mut [f32]) + Sync,
    ) {
        self.for_each_tile_within(out, width, 0..width, rows, columns, job);
    }

    /// [`Cpu::for_each_tile`], all tiles of some columns before the next columns: for a right operand
    /// that is larger than the left one and should be fetched once.
    pub fn for_each_tile_by_columns<T: Send>(
        &self,
        out: &mut [T],
        width: usize,
        rows: usize,
        columns: usize,
        job: impl Fn(Tile<'_, T>, &mut [f32]) + Sync,
    ) {
        self.for_each_tile_in_order(out, width, 0..width, rows, columns, Order::Columns, job);
    }

    /// [`Cpu::for_each_tile`] for the columns `within` of the matrix alone; a tile counts its columns
    /// from the matrix's first.
    ///
    /// # Panics
    /// Also if the matrix has no such columns.
    pub fn for_each_tile_within<T: Send>(
        &self,
        out: &mut [T],
        width: usize,
        within: Range<usize>,
        rows: usize,
        columns: usize,
        job: impl Fn(Tile<'_, T>, &mut [f32]) + Sync,
    ) {
        self.for_each_tile_in_order(out, width, within, rows, columns, Order::Rows, job);
    }

    fn for_each_tile_in_order<T: Send>(
        &self,
        out: &mut [T],
        width: usize,
        within: Range<usize>,
        rows: usize,
        columns: usize,
        order: Order,
        job: impl Fn(Tile<'_, T>, &mut [f32]) + Sync,
    ) {
        assert!(rows > 0 && columns > 0, "tiles must not be empty");
        assert_eq!(out.len() % width, 0, "out is not whole rows of {width}");
        assert!(within.end <= width, "columns {within:?} of rows of {width}");
        let height = out.len() / width;
        let (high, across) = (height.div_ceil(rows), within.len().div_ceil(columns));
        let first = SharedPointer(out.as_mut_ptr());
        self.for_each(high * across, |task, scratch| {
            let (down, right) = match order {
                Order::Rows => (task / across, task % across),
                Order::Columns => (task % high, task / high),
            };
            let (down, right) = (down * rows, within.start + right * columns);
            let tile = Tile {
                rows: down..(down + rows).min(height),
                columns: right..(right + columns).min(within.end),
                first: first.pointer(),
                width,
                whole: PhantomData,
            };
            job(tile, scratch);
        });
    }
}

/// Which tiles come one after the other.
#[derive(Clone, Copy)]
enum Order {
    /// Those of the same rows.
    Rows,
    /// Those of the same columns.
    Columns,
}

/// A pointer that several threads may hold.
struct SharedPointer<T>(*mut T);

impl<T> SharedPointer<T> {
    fn pointer(&self) -> *mut T {
        self.0
    }
}

// SAFETY: it is only ever used to make the tiles of `for_each_tile_within`, which do not overlap, and
// `T` may be sent to the thread that gets the tile.
unsafe impl<T: Send> Sync for SharedPointer<T> {}

/// A rectangle of a row-major matrix that one task alone may write.
pub struct Tile<'a, T = f32> {
    /// Which rows of the matrix.
    pub rows: Range<usize>,
    /// Which columns of the matrix.
    pub columns: Range<usize>,
    first: *mut T,
    width: usize,
    whole: PhantomData<&'a mut [T]>,
}

impl<T> Tile<'_, T> {
    /// The tile's part of its `row`th row, counted from the tile's first.
    ///
    /// # Panics
    /// If the tile has no such row.
    #[inline(always)]
    pub fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows.len(), "a tile of {} rows has no row {row}", self.rows.len());
        let start = (self.rows.start + row) * self.width + self.columns.start;
        // SAFETY: `for_each_tile_within` clips the ranges to the matrix, which is borrowed mutably for
        // as long as tiles exist; each tile is given to one task (the counter hands a number out
        // once) and tiles do not overlap; the borrow of `self` keeps two rows from being held at once.
        unsafe { core::slice::from_raw_parts_mut(self.first.add(start), self.columns.len()) }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::cpu::{Isa, Workers};

    /// Two real threads, to let Miri and the assertions see a race.
    struct Pair;

    impl Workers for Pair {
        fn count(&self) -> usize {
            2
        }

        fn scratch_len(&self) -> usize {
            8
        }

        fn broadcast(&self, _threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| job(&mut [0.0; 8]));
                }
            });
        }
    }

    #[test]
    fn every_cell_of_every_tile_is_written_once() {
        for (height, width, rows, columns) in [(1, 1, 1, 1), (7, 5, 2, 3), (6, 32, 6, 16)] {
            let mut out = vec![0.0; height * width];
            Cpu::new(Isa::portable(), &Pair).for_each_tile(
                &mut out,
                width,
                rows,
                columns,
                |mut tile, _| {
                    for row in 0..tile.rows.len() {
                        let start = (tile.rows.start + row) * width + tile.columns.start;
                        for (i, x) in tile.row(row).iter_mut().enumerate() {
                            *x += (start + i + 1) as f32;
                        }
                    }
                },
            );
            let expected: Vec<f32> = (1..=height * width).map(|i| i as f32).collect();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn tiles_of_the_same_columns_come_one_after_the_other() {
        let mut scratch = vec![0.0; crate::cpu::SCRATCH_FLOATS];
        let inline = crate::cpu::Inline::new(&mut scratch);
        let seen = std::sync::Mutex::new(Vec::new());
        let mut out = [0.0; 5 * 6];
        let cpu = Cpu::new(Isa::portable(), &inline);
        cpu.for_each_tile_by_columns(&mut out, 6, 3, 4, |tile, _| {
            seen.lock().unwrap().push((tile.rows.start, tile.columns.start));
        });
        assert_eq!(seen.into_inner().unwrap(), [(0, 0), (3, 0), (0, 4), (3, 4)]);
    }

    #[test]
    fn other_columns_stay_as_they_are() {
        let mut out = [0.0; 3 * 7];
        let cpu = Cpu::new(Isa::portable(), &Pair);
        cpu.for_each_tile_within(&mut out, 7, 2..5, 2, 2, |mut tile, _| {
            for row in 0..tile.rows.len() {
                let (y, first) = (tile.rows.start + row, tile.columns.start);
                for (i, x) in tile.row(row).iter_mut().enumerate() {
                    *x += (10 * y + first + i) as f32;
                }
            }
        });
        for (i, x) in out.iter().enumerate() {
            let (y, column) = (i / 7, i % 7);
            let inside = (2..5).contains(&column);
            assert_eq!(*x, if inside { (10 * y + column) as f32 } else { 0.0 });
        }
    }

    #[test]
    fn runs_cover_a_length_that_does_not_divide() {
        let mut out = [0.0; 10];
        Cpu::new(Isa::portable(), &Pair).for_each_run(&mut out, 4, |number, run, _| {
            run.fill(number as f32);
        });
        assert_eq!(out, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
    }
}
