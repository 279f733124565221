//! nearest_code on a GPU: tiles of features over shares of the codebook.

use super::{Dims, Distance, NearestCode};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("nearest_code", include_str!("kernel.cu"));

const PREPARE: Kernel = Kernel::new(&SOURCE, "prepare");
const SEARCH: Kernel = Kernel::new(&SOURCE, "search");
const PICK: Kernel = Kernel::new(&SOURCE, "pick");

/// Features of a block.
const ROWS: usize = 32;

/// Codes of a tile: a share is whole tiles.
const CODES: usize = 64;

impl NearestCode for Cuda {
    fn nearest_code(
        &self,
        tokens: &mut Remote,
        x: &Remote,
        codebook: &Remote,
        distance: Distance,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(tokens.len(), x.len(), codebook.len());
        if tokens.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, x.len())?;
        let angle = distance == Distance::Angle;
        let (x, x_squares) = self.prepared(x, angle, d.rows, d.width)?;
        let (codebook, code_squares) =
            self.prepared(codebook.address(), angle, d.codes, d.width)?;

        let tiles = d.rows.div_ceil(ROWS);
        let (share, shares) = shares(d.codes, tiles, self.properties().multiprocessors as usize);
        let (values, found) = (self.scratch(shares * d.rows)?, self.scratch(shares * d.rows)?);
        let launch = Launch::new(SEARCH, [tiles * shares, 1, 1], 256).address(values);
        let launch = launch.address(found).address(x).address(x_squares).address(codebook);
        let launch = launch.address(code_squares).float(if angle { -1.0 } else { -2.0 });
        self.launch_to_scratch(launch.size(d.rows).size(d.codes).size(d.width).size(share))?;

        let launch = Launch::for_each(PICK, d.rows).slice(tokens).address(values).address(found);
        self.launch(launch.size(d.rows).size(shares), [(tokens, Dtype::F32)])
    }
}

impl Cuda {
    /// Where `rows` vectors lie as distances want them, and their part of the distances.
    fn prepared(
        &self,
        x: u64,
        angle: bool,
        rows: usize,
        width: usize,
    ) -> Result<(u64, u64), CudaError> {
        let squares = self.scratch(rows)?;
        let out = if angle { self.scratch(rows * width)? } else { 0 };
        let launch = Launch::for_each(PREPARE, rows).address(squares).address(out).address(x);
        self.launch_to_scratch(launch.size(angle.into()).size(rows).size(width))?;
        Ok((if angle { out } else { x }, squares))
    }
}

/// Codes of a share, and how many shares there are: enough that all multiprocessors have a block.
fn shares(codes: usize, tiles: usize, multiprocessors: usize) -> (usize, usize) {
    let wanted = (2 * multiprocessors).div_ceil(tiles).max(1);
    let share = codes.div_ceil(wanted).next_multiple_of(CODES);
    (share, codes.div_ceil(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_codebook() {
        for codes in [1, 63, 64, 65, 4096] {
            for tiles in [1, 7, 264, 100_000] {
                let (share, count) = shares(codes, tiles, 132);
                assert!(share.is_multiple_of(CODES));
                assert!((count - 1) * share < codes && codes <= count * share);
            }
        }
        assert_eq!(shares(4096, 1, 132), (64, 64));
        assert_eq!(shares(4096, 8, 132), (128, 32));
    }
}
