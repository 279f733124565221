//! linear against a naive oracle.

use std::vec;
use std::vec::Vec;

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::cpu::matmul::nt::LEAST_NT_FLOATS;
use crate::cpu::matrix::Q8_BLOCK;
use crate::cpu::{Cpu, Inline, Isa, Matrix};
use crate::ops::testing::{assert_close, coarse, on_each_backend, on_each_cpu, q8_chains, random};

/// A matrix in each format.
struct Stored {
    f32s: Vec<f32>,
    f16s: Vec<f16>,
    bf16s: Vec<bf16>,
    q8s: Vec<i8>,
    scales: Vec<f16>,
}

impl Stored {
    fn random(length: usize, seed: u64) -> Self {
        let f32s = random(length, seed);
        let scales = random(length.div_ceil(Q8_BLOCK), !seed);
        Self {
            f16s: f32s.iter().map(|w| f16::from_f32(*w)).collect(),
            bf16s: f32s.iter().map(|w| bf16::from_f32(*w)).collect(),
            q8s: f32s.iter().map(|w| (w * 127.0) as i8).collect(),
            scales: scales.iter().map(|w| f16::from_f32(w / 127.0)).collect(),
            f32s,
        }
    }

    fn formats(&self) -> [Matrix<'_>; 4] {
        let q8 = Matrix::Q8 { values: &self.q8s, scales: &self.scales };
        [Matrix::F32(&self.f32s), Matrix::F16(&self.f16s), Matrix::Bf16(&self.bf16s), q8]
    }
}

/// The sums alone, as the contract defines them: one chain in order of k.
fn chains(x: &[f32], weight: Matrix<'_>, d: Dims) -> Vec<f32> {
    if let Matrix::Q8 { values, scales } = weight
        && d.inner.is_multiple_of(Q8_BLOCK)
    {
        return q8_chains(x, values, scales, d.inner);
    }
    let mut out = Vec::new();
    for x in x.chunks(d.inner) {
        for c in 0..d.outer {
            let pairs = x.iter().enumerate();
            out.push(pairs.fold(0.0, |sum, (k, x)| x.mul_add(weight.at(c * d.inner + k), sum)));
        }
    }
    out
}

/// Everything, in `f64`.
fn oracle(
    x: &[f32],
    weight: Matrix<'_>,
    bias: Option<&[f32]>,
    epilogue: Epilogue<'_, [f32]>,
    d: Dims,
) -> Vec<f64> {
    let mut out = Vec::new();
    for r in 0..d.rows {
        for c in 0..d.outer {
            let bias = bias.map_or(0.0, |bias| f64::from(bias[c]));
            let y = (0..d.inner).fold(bias, |sum, k| {
                sum + f64::from(x[r * d.inner + k]) * f64::from(weight.at(c * d.inner + k))
            });
            out.push(match epilogue {
                Epilogue::None => y,
                Epilogue::Gelu => {
                    let u = (2.0 / core::f64::consts::PI).sqrt() * (y + 0.044715 * y * y * y);
                    0.5 * y * (1.0 + u.tanh())
                }
                Epilogue::Gated { residual, gate } => {
                    let gate = gate.table[gate.start + r / gate.rows * gate.stride + c];
                    f64::from(residual[r * d.outer + c]) + f64::from(gate) * y
                }
                Epilogue::Plus { table } => {
                    let period = table.len() / d.outer;
                    y + f64::from(table[r % period * d.outer + c])
                }
            });
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sums_are_one_chain_in_every_format(
        rows in 1_usize..40,
        inner in prop_oneof![1_usize..70, (1_usize..9).prop_map(|blocks| 32 * blocks)],
        outer in 1_usize..80,
        seed: u64,
    ) {
        let d = Dims { rows, inner, outer };
        let x = random(rows * inner, seed);
        let stored = Stored::random(outer * inner, seed ^ 1);
        for weight in stored.formats() {
            let got = on_each_cpu(rows * outer, |cpu, out| {
                let Ok(()) = cpu.linear(out, &x, weight, None, Epilogue::None, d);
            });
            prop_assert_eq!(&got, &chains(&x, weight, d));
        }
    }

    #[test]
    fn epilogues_follow_their_formulas(
        rows in 1_usize..40,
        inner in prop::sample::select(&[1_usize, 7, 8, 19, 24, 32, 64, 72, 96][..]),
        outer in 1_usize..50,
        served in 1_usize..5,
        spare in 0_usize..4,
        period in 1_usize..7,
        seed: u64,
    ) {
        compare(Dims { rows, inner, outer }, served, spare, period, seed);
    }
}

/// Several tiles of every kind, none of them whole; few rows of a deep product.
#[test]
fn epilogues_follow_their_formulas_in_every_tile() {
    for (rows, inner, outer) in [
        (130, 72, 140),
        (40, 1096, 72),
        (40, 72, 136),
        (300, 64, 270),
        (257, 200, 129),
        (3, 2048, 40),
        (31, 1056, 33),
    ] {
        compare(Dims { rows, inner, outer }, 7, 2, 5, 1);
    }
}

/// Every epilogue with and without bias. Operands are exact in every format: the only error is
/// the sums' rounding, and the output's where it has 16 bits.
fn compare(d: Dims, served: usize, spare: usize, period: usize, seed: u64) {
    let Dims { rows, inner, outer } = d;
    let x = coarse(rows * inner, seed);
    let weight = coarse(outer * inner, seed ^ 1);
    let bias = random(outer, seed ^ 2);
    let residual = random(rows * outer, seed ^ 3);
    let stride = outer + 2 * spare;
    let table = random(rows.div_ceil(served) * stride, seed ^ 4);
    let plus = random(period * outer, seed ^ 5);
    for with_bias in [false, true] {
        for number in 0..4 {
            let want = {
                let gate = PerRow { table: &table[..], start: spare, stride, rows: served };
                let epilogue = match number {
                    0 => Epilogue::None,
                    1 => Epilogue::Gelu,
                    2 => Epilogue::Gated { residual: &residual[..], gate },
                    _ => Epilogue::Plus { table: &plus[..] },
                };
                oracle(&x, Matrix::F32(&weight), with_bias.then_some(&bias[..]), epilogue, d)
            };
            for got in on_each_backend!(
                [out: rows * outer],
                [x, bias, residual, table, plus],
                [weight: [outer, inner]],
                |b| {
                    let gate = PerRow { table, start: spare, stride, rows: served };
                    let epilogue = match number {
                        0 => Epilogue::None,
                        1 => Epilogue::Gelu,
                        2 => Epilogue::Gated { residual, gate },
                        _ => Epilogue::Plus { table: plus },
                    };
                    b.linear(out, x, weight, with_bias.then_some(bias), epilogue, d)
                }
            ) {
                let tolerance = 2e-6 * (inner as f64).sqrt().max(4.0);
                if number == 1 {
                    got.assert_close(&want, tolerance);
                } else {
                    got.assert_as_close(&want, tolerance);
                }
            }
        }
    }
}

/// Several blocks of k, several tiles of rows and columns, none of them whole.
#[test]
fn tiles_and_blocks_leave_the_chain_alone() {
    for (rows, inner, outer) in [
        (701, 300, 70),
        (1, 1100, 333),
        (97, 2049, 65),
        (701, 320, 70),
        (5, 1120, 333),
        (97, 2112, 65),
        (6, 1, 20),
    ] {
        let d = Dims { rows, inner, outer };
        let x = random(rows * inner, 1);
        let stored = Stored::random(outer * inner, 2);
        for weight in stored.formats().into_iter().step_by(3) {
            let got = on_each_cpu(rows * outer, |cpu, out| {
                let Ok(()) = cpu.linear(out, &x, weight, None, Epilogue::None, d);
            });
            assert!(got == chains(&x, weight, d), "{d:?}");
        }
    }
}

/// Several blocks of k with so little memory that their sums are made for some columns at a time.
#[test]
fn sums_are_one_chain_in_groups_of_columns() {
    for (rows, inner, outer) in [(16, 2100, 101), (33, 1025, 150), (5, 1024, 97)] {
        let d = Dims { rows, inner, outer };
        let (x, weight) = (random(rows * inner, 1), random(outer * inner, 2));
        let want = chains(&x, Matrix::F32(&weight), d);
        for isa in Isa::all() {
            let mut scratch = vec![f32::NAN; LEAST_NT_FLOATS + 1000];
            let inline = Inline::new(&mut scratch);
            let mut out = vec![f32::NAN; rows * outer];
            let cpu = Cpu::new(isa, &inline);
            let Ok(()) = cpu.linear(&mut out, &x, Matrix::F32(&weight), None, Epilogue::None, d);
            assert!(out == want, "{isa:?}, {d:?}");
        }
    }
}

/// TF32 gives factors ten bits of mantissa, to the nearest, halves away from zero, and nothing else.
#[cfg(feature = "cuda")]
#[test]
fn tf32_rounds_factors_only() {
    const STEP: f32 = 1.0 / 1024.0;
    const FINE: f32 = STEP / 1024.0;
    let x = [1.0 + STEP / 2.0, 1.0 + STEP / 2.0 - FINE, -1.0 - STEP / 2.0, 1.0 + 1.5 * STEP];
    let factors = [1.0 + STEP, 1.0, -1.0 - STEP, 1.0 + 2.0 * STEP];
    for (inner, exact) in [(1, factors[0]), (40, 1.0)] {
        let d = Dims { rows: 4, inner, outer: 1 };
        // Each row's factor comes last.
        let rows: Vec<f32> = x.iter().flat_map(|x| (1..inner).map(|_| 0.0).chain([*x])).collect();
        let weight = vec![if exact == 1.0 { 1.0 } else { x[0] }; inner];
        let want = factors.map(|factor| factor * exact + FINE);
        for bench in crate::cuda::testing::gpus().iter() {
            if bench.cuda.precision() != crate::cuda::Precision::Tf32 {
                continue;
            }
            let (rows, bias) = (bench.put(&rows), bench.put(&[FINE]));
            let weight = bench.matrix(Matrix::F32(&weight), &[1, inner]);
            let mut out = bench.nans(4);
            let (epilogue, weight) = (Epilogue::None, weight.view());
            bench.cuda.linear(&mut out, &rows, weight, Some(&bias), epilogue, d).unwrap();
            assert_eq!(bench.read(&out), want, "{}, {inner}", bench.name);
        }
    }
}

/// Where two sums cannot be stored together, each is stored by itself.
#[cfg(feature = "cuda")]
#[test]
fn linear_writes_to_a_run_at_an_odd_word() {
    use crate::memory::Floats;

    let d = Dims { rows: 40, inner: 64, outer: 66 };
    let (x, weight) = (coarse(d.rows * d.inner, 1), coarse(d.outer * d.inner, 2));
    for bench in crate::cuda::testing::gpus().iter() {
        let x = bench.put(&x);
        let weight = bench.matrix(Matrix::F32(&weight), &[d.outer, d.inner]);
        let linear = |start: usize| {
            let length = d.rows * d.outer;
            let mut memory = bench.nans(start + length);
            let out = memory.range_mut(start..start + length);
            let (weight, epilogue) = (weight.view(), Epilogue::None);
            let done = bench.cuda.linear(out, &x, weight, None, epilogue, d);
            done.unwrap_or_else(|error| panic!("{}: {error}", bench.name));
            bench.read(&memory)[start..].to_vec()
        };
        assert_eq!(linear(1), linear(2), "{}", bench.name);
    }
}

/// A second opinion, from a library that shares no code with this one.
#[test]
fn crate_gemm_agrees() {
    let (rows, inner, outer) = (170, 384, 290);
    let d = Dims { rows, inner, outer };
    let (x, weight) = (random(rows * inner, 1), random(outer * inner, 2));
    let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let (wide_x, wide_weight) = (wide(&x), wide(&weight));
    let mut want = vec![0.0_f64; rows * outer];
    // SAFETY: the sizes and strides describe the three vectors made above.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            rows,
            outer,
            inner,
            want.as_mut_ptr(),
            1,
            outer as isize,
            false,
            wide_x.as_ptr(),
            1,
            inner as isize,
            wide_weight.as_ptr(),
            inner as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    let got = on_each_cpu(rows * outer, |cpu, out| {
        let Ok(()) = cpu.linear(out, &x, Matrix::F32(&weight), None, Epilogue::None, d);
    });
    assert_close(&got, &want, 1e-4);
}

#[test]
fn empty_sum_is_zero() {
    let d = Dims { rows: 2, inner: 0, outer: 3 };
    let got = on_each_cpu(6, |cpu, out| {
        let Ok(()) = cpu.linear(out, &[], Matrix::F32(&[]), None, Epilogue::None, d);
    });
    assert_eq!(got, [0.0; 6]);
}

#[test]
#[should_panic(expected = "weight is not outer × inner (3 × 4)")]
fn weight_of_another_size_is_refused() {
    let d = Dims { rows: 1, inner: 4, outer: 3 };
    on_each_cpu(3, |cpu, out| {
        let Ok(()) = cpu.linear(out, &[0.0; 4], Matrix::F32(&[0.0; 13]), None, Epilogue::None, d);
    });
}
