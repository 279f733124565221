//! Zero-shot editing: which cells of every scale keep the tokens of an image.
//!
//! ```
//! use var_kernel::edit::{self, Painting, Region};
//! use var_kernel::{ForcedTokens, Ladder};
//!
//! let ladder = Ladder::new(&[1, 2, 4])?;
//! let (mut marks, mut cells) = ([0.0; 16], [false; 21]);
//! let left_half = Region { top: 0.0, left: 0.0, bottom: 1.0, right: 0.5 };
//! edit::mark(&mut marks, &ladder, left_half, Painting::In);
//! edit::spread(&mut cells, &marks, &ladder);
//! let tokens_of_image = [5; 21];
//! let keep = ForcedTokens { tokens: &tokens_of_image, cells: &cells };
//! assert_eq!(keep.cells[..5], [true, false, true, false, true]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::model::Ladder;

/// Maps of so few cells are kept whole: their cells see the whole image.
const KEPT_WHOLE: usize = 3;

/// A box in fractions of the image, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Upper edge.
    pub top: f32,
    /// Left edge.
    pub left: f32,
    /// Lower edge.
    pub bottom: f32,
    /// Right edge.
    pub right: f32,
}

/// Which side of a [`Region`] is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Painting {
    /// The inside.
    In,
    /// The outside.
    Out,
}

/// Marks on the finest grid which cells are kept (1) or made anew (0): those in rows
/// `round(top · p) .. round(bottom · p)`, columns likewise, or all others.
///
/// `cells`: p², p the ladder's finest side.
///
/// # Panics
/// If `cells` is of another length.
pub fn mark(cells: &mut [f32], ladder: &Ladder, region: Region, painting: Painting) {
    let side = ladder.finest();
    assert_eq!(cells.len(), side * side, "one mark for each cell of the finest map");
    // Ties to even, as Python's round.
    let edge = |fraction: f32| libm::rint(f64::from(fraction) * side as f64) as usize;
    let (rows, columns) =
        (edge(region.top)..edge(region.bottom), edge(region.left)..edge(region.right));
    let (inside, outside) = match painting {
        Painting::In => (0.0, 1.0),
        Painting::Out => (1.0, 0.0),
    };
    for (i, cell) in cells.iter_mut().enumerate() {
        let within = rows.contains(&(i / side)) && columns.contains(&(i % side));
        *cell = if within { inside } else { outside };
    }
}

/// Carries the marks of the finest grid to every scale: resized bilinearly (half-pixel centers, no
/// antialiasing), kept where above one half; maps of at most three cells are kept whole.
///
/// `keep`: L, scale by scale. `cells`: as [`mark`] makes them.
///
/// # Panics
/// If a slice is of another length.
pub fn spread(keep: &mut [bool], cells: &[f32], ladder: &Ladder) {
    let from = ladder.finest();
    assert_eq!(cells.len(), from * from, "one mark for each cell of the finest map");
    assert_eq!(keep.len(), ladder.length(), "one mark for each cell of all maps");
    for (scale, to) in ladder.sides().iter().copied().enumerate() {
        let map = &mut keep[ladder.range(scale)];
        if map.len() <= KEPT_WHOLE {
            map.fill(true);
            continue;
        }
        for (i, keep) in map.iter_mut().enumerate() {
            let (y, x) = (Between::new(i / to, from, to), Between::new(i % to, from, to));
            let row = |y: usize| {
                cells[y * from + x.before] * (1.0 - x.share) + cells[y * from + x.after] * x.share
            };
            *keep = row(y.before) * (1.0 - y.share) + row(y.after) * y.share > 0.5;
        }
    }
}

/// Where a cell of one grid falls between two of another, along a side.
struct Between {
    before: usize,
    after: usize,
    /// How near it is to `after`.
    share: f32,
}

impl Between {
    fn new(cell: usize, from: usize, to: usize) -> Self {
        let center = ((cell as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0);
        let before = center as usize;
        Self { before, after: (before + 1).min(from - 1), share: center - before as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_is_rounded_to_cells() {
        let ladder = Ladder::new(&[1, 2, 4]).unwrap();
        let mut cells = [0.0; 16];
        let region = Region { top: 0.1, left: 0.5, bottom: 0.7, right: 1.0 };
        mark(&mut cells, &ladder, region, Painting::In);
        for (i, cell) in cells.iter().enumerate() {
            assert_eq!(*cell == 0.0, i / 4 < 3 && i % 4 >= 2, "{i}");
        }
        let mut keep = [false; 21];
        spread(&mut keep, &cells, &ladder);
        assert_eq!(keep[..5], [true, true, false, true, false]);
        assert!(keep[5..].iter().zip(cells).all(|(keep, cell)| *keep == (cell == 1.0)));
    }
}
