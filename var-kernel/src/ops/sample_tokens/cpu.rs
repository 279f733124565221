//! Drawing tokens on the CPU: one row of logits a task.

use core::convert::Infallible;

use super::{Dims, Mixture, NO_TOKEN, SampleSettings, SampleTokens};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::{Cpu, Isa};
use crate::sample::random::Philox;
use crate::sample::{UniformSource, categorical, filter, guidance, gumbel, softmax, temperature};

impl SampleTokens for Cpu<'_> {
    fn sample_tokens(
        &self,
        tokens: &mut [u32],
        mixture: Option<Mixture<'_, [f32]>>,
        logits: &[f32],
        unconditional: Option<&[f32]>,
        settings: &SampleSettings<'_>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let lengths = mixture.as_ref().map(|mixture| [mixture.out.len(), mixture.codebook.len()]);
        d.check(tokens.len(), lengths, logits.len(), unconditional.map(<[f32]>::len));
        self.begin("sample_tokens", 0, 4 * logits.len());
        self.scratch_len("sample_tokens", scratch_len(d));
        let isa = self.isa;
        let cell = |row| Cell {
            settings,
            row,
            image: row / d.positions,
            position: row % d.positions,
            logits: &logits[row * d.codes..][..d.codes],
            unconditional: unconditional.map(|other| &other[row * d.codes..][..d.codes]),
        };
        self.for_each_run(tokens, 1, |row, token, scratch| {
            token[0] = cell(row).sample_tokens(isa, scratch);
        });
        if let Some(Mixture { out, codebook, ratio }) = mixture {
            self.for_each_run(out, codebook.len() / d.codes, |row, out, scratch| {
                let cell = cell(row);
                let Some(weights) = cell.filtered(isa, scratch) else { return out.fill(f32::NAN) };
                gumbel::soften(isa, weights, ratio, |code| cell.noise(code));
                isa.run(Mix { out, weights, codebook });
            });
        }
        Ok(())
    }
}

/// Floats of scratch memory that a thread wants: a row of logits, and as many to work with.
pub(crate) fn scratch_len(d: Dims) -> usize {
    2 * d.codes
}

/// One cell of one image's token map.
struct Cell<'a> {
    settings: &'a SampleSettings<'a>,
    row: usize,
    image: usize,
    position: usize,
    logits: &'a [f32],
    unconditional: Option<&'a [f32]>,
}

impl Cell<'_> {
    /// The logits after guidance, temperature and filter, in `scratch`; none where one is not finite.
    fn filtered<'s>(&self, isa: Isa, scratch: &'s mut [f32]) -> Option<&'s mut [f32]> {
        let (logits, work) = scratch.split_at_mut(self.logits.len());
        logits.copy_from_slice(self.logits);
        if let Some(unconditional) = self.unconditional {
            guidance::guide(logits, unconditional, self.settings.guidance);
        }
        temperature::divide(logits, self.settings.temperature);
        // Without a branch for each logit, so that it is vectorized.
        if !logits.iter().fold(true, |finite, logit| finite & logit.is_finite()) {
            return None;
        }
        filter(isa, logits, self.settings.filter, work);
        Some(logits)
    }

    /// The three numbers a random number is found by.
    fn counter(&self) -> (u32, u32, u32) {
        (self.settings.indices[self.image], self.settings.scale as u32, self.position as u32)
    }

    /// The token.
    fn sample_tokens(&self, isa: Isa, scratch: &mut [f32]) -> u32 {
        let Some(logits) = self.filtered(isa, scratch) else { return NO_TOKEN };
        let (image, scale, position) = self.counter();
        let u = match self.settings.source {
            UniformSource::Greedy => return categorical::greedy(logits) as u32,
            UniformSource::Seed(seed) => Philox::new(seed).token(image, scale, position),
            UniformSource::Given(numbers) => numbers[self.row],
        };
        softmax::softmax(isa, logits);
        categorical::draw(logits, u) as u32
    }

    /// The Gumbel noise of `code`.
    fn noise(&self, code: usize) -> f32 {
        let (image, scale, position) = self.counter();
        match self.settings.source {
            UniformSource::Seed(seed) => {
                gumbel::of_uniform(Philox::new(seed).noise(image, scale, position, code as u32))
            }
            UniformSource::Greedy | UniformSource::Given(_) => 0.0,
        }
    }
}

/// `out = weights · codebook`, in order of codes; those of weight 0 add nothing and are left out.
struct Mix<'a> {
    out: &'a mut [f32],
    weights: &'a [f32],
    codebook: &'a [f32],
}

impl SimdKernel for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.out.len();
        for (number, out) in self.out.chunks_mut(LANES).enumerate() {
            let mut sum = s.splat(0.0);
            for (weight, code) in self.weights.iter().zip(self.codebook.chunks_exact(width)) {
                if *weight > 0.0 {
                    let part = &code[number * LANES..][..out.len()];
                    sum = s.mul_add(s.splat(*weight), s.load_or(part, 0.0), sum);
                }
            }
            s.store_part(sum, out);
        }
    }
}
