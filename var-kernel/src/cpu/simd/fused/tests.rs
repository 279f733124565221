//! Multiply-adds of every instruction set, fused by the hardware or not, where one rounding is hard to
//! come by. (C libraries without the hardware's, and the crate libm, round some subnormal sums twice.)

use std::vec;
use std::vec::Vec;

use super::multiply_add;
use crate::cpu::Isa;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

/// Three operands.
type Case = [f32; 3];

/// `a · b + c` of sixteen cases.
struct MultiplyAdd<'a>(&'a [Case; LANES]);

impl SimdKernel for MultiplyAdd<'_> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f32; LANES] {
        let [a, b, c] = [0, 1, 2].map(|i| self.0.map(|case| case[i]));
        let mut out = [0.0; LANES];
        s.store(s.mul_add(s.load(&a), s.load(&b), s.load(&c)), &mut out);
        out
    }
}

/// A tile's chains: one row of `a`, one vector of `b`.
struct Chains<'a> {
    start: [f32; LANES],
    a: &'a [f32],
    b: &'a [[f32; LANES]],
}

impl SimdKernel for Chains<'_> {
    type Output = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        // Rows of the panel beyond the first are the first's negative.
        let a: Vec<f32> = self
            .a
            .iter()
            .flat_map(|a| (0..S::MR).map(move |r| if r == 0 { *a } else { -a }))
            .collect();
        let mut sums = [[s.load(&self.start)], [s.load(&self.start)]];
        s.chains(&mut sums, &a, [self.b]);
        let mut out = [[0.0; LANES]; 2];
        s.store(sums[0][0], &mut out[0]);
        s.store(sums[1][0], &mut out[1]);
        out
    }
}

fn check_chains(start: [f32; LANES], a: &[f32], b: &[[f32; LANES]]) {
    for isa in Isa::all() {
        let got = isa.run(Chains { start, a, b });
        for (row, sign) in [(0, 1.0_f32), (1, -1.0)] {
            for i in 0..LANES {
                let chain = |sum: f32, k: usize| rounded_once(sign * a[k], b[k][i], sum);
                let want = (0..a.len()).fold(start[i], chain);
                assert!(
                    same(got[row][i], want),
                    "{isa:?}: lane {i}: {want:e}, not {:e}",
                    got[row][i]
                );
            }
        }
    }
}

/// `a · b + c` by its exact value, a sum of two `f64`, and the middles between neighboring `f32`.
fn rounded_once(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let nearest = sum as f32;
    if !sum.is_finite() {
        return nearest;
    }
    let from_c = sum - product;
    let rest = (product - (sum - from_c)) + (c - from_c);
    // Rounding takes infinity for the power of two after the greatest number.
    let value =
        |x: f32| if x.is_finite() { x.into() } else { 2.0_f64.powi(128).copysign(x.into()) };
    for other in [nearest.next_down(), nearest.next_up()] {
        if sum == f64::midpoint(value(nearest), value(other)) && rest != 0.0 {
            return if (rest > 0.0) == (other > nearest) { other } else { nearest };
        }
    }
    nearest
}

fn same(got: f32, want: f32) -> bool {
    got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan())
}

fn check(cases: &[Case; LANES], isas: &[Isa]) {
    let want = cases.map(|[a, b, c]| rounded_once(a, b, c));
    for isa in isas {
        let got = isa.run(MultiplyAdd(cases));
        for i in 0..LANES {
            assert!(
                same(got[i], want[i]),
                "{isa:?}: {:e} · {:e} + {:e} is {:e}, not {:e}",
                cases[i][0],
                cases[i][1],
                cases[i][2],
                want[i],
                got[i]
            );
        }
    }
    for (case, want) in cases.iter().zip(want) {
        let got = multiply_add(case[0], case[1], case[2]);
        assert!(same(got, want), "{case:?}: {want:e}, not {got:e}");
    }
}

/// Both signs of zero, subnormal, least, greatest, infinite and undefined numbers, and powers of two
/// with their neighbors.
fn corners() -> Vec<f32> {
    let mut magnitudes = vec![0, 1, 2, 3, 0x3f_ffff, 0x40_0000, 0x40_0001];
    magnitudes.extend([0x7f_fffe, 0x7f_ffff, 0x80_0000, 0x80_0001, 0x80_0002]);
    for exponent in [12_u32, 51, 52, 53, 75, 103, 115, 126, 127, 128, 139, 150, 190, 254] {
        let power = exponent << 23;
        magnitudes.extend([power - 1, power, power + 1, power + (1 << 11), power + 0x7f_f000]);
    }
    magnitudes.extend([0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000]);
    magnitudes.iter().flat_map(|bits| [*bits, bits | 1 << 31]).map(f32::from_bits).collect()
}

/// Numbers of a simple generator: Weyl's sequence, its bits mixed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn any(&mut self) -> f32 {
        f32::from_bits(self.next() as u32)
    }

    /// A number of a few bits: sums of such products often lie halfway.
    fn short(&mut self, exponents: core::ops::Range<i32>) -> f32 {
        let bits = self.next() % 24 + 1;
        let magnitude = (self.next() % (1 << bits) + 1) as f64;
        let span = exponents.len() as u64;
        let exponent = exponents.start + (self.next() % span) as i32;
        let sign = if self.next().is_multiple_of(2) { 1.0 } else { -1.0 };
        (sign * magnitude * 2.0_f64.powi(exponent)) as f32
    }

    /// Any bits, cancellation, halfway sums and subnormal results, in turn.
    fn case(&mut self, kind: u64) -> Case {
        match kind % 5 {
            0 => [self.any(), self.any(), self.any()],
            1 => {
                let (a, b) = (self.any(), self.any());
                let off = (self.next() % 5) as u32;
                [a, b, f32::from_bits((-(a * b)).to_bits().wrapping_add(off).wrapping_sub(2))]
            }
            2 => [self.short(-24..-20), self.short(-24..-20), self.short(-60..0)],
            3 => [self.short(-90..-60), self.short(-90..-60), self.short(-149..-140)],
            _ => {
                // A sum that a far smaller product pushes off halfway.
                let c = f32::from_bits(self.next() as u32 & 0x81ff_ffff);
                let ulp = (f32::from_bits(c.to_bits() + 1) - c).abs();
                let a = 1.0 + [0.0, f32::EPSILON, -f32::EPSILON][self.next() as usize % 3];
                let b = 1.0 + [0.0, f32::EPSILON, -f32::EPSILON][self.next() as usize % 3];
                // (Half of the least subnormal number is none: the factors share it.)
                [a * 2.0_f32.powi(-64), b * (ulp * 2.0_f32.powi(63)), c]
            }
        }
    }
}

fn check_random(batches: u64, seed: u64) {
    let isas: Vec<Isa> = Isa::all().collect();
    let mut numbers = Numbers(seed);
    for _ in 0..batches {
        let cases = core::array::from_fn(|i| numbers.case(i as u64));
        check(&cases, &isas);
    }
}

#[test]
fn corners_round_once() {
    let corners = corners();
    let isas: Vec<Isa> = Isa::all().collect();
    let mut cases = Vec::new();
    for &a in &corners {
        for &b in &corners {
            cases.extend(corners.iter().map(|&c| [a, b, c]));
        }
    }
    cases.resize(cases.len().next_multiple_of(LANES), [0.0; 3]);
    for cases in cases.as_chunks::<LANES>().0 {
        check(cases, &isas);
    }
}

#[test]
fn subnormal_results_round_once() {
    let tiny = 2.0_f32.powi(-75);
    let (up, down) = (1.0 + f32::EPSILON, 1.0 - f32::EPSILON);
    let least = f32::from_bits(1);
    // 2⁻¹⁵⁰, half of the least subnormal number, a little more and a little less of it.
    for (c, a, b, want) in [
        (2.0_f32.powi(-127), tiny, tiny, 2.0_f32.powi(-127)),
        (2.0_f32.powi(-127), tiny * up, tiny, 2.0_f32.powi(-127) + least),
        (2.0_f32.powi(-127), tiny * up, tiny * up, 2.0_f32.powi(-127) + least),
        (f32::from_bits(0x40_0001), tiny * up, tiny * down, f32::from_bits(0x40_0001)),
        // The sum rounds up to the least normal number, the exact one stays below the middle.
        (f32::from_bits(0x7f_ffff), tiny * up, tiny * down, f32::from_bits(0x7f_ffff)),
        (f32::from_bits(0x7f_ffff), tiny, tiny, f32::MIN_POSITIVE),
    ] {
        assert_eq!(rounded_once(a, b, c).to_bits(), want.to_bits(), "{a:e} · {b:e} + {c:e}");
        check(&[[a, b, c]; LANES], &Isa::all().collect::<Vec<_>>());
        check(&[[a, -b, -c]; LANES], &Isa::all().collect::<Vec<_>>());
    }
}

#[test]
fn random_sums_round_once() {
    check_random(20_000, 1);
}

#[test]
fn chains_round_once_at_each_step() {
    let mut numbers = Numbers(3);
    for length in 0..400 {
        // Few bits, subnormal sums, and both with their neighbors of many bits.
        let kinds = [-24..-10, -90..-60, -85..-75];
        let exponents = kinds[length % 3].clone();
        let bits = length % 2 == 0;
        let mut number = || {
            let short = numbers.short(exponents.clone());
            if bits {
                short
            } else {
                short * (1.0 + (numbers.next() >> 40) as f32 * 2.0_f32.powi(-24))
            }
        };
        let start =
            core::array::from_fn(|_| if length % 5 == 0 { 0.0 } else { number() * number() });
        let a: Vec<f32> = (0..length).map(|_| number()).collect();
        let b: Vec<[f32; LANES]> =
            (0..length).map(|_| core::array::from_fn(|_| number())).collect();
        check_chains(start, &a, &b);
    }
}

#[test]
fn chains_see_every_step_that_is_doubtful() {
    let tiny = 2.0_f32.powi(-75);
    let (up, down) = (1.0 + f32::EPSILON, 1.0 - f32::EPSILON);
    for (start, a, b) in [
        // Halfway, and by a little more than f64 holds.
        (1.0, 2.0_f32.powi(-12) * up, 2.0_f32.powi(-12)),
        (1.0, 2.0_f32.powi(-27) * up, 8.0 * up),
        (1.0 + f32::EPSILON, 2.0_f32.powi(-27) * up, 8.0 * down),
        // The same where results are subnormal.
        (2.0_f32.powi(-127), tiny * up, tiny * up),
        (f32::from_bits(0x7f_ffff), tiny * up, tiny * down),
        // Past the greatest number, and back.
        (f32::MAX, 2.0_f32.powi(100), 2.0_f32.powi(4)),
    ] {
        for at in [0, 1, 31, 32, 33, 63] {
            for lane in 0..LANES {
                let mut factors = [0.0; 64];
                factors[at] = a;
                let mut b_rows = [[0.0; LANES]; 64];
                b_rows[at][lane] = b;
                b_rows[63][(lane + 1) % LANES] = 1.0;
                check_chains([start; LANES], &factors, &b_rows);
            }
        }
    }
}

/// 10⁸ on every instruction set; about a minute where this is optimized.
#[test]
#[ignore = "a minute"]
fn hundred_million_sums_round_once() {
    check_random(100_000_000 / LANES as u64, 2);
}
