//! `var train`: a transformer on a VQVAE's tokens.

mod init;
mod observer;
mod opened;
mod options;
pub(crate) mod published;

use core::iter;

use anyhow::Result;
use serde_json::{Map, Value};
use var_host::engine::Engine;
use var_host::optim::schedule::{Decay, Schedule};
use var_host::parallel::Ranks;
use var_host::plural::count;
use var_host::run::{self, Begun};
#[cfg(feature = "cuda")]
use var_host::train::OnCard;
use var_host::train::fit::{Run, fit, iterations_of_epoch};
use var_host::train::noise::Noise;
use var_host::train::trainer::{self, Trainer};
use var_host::train::{Home, Initialisation, Layout, OnProcessor, Precision, Progressive, Recipe};
use var_kernel::model::VarConfig;

use crate::args::every::Every;
use crate::args::{Given, Session, Usage};
use crate::extend;
use crate::identity;
use crate::interrupt::Interrupted;
use crate::memory;
use observer::Told;
use opened::Opened;
use options::MAY_DIFFER;

pub(crate) use options::{MAY_CHANGE, Options};

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    options.check(&session.given)?;
    let ranks = session.meet()?;
    if ranks.rank() == 0 && !session.given.passed_over.is_empty() {
        let passed_over = session.given.passed_over.join(", ");
        session.warn(&format!("options of train.py that decide nothing here: {passed_over}"));
    }
    let mut opened = Opened::open(options, session)?;
    let unjudged = opened.validation.is_none() && options.writing.val_every != Every::Count(0);
    session.given.refuse(&["val_every"], unjudged, "there is nothing to validate on")?;
    let config = options.config(&opened)?;
    let named = options.named(&opened, &config);
    run::check_ranks_agree(&*ranks, &named, &MAY_DIFFER)?;
    let of_epoch = iterations_of_epoch(opened.training.items(), options.learning.bs, &*ranks)?;
    let recipe = options.recipe(of_epoch, &config, ranks.size(), &session.given)?;
    // The folder stays locked until the run ends.
    let _lock = match ranks.rank() {
        0 => {
            opened.check_class_names(&options.out)?;
            Some(begin(options, &named, session)?)
        }
        _ => None,
    };
    let mut engine = session.tokenizer(&opened.given)?;
    let workers = session.workers(options.data.workers, engine.is_on_card());
    for set in iter::once(&mut opened.training).chain(&mut opened.validation) {
        set.read_by(workers);
    }
    let (layout, mut weights) =
        trainer::initial(&config, recipe.seed, options.model.initialisation());
    if let Some(path) = &options.model.init_from {
        let initial = (&mut weights[..], &layout);
        let first = ranks.rank() == 0;
        init::begin_with(path, options, &opened, &config, initial, session, first)?;
    }
    let begun = Start { options, opened: &opened, config, recipe, of_epoch, layout, weights };
    #[cfg(feature = "cuda")]
    if engine.card().is_some() {
        let home = OnCard::new(session.device.card(recipe.precision.on_card())?);
        return begun.learn(&home, &mut engine, &*ranks, session);
    }
    begun.learn(&OnProcessor, &mut engine, &*ranks, session)
}

/// A run before its first iteration.
struct Start<'a> {
    options: &'a Options,
    opened: &'a Opened,
    config: VarConfig,
    recipe: Recipe,
    of_epoch: u64,
    layout: Layout,
    weights: Vec<f32>,
}

impl Start<'_> {
    /// Trains where `home` says.
    fn learn<H: Home>(
        self,
        home: &H,
        engine: &mut Engine<'_>,
        ranks: &dyn Ranks,
        session: &Session,
    ) -> Result<()> {
        let Self { options, opened, config, recipe, of_epoch, layout, weights } = self;
        let mut trainer = {
            let device = home.device(engine.cpu());
            let mut trainer = Trainer::<H>::new(&device, config, recipe, layout, weights)?;
            trainer.recomputes = options.learning.recompute;
            options.check_memory(&trainer, &device, ranks.size())?;
            trainer
        };
        let writing = &options.writing;
        let run = Run {
            training: &opened.training,
            validation: opened.validation.as_ref(),
            given: &opened.given,
            folder: &options.out,
            iterations: recipe.schedule.iterations,
            shuffle: !options.data.no_shuffle,
            save_every: writing.save_every.iterations(of_epoch),
            keep: writing.keep.into(),
            validate_every: writing.val_every.epochs(),
            sample_every: writing.sample_every.epochs(),
            log_every: writing.log_every,
            details_every: writing.details_every,
        };
        if ranks.rank() == 0 {
            opened.tell(&config, session)?;
        }
        let mut told = Told::new(session, run.iterations, ranks.rank() == 0);
        let ended = fit(&run, &mut trainer, home, engine, ranks, &mut told)?;
        let had_ended = told.had_ended;
        drop(told);
        if let Some(signal) = ended.signal {
            return Err(Interrupted { signal, checkpoint: ended.checkpoint }.into());
        }
        if ranks.rank() == 0 {
            if had_ended {
                session.say(&extend::advice(&options.out, options.is_of_any_length()))?;
            }
            if let Some(report) = ended.report {
                session.say(&observer::validation(&report))?;
            }
            let iterations = count(ended.progress.iterations, "iteration");
            session.say(&format!("{}: {iterations}", ended.checkpoint.display()))?;
        }
        Ok(())
    }
}

/// Locks the run's folder; refuses options that differ from those it was begun with.
fn begin(options: &Options, named: &Map<String, Value>, session: &Session) -> Result<Begun> {
    let may_change = extend::may_change(&MAY_CHANGE, options.is_of_any_length());
    identity::tell_unknown_digests(&options.out, named, session)?;
    run::begin(&options.out, named, &may_change)
        .map_err(|error| extend::explain(error, &options.out))
}

/// Refuses progressive training in which no scale comes later.
fn check_progressive(
    pg: f64,
    [first, scales]: [usize; 2],
    [warmup, complete]: [f64; 2],
) -> Result<()> {
    if first + 1 >= scales {
        let text = format!(
            "--pg {pg}: nothing is learnt later: --pg0 {first} is the last of {} or beyond",
            count(scales, "scale")
        );
        return Err(Usage(text).into());
    }
    if complete <= warmup {
        let text = format!(
            "--pg {pg}: all scales from iteration {complete}, which the warm-up of {warmup} holds"
        );
        return Err(Usage(text).into());
    }
    Ok(())
}

impl options::ModelSizes {
    fn initialisation(&self) -> Initialisation {
        Initialisation {
            deviation: self.ini,
            head: if self.hd < 0.0 { 1.0 } else { self.hd },
            modulation: self.aln,
            gates: self.alng,
        }
    }
}

impl Options {
    /// The options by their names, with the sizes that data and VQVAE give.
    fn named(&self, opened: &Opened, config: &VarConfig) -> Map<String, Value> {
        let mut found = opened.found();
        found.insert("width".to_owned(), config.width.into());
        found.insert("heads".to_owned(), config.heads.into());
        found.insert("classes".to_owned(), config.classes.into());
        found.insert("pn".to_owned(), config.ladder.to_string().into());
        self.by_name(found)
    }

    /// The sizes of the transformer.
    fn config(&self, opened: &Opened) -> Result<VarConfig> {
        let (sizes, vqvae) = (&self.model, &opened.vqvae);
        let depth = usize::from(sizes.depth);
        let width = sizes.width.map_or(64 * depth, |width| width as usize);
        let heads = sizes.heads.map_or((width / 64).max(1), |heads| heads as usize);
        let classes = sizes.classes.map_or(opened.classes, |classes| classes as usize);
        if classes < opened.classes {
            let has = opened.classes;
            return Err(Usage(format!("--classes {classes}: the data has {has}")).into());
        }
        let config = VarConfig {
            depth,
            width,
            heads,
            hidden: 4 * width,
            classes,
            codes: vqvae.codes,
            latent: vqvae.latent,
            ladder: vqvae.ladder,
            unit_length: sizes.anorm == 1,
            shared_modulation: sizes.saln == 1,
        };
        config.check().map_err(|error| Usage(format!("--depth, --width, --heads: {error}")))?;
        Ok(config)
    }

    /// How it is trained, in epochs of `of_epoch` iterations.
    fn recipe(
        &self,
        of_epoch: u64,
        config: &VarConfig,
        ranks: usize,
        given: &Given,
    ) -> Result<Recipe> {
        let learning = &self.learning;
        let parts = learning.ac as usize * ranks;
        if !(learning.bs as usize).is_multiple_of(parts) {
            let (bs, ac) = (learning.bs, learning.ac);
            let text = format!("--bs {bs}: no multiple of --ac {ac} × {}", count(ranks, "rank"));
            return Err(Usage(text).into());
        }
        let iterations = learning.iterations.unwrap_or(of_epoch * u64::from(learning.ep));
        let epochs = iterations as f64 / of_epoch as f64;
        let or = |given: f64, default: f64| if given == 0.0 { default } else { given };
        let of_epochs = |epochs: f64| epochs * of_epoch as f64;
        let warmup = of_epochs(or(learning.wp, epochs / 50.0));
        // As the published trainer rounds it: a half to the even number.
        let rounded = warmup.round_ties_even() as u64;
        if rounded > iterations {
            let text =
                format!("--wp {}: longer than the run of {}", learning.wp, count(epochs, "epoch"));
            return Err(Usage(text).into());
        }
        given.refuse(&["wp0"], rounded == 0, "the warm-up has no iteration: give --wp")?;
        let pg = learning.pg;
        let decay = if pg > 0.0 && pg < 1.0 { Decay::Bent { at: pg } } else { learning.sche };
        let weight_decay = learning.twd;
        let schedule = Schedule {
            decay,
            peak: Recipe::peak_rate(learning.tblr, learning.bs),
            start: learning.wp0,
            end: learning.wpe,
            warmup: rounded,
            iterations,
            weight_decay,
            weight_decay_end: or(learning.twde, weight_decay),
        };
        let progressive = (pg > 0.0).then(|| Progressive {
            first: learning.pg0.into(),
            warmup,
            complete: pg * iterations as f64,
            rise: of_epochs(or(learning.pgwp, epochs / 300.0)),
        });
        if let Some(Progressive { first, complete, .. }) = progressive {
            check_progressive(learning.pg, [first, config.ladder.scales()], [warmup, complete])?;
        }
        let depth = learning.drop_path.map_or(0.1 * config.depth as f64 / 24.0, f64::from);
        if depth >= 1.0 {
            let text = format!("--drop-path: 0.1 · --depth / 24 is {depth}: give one below 1");
            return Err(Usage(text).into());
        }
        Ok(Recipe {
            batch: learning.bs,
            parts: learning.ac,
            schedule,
            clip: learning.tclip,
            smoothing: learning.ls,
            precision: [Precision::F32, Precision::F16, Precision::Bf16]
                [usize::from(learning.fp16)],
            progressive,
            noise: Noise { classes: learning.cond_drop.into(), depth },
            average: learning.ema.into(),
            seed: learning.seed,
        })
    }

    /// Refuses a batch for which the device has not the memory.
    fn check_memory<H: Home>(
        &self,
        trainer: &Trainer<H>,
        device: &H::Device<'_>,
        ranks: usize,
    ) -> Result<()> {
        let images = self.learning.bs as usize / (ranks * self.learning.ac as usize);
        memory::check_training(
            self.learning.bs,
            self.learning.ac,
            H::free(device),
            trainer.working_memory(device, images),
            trainer.memory(device, images),
            if self.learning.recompute { "" } else { " or with --recompute" },
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// The options of `var train`, read by themselves.
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    /// The recipe of some options, in epochs of 6 iterations.
    fn recipe(more: &[&str]) -> Recipe {
        let line = [&["train", "--tokens", "a.tok", "--out", "run"], more].concat();
        let config = VarConfig {
            depth: 2,
            width: 64,
            heads: 1,
            hidden: 256,
            classes: 2,
            codes: 16,
            latent: 4,
            ladder: var_kernel::model::Ladder::new(&[1, 2]).unwrap(),
            unit_length: true,
            shared_modulation: false,
        };
        Line::try_parse_from(line)
            .unwrap()
            .options
            .recipe(6, &config, 1, &Given::default())
            .unwrap()
    }

    #[test]
    fn peak_rate_is_that_of_the_global_batch_whatever_its_parts() {
        for ac in ["1", "2", "4"] {
            let schedule = recipe(&["--bs", "512", "--tblr", "3e-4", "--ac", ac]).schedule;
            assert!((schedule.peak - 6e-4).abs() < 1e-15, "--ac {ac}: {}", schedule.peak);
        }
    }

    #[test]
    fn progressive_schedule_is_that_of_the_published_trainer() {
        let more =
            ["--pg", "0.6", "--iterations", "15", "--wp", "0.25", "--pgwp", "0.4", "--pg0", "0"];
        let recipe = recipe(&[&more[..], &["--bs", "256", "--tblr", "1e-4"]].concat());
        let Some(stages) = recipe.progressive else { panic!("no progressive training") };
        // 0.6 of 15 iterations, 0.25 and 0.4 epochs of 6: fractions stay.
        assert!((stages.complete - 9.0).abs() < 1e-12 && stages.warmup == 1.5, "{stages:?}");
        assert!((stages.rise - 2.4).abs() < 1e-12, "{stages:?}");
        // The learning rate's warm-up is rounded, a half to the even number: to 2.
        let Schedule { warmup, iterations, decay, .. } = recipe.schedule;
        assert_eq!((warmup, iterations, decay), (2, 15, Decay::Bent { at: 0.6 }));
        // utils/lr_control.py's `lin0.6` with wp0 = 0.005, wpe = 0.01.
        let rate = |i: f64| {
            let passed = (i - 2.0) / 12.0;
            let middle = (1.0 + 0.01 + 0.99 * 0.4) / 2.0;
            1e-4 * match i {
                _ if i < 2.0 => 0.005 + 0.995 * i / 2.0,
                _ if passed < 0.6 => 1.0 + (middle - 1.0) * passed / 0.6,
                _ => 0.01 + (middle - 0.01) * (1.0 - passed) / 0.4,
            }
        };
        for i in 0..15_u32 {
            let (got, want) = (recipe.schedule.learning_rate(i.into()), rate(i.into()));
            assert!((got - want).abs() <= 1e-9 * want, "iteration {i}: {got}, want {want}");
        }
    }
}
