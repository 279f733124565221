//! Element-wise operations on a GPU.

use super::{Elementwise, PlaceDims, Unary, check_gated, check_map, check_scale_rows, check_table};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;
use crate::ops::PerRow;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("elementwise", include_str!("kernel.cu"));

const BLEND: Kernel = Kernel::new(&SOURCE, "blend");
const ADD_TABLE: Kernel = Kernel::new(&SOURCE, "add_table");
const GELU: Kernel = Kernel::new(&SOURCE, "gelu");
const GELU_HALF: Kernel = Kernel::new(&SOURCE, "gelu_half");
const SILU: Kernel = Kernel::new(&SOURCE, "silu");
const LEAKY_RELU: Kernel = Kernel::new(&SOURCE, "leaky_relu");
const GATED: Kernel = Kernel::new(&SOURCE, "gated");
const SCALE_ROWS: Kernel = Kernel::new(&SOURCE, "scale_rows");
const PLACE_ROWS: Kernel = Kernel::new(&SOURCE, "place_rows");

impl Elementwise for Cuda {
    fn blend(
        &self,
        out: &mut Remote,
        (a, a_factor): (&Remote, f32),
        (b, b_factor): (&Remote, f32),
    ) -> Result<(), CudaError> {
        let length = out.len();
        assert_eq!([a.len(), b.len()], [length; 2], "blend: lengths differ");
        self.launch_elements(BLEND, out, length, |launch| {
            let (a, b) = (self.operand_f32(a, length)?, self.operand_f32(b, length)?);
            let launch = launch.slice(out).address(a).address(b).float(a_factor).float(b_factor);
            Ok(launch.length(length))
        })
    }

    fn add_table(&self, out: &mut Remote, x: &Remote, table: &Remote) -> Result<(), CudaError> {
        let length = out.len();
        check_table(length, x.len(), table.len());
        self.launch_elements(ADD_TABLE, out, length, |launch| {
            let x = self.operand_f32(x, length)?;
            Ok(launch.slice(out).address(x).slice(table).length(table.len()).length(length))
        })
    }

    fn map(&self, out: &mut Remote, x: &Remote, f: Unary) -> Result<(), CudaError> {
        let length = out.len();
        check_map(length, x.len(), f);
        if length == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, length)?;
        let dtype = match f {
            Unary::Gelu => self.inner(),
            Unary::Silu | Unary::LeakyRelu { .. } => Dtype::F32,
        };
        let kernel = match (f, dtype) {
            (Unary::Gelu, Dtype::F32) => GELU,
            (Unary::Gelu, _) => GELU_HALF,
            (Unary::Silu, _) => SILU,
            (Unary::LeakyRelu { .. }, _) => LEAKY_RELU,
        };
        let launch = Launch::for_each(kernel, length).slice(out).address(x);
        let launch = match f {
            Unary::LeakyRelu { slope } => launch.float(slope),
            Unary::Gelu | Unary::Silu => launch,
        };
        self.launch(launch.length(length), [(out, dtype)])
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
        self.launch_elements(GATED, out, length, |launch| {
            let (residual, x) = (self.operand_f32(residual, length)?, self.operand_f32(x, length)?);
            let launch = launch.slice(out).address(residual).address(x);
            Ok(gate.add_to(launch).size(width).length(length))
        })
    }

    fn scale_rows(&self, out: &mut Remote, x: &Remote, factors: &Remote) -> Result<(), CudaError> {
        let length = out.len();
        let width = check_scale_rows(length, x.len(), factors.len());
        self.launch_elements(SCALE_ROWS, out, length, |launch| {
            let x = self.operand_f32(x, length)?;
            Ok(launch.slice(out).address(x).slice(factors).length(width).length(length))
        })
    }

    fn place_rows(&self, out: &mut Remote, x: &Remote, d: PlaceDims) -> Result<(), CudaError> {
        d.check(out.len(), x.len());
        let length = x.len();
        self.launch_elements(PLACE_ROWS, out, length, |launch| {
            let x = self.operand_f32(x, length)?;
            let launch = launch.slice(out).address(x).length(d.width).length(d.stride);
            Ok(launch.length(d.start).length(length))
        })
    }

    fn copy(&self, out: &mut Remote, x: &Remote) -> Result<(), CudaError> {
        assert_eq!(out.len(), x.len(), "copy: lengths differ");
        if out.is_empty() {
            return Ok(());
        }
        self.copy_slice(out, x)
    }
}
