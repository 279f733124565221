//! The codebook in training: how often its codes are hit, where they move, which begin anew.

use core::ops::Range;

use super::hyperparameters::{CodebookUpdate, VqvaeHyperparameters};
use crate::parallel::{ProcessGroup, ProcessGroupError};
use crate::train::Storage;
use crate::train::codebook::dead_codes::ResetCode;
use crate::train::codebook::{DeadCodeReset, EmaCodebook, Residuals, Usage, ema, usage};
use crate::train::layout::ParameterLayout;
use crate::train::state::{StateCounter, StateTensor, TrainState};
use var_kernel::model::VqvaeConfig;

/// The tensor of average usage, as the published trainer calls it.
const HITS: &str = "vae.quantize.ema_vocab_hit_SV";

/// A codebook, its gradient and its averages, on the host: `codes × latent` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Codebook {
    /// The codes.
    pub codes: Vec<f32>,
    /// Their average, if one is kept.
    pub mean: Option<Vec<f32>>,
    /// The optimizer's average gradients.
    pub m: Vec<f32>,
    /// Its average squares.
    pub v: Vec<f32>,
}

/// The state that keeps a codebook in use.
#[derive(Clone, Debug, PartialEq)]
pub struct CodebookState {
    codes: usize,
    latent: usize,
    /// Where the codebook lies among the weights.
    pub range: Range<usize>,
    /// How often each code is hit.
    pub usage: Usage,
    /// Averages of the codes' features, if they move the codes (EMA codebook).
    pub average: Option<EmaCodebook>,
    dead_codes: Option<DeadCodeReset>,
    /// Codes revived so far.
    pub revived: u64,
}

impl CodebookState {
    /// The keeper of the codebook among `weights`.
    ///
    /// # Panics
    /// If `layout` has no codebook.
    pub fn new(
        config: &VqvaeConfig,
        hyperparameters: &VqvaeHyperparameters,
        layout: &ParameterLayout,
        weights: &[f32],
    ) -> Self {
        let VqvaeConfig { codes, latent, ladder, .. } = *config;
        let codebook = layout.tensor("quantize.embedding.weight").expect("a layout of a VQVAE");
        let range = codebook.range.clone();
        let cells: Vec<usize> = (0..ladder.scales()).map(|scale| ladder.cells(scale)).collect();
        let average = match hyperparameters.codebook {
            CodebookUpdate::Gradient => None,
            CodebookUpdate::EmaCodebook(decay) => {
                Some(EmaCodebook::new(&weights[range.clone()], latent, decay))
            }
        };
        let revive = hyperparameters.revive > 0.0;
        Self {
            codes,
            latent,
            usage: Usage::new(codes, &cells, hyperparameters.batch as usize),
            average,
            dead_codes: revive.then_some(DeadCodeReset {
                least: hyperparameters.revive,
                seed: hyperparameters.seed,
            }),
            range,
            revived: 0,
        }
    }

    /// Notes a step's features, this rank's, and moves the codes of `book`; codes that are dead begin
    /// anew, in everything that mirrors it too.
    ///
    /// Before the first step all codes are dead: the first batch places them.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    pub fn step(
        &mut self,
        ranks: &dyn ProcessGroup,
        residuals: &Residuals,
        book: &mut Codebook,
        iteration: u64,
    ) -> Result<(), ProcessGroupError> {
        let mut hits = usage::hits(residuals, self.codes);
        ranks.sum(&mut hits)?;
        self.usage.note(&hits);
        if let Some(average) = &mut self.average {
            let mut totals = ema::totals(residuals, self.codes, self.latent);
            ranks.sum(&mut totals)?;
            let share = 1.0 / ranks.size() as f32;
            totals.iter_mut().for_each(|x| *x *= share);
            average.step(&mut book.codes, &totals);
        }
        let Some(dead_codes) = self.dead_codes else { return Ok(()) };
        if self.usage.dead(dead_codes.least).is_empty() {
            return Ok(());
        }
        let all = gathered(residuals, ranks, self.latent)?;
        let revived = dead_codes.of(&self.usage, &all, &book.codes, self.latent, iteration);
        self.place(&revived, book);
        Ok(())
    }

    /// Adds the codebook's to `state`.
    pub(super) fn state<'t, S: Storage>(&'t mut self, state: &mut TrainState<'t, S>) {
        let Self { usage, average, revived, codes, latent, .. } = self;
        let (codes, latent) = (*codes, *latent);
        let Usage { hits, steps, .. } = usage;
        let scales = hits.len() / codes;
        state.tensors.push(StateTensor::host(HITS, hits, vec![scales, codes]));
        if let Some(EmaCodebook { counts, sums, .. }) = average {
            state.tensors.push(StateTensor::host("train.counts", counts, vec![codes]));
            state.tensors.push(StateTensor::host("train.sums", sums, vec![codes * latent]));
        }
        state.counters.push(("counted", StateCounter::Count(steps)));
        state.counters.push(("revived", StateCounter::Count(revived)));
    }

    fn place(&mut self, revived: &[ResetCode], book: &mut Codebook) {
        let Codebook { codes, mean, m, v } = book;
        for ResetCode { code, scale, place } in revived {
            let row = code * self.latent..(code + 1) * self.latent;
            codes[row.clone()].copy_from_slice(place);
            if let Some(mean) = mean {
                mean[row.clone()].copy_from_slice(place);
            }
            m[row.clone()].fill(0.0);
            v[row].fill(0.0);
            if let Some(average) = &mut self.average {
                average.restart(*code, place);
            }
            self.usage.restart(*code, *scale);
            self.revived += 1;
        }
    }
}

/// The residuals of all ranks, in the order of their images.
fn gathered(
    residuals: &Residuals,
    ranks: &dyn ProcessGroup,
    latent: usize,
) -> Result<Residuals, ProcessGroupError> {
    let (rank, size) = (ranks.rank(), ranks.size());
    if size == 1 {
        return Ok(residuals.clone());
    }
    let mut all = Residuals::new(residuals.scales());
    for scale in 0..residuals.scales() {
        // Everyone adds its own to nothing of the others: small integers and 0 + x are exact.
        let (features, tokens) = (&residuals.features[scale], &residuals.tokens[scale]);
        let mut sums = vec![0.0; size * features.len()];
        sums[rank * features.len()..(rank + 1) * features.len()].copy_from_slice(features);
        ranks.sum(&mut sums)?;
        all.features[scale] = sums;
        let mut sums = vec![0.0; size * tokens.len()];
        let own = sums[rank * tokens.len()..(rank + 1) * tokens.len()].iter_mut();
        own.zip(tokens).for_each(|(sum, token)| *sum = *token as f32);
        ranks.sum(&mut sums)?;
        all.tokens[scale] = sums.into_iter().map(|token| token as u32).collect();
        debug_assert_eq!(all.features[scale].len(), all.tokens[scale].len() * latent);
    }
    Ok(all)
}
