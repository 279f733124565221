//! Options of `var train-vae` → configuration of a run.

use anyhow::Result;
use serde_json::{Map, Value};
use var_host::run::{RunConfig, by_name};
use var_host::train::fit::{Intervals, RunOptions};
use var_host::train::vae::{self, VqvaeTrainConfig};

use crate::args::TypedOptions;

use super::options::{
    CodebookName, Differences, Losses, Options, VqvaeIntervalOptions, VqvaeLearning,
};

impl Options {
    /// Refuses options that were typed and decide nothing beside the others.
    ///
    /// # Errors
    /// `Usage` that names the option.
    pub(super) fn check(&self, given: &TypedOptions) -> Result<()> {
        let (losses, learning) = (&self.losses, &self.learning);
        let anew = "--out goes on with the run that is there; another folder begins a new one";
        given.refuse(&["force"], true, anew)?;
        let of_lpips = ["lpips_weight", "lpips_min_side"];
        given.refuse(&of_lpips, self.lpips.lpips.is_none(), "goes with --lpips")?;
        let taken = self.init.init_from.is_some();
        given.refuse(&["gain"], taken, "the weights are those of --init-from")?;
        let of_discriminator = ["disc_start", "disc_warmup", "disc_channels"];
        let weightless = "--disc-weight 0 means no discriminator";
        given.refuse(&of_discriminator, losses.disc_weight == 0.0, weightless)?;
        let by_gradient = learning.codebook == CodebookName::Gradient;
        given.refuse(&["codebook_decay"], by_gradient, "goes with --codebook ema")?;
        given.refuse(&["wp0"], learning.wp == 0.0, "--wp 0 means no warm-up")
    }

    /// The options by their names; `learned` also has what was found in the files.
    pub(super) fn recorded(
        &self,
        config: &VqvaeTrainConfig,
        mut learned: Map<String, Value>,
    ) -> RunConfig {
        for part in [by_name(&self.data), by_name(&self.size), by_name(&self.lpips_side)] {
            learned.extend(part);
        }
        learned.extend(by_name(config));
        learned.insert("with-lpips".to_owned(), self.lpips.lpips.is_some().into());
        let files = [by_name(&self.files), by_name(&self.lpips)];
        let own = [by_name(&self.kept), by_name(&self.init)];
        let local = files.into_iter().chain(own).flatten().collect();
        RunConfig { learned, session: by_name(&self.every), local }
    }

    /// Whether the option `name` may be another when a run goes on.
    #[cfg(test)]
    pub(crate) fn may_change(&self, name: &str) -> bool {
        self.recorded(&self.config(), Map::new()).may_change(name)
    }

    /// Folder and intervals.
    pub(super) fn run(&self) -> RunOptions {
        let VqvaeIntervalOptions { save_every, val_every, sample_every, log_every } = self.every;
        let every = Intervals {
            save_every,
            validate_every: val_every,
            sample_every,
            log_every,
            details_every: 0,
        };
        RunOptions { folder: self.out.clone(), keep: self.kept.keep.into(), every }
    }

    /// Options that affect training.
    pub(super) fn config(&self) -> VqvaeTrainConfig {
        // Every option is named: a new one cannot be forgotten.
        let Differences { l1, l2 } = self.differences;
        let Losses {
            lpips_weight,
            vq,
            spread,
            disc_weight,
            disc_start,
            disc_warmup,
            disc_channels,
        } = self.losses;
        let VqvaeLearning {
            bs,
            ac,
            ep,
            iterations,
            lr,
            wd,
            clip,
            wp,
            wp0,
            wpe,
            ema,
            codebook,
            codebook_decay,
            revive,
            gain,
            seed,
        } = self.learning;
        VqvaeTrainConfig {
            absolute: l1,
            squared: l2,
            lpips_weight,
            quantizer: vq,
            spread,
            disc_weight,
            disc_start,
            disc_warmup,
            disc_channels,
            batch: bs,
            microbatches: ac,
            epochs: ep,
            iterations,
            rate: lr,
            weight_decay: wd,
            clip,
            warmup: wp,
            warmup_start: wp0,
            final_rate: wpe,
            ema,
            codebook: match codebook {
                CodebookName::Gradient => vae::CodebookName::Gradient,
                CodebookName::Ema => vae::CodebookName::Ema,
            },
            codebook_decay,
            revive,
            gain,
            no_shuffle: self.data.no_shuffle,
            balance: self.data.balance.filter(|balance| *balance > 0.0),
            seed,
        }
    }
}
