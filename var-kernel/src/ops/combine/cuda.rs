//! One pass over memory on a card.

use std::vec::Vec;

use super::{
    Combine, PlaceDims, check_codes, check_embedding, check_gated, check_kept, check_scale_rows,
    check_table,
};
use crate::cuda::command::Launch;
use crate::cuda::text::{Kernel, Text};
use crate::cuda::{Cuda, CudaError, Element, Remote};
use crate::memory::Floats;
use crate::ops::PerRow;

pub(crate) static TEXT: Text = Text::new("combine", include_str!("kernel.cu"));

const BLEND: Kernel = Kernel::new(&TEXT, "blend");
const ADD_TABLE: Kernel = Kernel::new(&TEXT, "add_table");
const GELU: Kernel = Kernel::new(&TEXT, "gelu");
const GELU_SHORT: Kernel = Kernel::new(&TEXT, "gelu_short");
const SILU: Kernel = Kernel::new(&TEXT, "silu");
const GATED: Kernel = Kernel::new(&TEXT, "gated");
const SCALE_ROWS: Kernel = Kernel::new(&TEXT, "scale_rows");
const PLACE_ROWS: Kernel = Kernel::new(&TEXT, "place_rows");
const LOOK_UP: Kernel = Kernel::new(&TEXT, "look_up");
const KEEP_TOKENS: Kernel = Kernel::new(&TEXT, "keep_tokens");

impl Combine for Cuda {
    fn blend(
        &self,
        out: &mut Remote,
        (a, a_factor): (&Remote, f32),
        (b, b_factor): (&Remote, f32),
    ) -> Result<(), CudaError> {
        let length = out.len();
        assert_eq!([a.len(), b.len()], [length; 2], "blend: lengths differ");
        self.over(BLEND, out, length, |launch| {
            let (a, b) = (self.single(a, length)?, self.single(b, length)?);
            let launch = launch.run(out).address(a).address(b).float(a_factor).float(b_factor);
            Ok(launch.length(length))
        })
    }

    fn add_table(&self, out: &mut Remote, x: &Remote, table: &Remote) -> Result<(), CudaError> {
        let length = out.len();
        check_table(length, x.len(), table.len());
        self.over(ADD_TABLE, out, length, |launch| {
            let x = self.single(x, length)?;
            Ok(launch.run(out).address(x).run(table).length(table.len()).length(length))
        })
    }

    /// The output is in the format of activations inside a block.
    fn gelu(&self, out: &mut Remote, x: &Remote) -> Result<(), CudaError> {
        let length = out.len();
        assert_eq!(length, x.len(), "gelu: lengths differ");
        if length == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let (kernel, element) = match self.inner() {
            Element::F32 => (GELU, Element::F32),
            short => (GELU_SHORT, short),
        };
        let x = self.single(x, length)?;
        let launch = Launch::for_each(kernel, length).run(out).address(x).length(length);
        self.launch(launch, [(out, element)])
    }

    fn gated(
        &self,
        out: &mut Remote,
        residual: &Remote,
        x: &Remote,
        gate: PerRow<'_, Remote>,
        width: usize,
    ) -> Result<(), CudaError> {
        let length = out.len();
        check_gated(length, residual.len(), x.len(), gate, width);
        self.over(GATED, out, length, |launch| {
            let (residual, x) = (self.single(residual, length)?, self.single(x, length)?);
            let launch = launch.run(out).address(residual).address(x);
            Ok(gate.add_to(launch).size(width).length(length))
        })
    }

    fn scale_rows(&self, out: &mut Remote, x: &Remote, factors: &Remote) -> Result<(), CudaError> {
        let length = out.len();
        let width = check_scale_rows(length, x.len(), factors.len());
        self.over(SCALE_ROWS, out, length, |launch| {
            let x = self.single(x, length)?;
            Ok(launch.run(out).address(x).run(factors).length(width).length(length))
        })
    }

    fn place_rows(&self, out: &mut Remote, x: &Remote, d: PlaceDims) -> Result<(), CudaError> {
        d.check(out.len(), x.len());
        let length = x.len();
        self.over(PLACE_ROWS, out, length, |launch| {
            let x = self.single(x, length)?;
            let launch = launch.run(out).address(x).length(d.width).length(d.stride);
            Ok(launch.length(d.start).length(length))
        })
    }

    fn silu(&self, out: &mut Remote, x: &Remote) -> Result<(), CudaError> {
        let length = out.len();
        assert_eq!(length, x.len(), "silu: lengths differ");
        self.over(SILU, out, length, |launch| {
            let x = self.single(x, length)?;
            Ok(launch.run(out).address(x).length(length))
        })
    }

    fn embedding(
        &self,
        out: &mut Remote,
        table: &Remote,
        indices: &[u32],
        width: usize,
    ) -> Result<(), CudaError> {
        check_embedding(out.len(), table.len(), indices, width);
        let length = out.len();
        self.over(LOOK_UP, out, length, |launch| {
            let indices = self.send(indices)?;
            let launch = launch.run(out).run(table).address(indices).length(width);
            Ok(launch.length(table.len() / width).length(length))
        })
    }

    /// A token past the codebook's end gives NaN.
    fn codes(
        &self,
        out: &mut Remote,
        codebook: &Remote,
        tokens: &Remote,
        width: usize,
    ) -> Result<(), CudaError> {
        check_codes(out.len(), codebook.len(), tokens.len(), width);
        let length = out.len();
        self.over(LOOK_UP, out, length, |launch| {
            let launch = launch.run(out).run(codebook).run(tokens).length(width);
            Ok(launch.length(codebook.len() / width).length(length))
        })
    }

    fn keep_tokens(
        &self,
        tokens: &mut Remote,
        given: &[u32],
        kept: &[bool],
    ) -> Result<(), CudaError> {
        check_kept(tokens.len(), given.len(), kept.len());
        let length = tokens.len();
        self.over(KEEP_TOKENS, tokens, length, |launch| {
            let given = self.send(given)?;
            let cells: Vec<u32> = kept.iter().map(|kept| u32::from(*kept)).collect();
            let cells = self.send(&cells)?;
            let launch = launch.run(tokens).address(given).address(cells);
            Ok(launch.length(kept.len()).length(length))
        })
    }

    fn copy(&self, out: &mut Remote, x: &Remote) -> Result<(), CudaError> {
        assert_eq!(out.len(), x.len(), "copy: lengths differ");
        if out.is_empty() {
            return Ok(());
        }
        self.copy_run(out, x)
    }
}

impl Cuda {
    /// Launches `kernel` on as many threads as `length` says, if any; `arguments` adds its arguments.
    fn over(
        &self,
        kernel: Kernel,
        out: &Remote,
        length: usize,
        arguments: impl FnOnce(Launch) -> Result<Launch, CudaError>,
    ) -> Result<(), CudaError> {
        if length == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let launch = arguments(Launch::for_each(kernel, length))?;
        self.launch(launch, [(out, Element::F32)])
    }
}
