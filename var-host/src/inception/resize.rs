//! Images of any size to the network's, as TensorFlow 1's `ResizeBilinear` does without options.
//!
//! Output cell i lies at `i · n/299` of n input cells: the first cells are one on the other, the last
//! ones are not, and nothing is smoothed before it is made smaller. Another resize gives other
//! features; so each step is rounded to single precision as there.

use var_kernel::cpu::Cpu;

use super::SIDE;
use crate::images::RgbImage;

const COLORS: usize = 3;

/// Input cells and weight of one output cell, along one axis.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    /// The share of the higher.
    weight: f32,
}

/// Resizes each image and maps bytes to `(byte − 128) / 128`.
///
/// `out`: `pictures × 299 × 299 × 3`.
///
/// # Panics
/// If `out` has another length.
pub(super) fn resize(cpu: &Cpu<'_>, out: &mut [f32], pictures: &[RgbImage]) {
    let row_len = SIDE * COLORS;
    assert_eq!(out.len(), pictures.len() * SIDE * row_len, "resize: out is not 299 × 299 an image");
    cpu.for_each_run(out, SIDE * row_len, |number, out, _| {
        let picture = &pictures[number];
        let columns = taps(picture.width());
        for (row, out) in taps(picture.height()).iter().zip(out.chunks_exact_mut(row_len)) {
            resized_row(picture, *row, &columns, out);
            out.iter_mut().for_each(|value| *value = (*value - 128.0) * (1.0 / 128.0));
        }
    });
}

/// One row, in bytes' values.
fn resized_row(picture: &RgbImage, row: Tap, columns: &[Tap; SIDE], out: &mut [f32]) {
    let line =
        |y: usize| &picture.rgb()[y * picture.width() * COLORS..][..picture.width() * COLORS];
    let (above, below) = (line(row.low), line(row.high));
    for (column, out) in columns.iter().zip(out.as_chunks_mut::<COLORS>().0) {
        for color in 0..COLORS {
            let at = |line: &[u8], x: usize| f32::from(line[x * COLORS + color]);
            let across = |line: &[u8]| {
                let (low, high) = (at(line, column.low), at(line, column.high));
                low + (high - low) * column.weight
            };
            let (above, below) = (across(above), across(below));
            out[color] = above + (below - above) * row.weight;
        }
    }
}

fn taps(cells: usize) -> [Tap; SIDE] {
    let scale = cells as f32 / SIDE as f32;
    core::array::from_fn(|i| {
        let place = i as f32 * scale;
        let low = place.floor();
        let (weight, low) = (place - low, low as usize);
        Tap { low, high: (low + 1).min(cells - 1), weight }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inception::testing::{fixture, image};

    /// TensorFlow's own outputs at some rows and columns.
    #[test]
    fn every_bit_is_tensorflows() {
        let file = fixture("resize.safetensors");
        let positions = file.tensor("positions").unwrap();
        let positions: Vec<usize> =
            positions.as_i32().unwrap().iter().map(|position| *position as usize).collect();
        let mut seen = 0;
        for (side, cells, noise) in [
            (8, 4, 24),
            (32, 4, 24),
            (64, 4, 24),
            (128, 4, 24),
            (256, 4, 24),
            (298, 1, 24),
            (299, 1, 24),
            (300, 4, 24),
            (512, 8, 24),
        ] {
            let picture = image(&format!("resize/{side}"), side, cells, noise);
            compare(&picture, &file.tensor(&format!("out.{side}")).unwrap().to_f32(), &positions);
            seen += 1;
        }
        let whole = image("resize/rect", 64, 4, 24);
        let rows = (0..48).flat_map(|y| whole.rgb()[y * 64 * 3..][..40 * 3].to_vec());
        let picture = RgbImage::new(40, 48, rows.collect());
        compare(&picture, &file.tensor("out.rect48x40").unwrap().to_f32(), &positions);
        assert_eq!(seen, 9);

        // The resize of other tools, half a cell off, is not this one.
        let picture = image("resize/64", 64, 4, 24);
        let other = file.tensor("out_halfpixel.64").unwrap().to_f32();
        assert!(rows_of(&picture, &positions) != other);
    }

    fn compare(picture: &RgbImage, want: &[f32], positions: &[usize]) {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let got = rows_of(picture, positions);
        assert!(bits(&got) == bits(want), "{} × {}", picture.width(), picture.height());
    }

    fn rows_of(picture: &RgbImage, positions: &[usize]) -> Vec<f32> {
        let (rows, columns) = (taps(picture.height()), taps(picture.width()));
        let mut out = Vec::new();
        for y in positions {
            let mut line = vec![0.0; SIDE * COLORS];
            resized_row(picture, rows[*y], &columns, &mut line);
            out.extend(positions.iter().flat_map(|x| line[x * COLORS..][..COLORS].to_vec()));
        }
        out
    }
}
