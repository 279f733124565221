//! Every vector operation on every instruction set against its scalar meaning, bit for bit.

use half::{bf16, f16};
use proptest::prelude::*;

use super::{LANES, Simd, SimdKernel};
use crate::cpu::Isa;

type Lanes = [f32; LANES];

/// The results of all operations, as bits.
struct Everything<'a> {
    a: &'a Lanes,
    b: &'a Lanes,
    c: &'a Lanes,
}

impl SimdKernel for Everything<'_> {
    type Output = [Lanes; 11];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [Lanes; 11] {
        let (a, b, c) = (s.load(self.a), s.load(self.b), s.load(self.c));
        let n = s.add(s.splat(12_582_912.0 - 100.0), s.load(&core::array::from_fn(|i| i as f32)));
        let results = [
            s.add(a, b),
            s.sub(a, b),
            s.mul(a, b),
            s.div(a, b),
            s.mul_add(a, b, c),
            s.min(a, b),
            s.max(a, b),
            s.sqrt(s.mul(a, a)),
            s.where_less(a, b, c, s.splat(7.0)),
            s.exp2_of_shifted(n),
            s.splat(s.sum(a)),
        ];
        let mut lanes = [[0.0; LANES]; 11];
        for i in 0..11 {
            s.store(results[i], &mut lanes[i]);
        }
        lanes
    }
}

fn expected(a: &Lanes, b: &Lanes, c: &Lanes) -> [Lanes; 11] {
    let each = |f: &dyn Fn(usize) -> f32| core::array::from_fn(f);
    let mut sum = *a;
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sum[i] += sum[i + half];
        }
    }
    [
        each(&|i| a[i] + b[i]),
        each(&|i| a[i] - b[i]),
        each(&|i| a[i] * b[i]),
        each(&|i| a[i] / b[i]),
        each(&|i| a[i].mul_add(b[i], c[i])),
        each(&|i| a[i].min(b[i])),
        each(&|i| a[i].max(b[i])),
        each(&|i| (a[i] * a[i]).sqrt()),
        each(&|i| if a[i] < b[i] { c[i] } else { 7.0 }),
        each(&|i| 2.0_f32.powi(i as i32 - 100)),
        [sum[0]; LANES],
    ]
}

struct Transpose([Lanes; LANES]);

impl SimdKernel for Transpose {
    type Output = [Lanes; LANES];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [Lanes; LANES] {
        let mut rows = [s.splat(0.0); LANES];
        for i in 0..LANES {
            rows[i] = s.load(&self.0[i]);
        }
        let columns = s.transpose(rows);
        let mut out = self.0;
        for i in 0..LANES {
            s.store(columns[i], &mut out[i]);
        }
        out
    }
}

struct Widen<'a> {
    halves: &'a [f16; LANES],
    brains: &'a [bf16; LANES],
    bytes: &'a [i8; LANES],
}

impl SimdKernel for Widen<'_> {
    type Output = [Lanes; 3];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [Lanes; 3] {
        let mut out = [[0.0; LANES]; 3];
        s.store(s.load_f16(self.halves), &mut out[0]);
        s.store(s.load_bf16(self.brains), &mut out[1]);
        s.store(s.load_i8(self.bytes), &mut out[2]);
        out
    }
}

/// A finite float of any size; not −0, since the minimum leaves its order against +0 open.
fn any_float() -> impl Strategy<Value = f32> {
    (-60.0_f32..60.0, -1.0_f32..1.0).prop_map(|(exponent, sign)| sign * exponent.exp2() + 0.0)
}

proptest! {
    #[test]
    fn operations_are_their_scalar_meaning(
        a in prop::array::uniform16(any_float()),
        b in prop::array::uniform16(any_float()),
        c in prop::array::uniform16(any_float()),
    ) {
        let want = expected(&a, &b, &c).map(|lanes| lanes.map(f32::to_bits));
        for isa in Isa::all() {
            let got = isa.run(Everything { a: &a, b: &b, c: &c });
            prop_assert_eq!(got.map(|lanes| lanes.map(f32::to_bits)), want, "{:?}", isa);
        }
    }

    #[test]
    fn widening_is_exact(
        halves in prop::array::uniform16(0..0x7c00_u16),
        bytes in prop::array::uniform16(any::<i8>()),
    ) {
        let (f16s, bf16s) = (halves.map(f16::from_bits), halves.map(bf16::from_bits));
        let want = [f16s.map(f16::to_f32), bf16s.map(bf16::to_f32), bytes.map(f32::from)];
        for isa in Isa::all() {
            let got = isa.run(Widen { halves: &f16s, brains: &bf16s, bytes: &bytes });
            prop_assert_eq!(got, want, "{:?}", isa);
        }
    }
}

#[test]
fn transpose_swaps_rows_and_columns() {
    let rows: [Lanes; LANES] =
        core::array::from_fn(|i| core::array::from_fn(|j| (i * LANES + j) as f32));
    for isa in Isa::all() {
        let columns = isa.run(Transpose(rows));
        for (i, column) in columns.iter().enumerate() {
            assert_eq!(*column, core::array::from_fn::<f32, LANES, _>(|j| rows[j][i]), "{isa:?}");
        }
    }
}
