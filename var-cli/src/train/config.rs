//! Options of `var train` → configuration of a run.

use anyhow::Result;
use serde_json::{Map, Value};
use var_host::run::{RunConfig, by_name};
use var_host::train::fit::{Intervals, RunOptions};
use var_host::train::{Precision, TrainConfig};

use crate::args::TypedOptions;

use super::options::{IntervalOptions, Learning, Options};

impl Options {
    /// Refuses options that were typed and decide nothing beside the others.
    ///
    /// # Errors
    /// `Usage` that names the option.
    pub(super) fn check(&self, given: &TypedOptions) -> Result<()> {
        let (files, size, learning) = (&self.files, &self.size, &self.learning);
        let anew = "--out goes on with the run that is there; another folder begins a new one";
        given.refuse(&["force"], true, anew)?;
        let only_tokens = files.tokens.is_some() && files.data.is_none();
        let of_images = "goes with images, of which --tokens alone has none";
        given.refuse(&["mid_reso", "workers"], only_tokens, of_images)?;
        let unread = files.tokens.is_some() && files.val_tokens.is_some();
        given.refuse(&["data"], unread, "--tokens and --val-tokens are in its place")?;
        let taken = self.init.init_from.is_some();
        given.refuse(&["hd", "aln", "alng"], taken, "the weights are those of --init-from")?;
        let first = "the first block is never passed by, and --depth 1 has no other";
        given.refuse(&["drop_path"], size.depth == 1 && learning.drop_path > Some(0.0), first)?;
        let whole = "goes with --pg above 0: all scales are learned from the start";
        given.refuse(&["pg0", "pgwp"], learning.pg == 0.0, whole)?;
        let bent = 0.0 < learning.pg && learning.pg < 1.0;
        let bends = format!("--pg {} makes it lin{}", learning.pg, learning.pg);
        let other = learning.sche.to_string() != format!("lin{}", learning.pg);
        given.refuse(&["sche"], bent && other, &bends)
    }

    /// The options by their names; `learned` and `session` also have what was found in the files.
    pub(super) fn recorded(
        &self,
        config: &TrainConfig,
        mut learned: Map<String, Value>,
        mut session: Map<String, Value>,
    ) -> RunConfig {
        for part in [by_name(&self.data), by_name(&self.size), by_name(&self.initial)] {
            learned.extend(part);
        }
        learned.extend(by_name(config));
        session.extend(by_name(&self.every.intervals()));
        let local = [by_name(&self.files), by_name(&self.init), by_name(&self.kept)];
        RunConfig { learned, session, local: local.into_iter().flatten().collect() }
    }

    /// Folder and intervals.
    pub(super) fn run(&self) -> RunOptions {
        let keep = self.kept.keep.into();
        RunOptions { folder: self.out.clone(), keep, every: self.every.intervals() }
    }

    /// Whether the option `name` may be another when a run goes on.
    #[cfg(test)]
    pub(crate) fn may_change(&self, name: &str) -> bool {
        self.recorded(&self.config(), Map::new(), Map::new()).may_change(name)
    }

    /// Options that affect training.
    pub(super) fn config(&self) -> TrainConfig {
        // Every option is named: a new one cannot be forgotten.
        let Learning {
            bs,
            ac,
            recompute: _,
            ep,
            iterations,
            tblr,
            twd,
            twde,
            tclip,
            ls,
            wp,
            wp0,
            wpe,
            sche,
            fp16,
            pg,
            pg0,
            pgwp,
            drop_path,
            cond_drop,
            ema,
            seed,
        } = self.learning;
        TrainConfig {
            batch: bs,
            microbatches: ac,
            epochs: ep,
            iterations,
            base_rate: tblr,
            weight_decay: twd,
            weight_decay_end: twde,
            clip: tclip,
            label_smoothing: ls,
            warmup: wp,
            warmup_start: wp0,
            final_rate: wpe,
            decay: sche,
            precision: Precision::ALL[usize::from(fp16)],
            progressive: pg,
            progressive_first: pg0,
            progressive_warmup: pgwp,
            drop_path,
            class_dropout: cond_drop,
            ema,
            no_shuffle: self.data.no_shuffle,
            balance: self.data.balance.filter(|balance| *balance > 0.0),
            seed,
        }
    }
}

impl IntervalOptions {
    pub(super) fn intervals(&self) -> Intervals {
        let Self { save_every, val_every, sample_every, log_every, details_every } = *self;
        Intervals { save_every, validate_every: val_every, sample_every, log_every, details_every }
    }
}
