//! `var train-vae`: a multi-scale VQVAE on pictures.

mod observer;
mod options;

use core::iter;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use var_host::checkpoint::{Checkpoint, Digest};
use var_host::data::{Crops, Flip, Folder, Views};
use var_host::lpips::{Lpips, SHORTEST_SIDE};
use var_host::optim::schedule::{Decay, Schedule};
use var_host::parallel::Ranks;
use var_host::plural::count;
use var_host::pool::Threads;
use var_host::run::{self, Begun, CONTENTS_DIGEST, DIGEST};
#[cfg(feature = "cuda")]
use var_host::train::OnCard;
use var_host::train::discriminator::DiscriminatorConfig;
use var_host::train::fit::iterations_of_epoch;
use var_host::train::perceptual::Perceptual;
use var_host::train::update::Constants;
use var_host::train::vae::fit::{Run, fit};
use var_host::train::vae::state;
use var_host::train::vae::trainer::CONSTANTS;
use var_host::train::vae::{CodebookRule, Critic, Recipe, Trainer, Weights};
use var_host::train::{Home, OnProcessor};
use var_kernel::cpu::{Cpu, SCRATCH_FLOATS};
use var_kernel::model::VqvaeConfig;
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::ops::nearest_code::Distance;

use crate::args::every::Every;
use crate::args::{Session, Usage};
use crate::interrupt::Interrupted;
use crate::{data_set, extend, identity, memory};
use observer::Told;
use options::{Augmentation, CodebookName, MAY_DIFFER};

pub(crate) use options::{MAY_CHANGE, Options};

/// A folder of pictures, and how they are cut.
type Set = (Arc<Folder>, Views);

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    options.check(&session.given)?;
    let ranks = session.meet()?;
    let config = options.config()?;
    let (training, validation) = options.sets(&config)?;
    let unjudged = validation.is_none() && options.writing.val_every != Every::Count(0);
    session.given.refuse(&["val_every"], unjudged, "there is nothing to validate on")?;
    let named = options.named(&training, validation.as_ref())?;
    run::check_ranks_agree(&*ranks, &named, &MAY_DIFFER)?;
    let of_epoch = iterations_of_epoch(training.0.pictures(), options.learning.bs, &*ranks)?;
    let recipe = options.recipe(of_epoch, ranks.size())?;
    let perceptual = options.perceptual(&config)?;
    // The folder stays locked until the run ends.
    let _lock = match ranks.rank() {
        0 => Some(options.begin(&named, session)?),
        _ => None,
    };
    let begun =
        Start { options, config, recipe, of_epoch, perceptual, sets: (training, validation) };
    #[cfg(feature = "cuda")]
    if let Some(cuda) = session.device.exact().open(session.quiet)? {
        let workers = session.workers(options.data.workers, true);
        return begun.learn(&OnCard::new(cuda), &*ranks, session, workers);
    }
    begun.learn(&OnProcessor, &*ranks, session, session.workers(options.data.workers, false))
}

/// Prints the training data, and anything left out of it.
fn tell(
    config: &VqvaeConfig,
    (folder, views): &Set,
    validation: Option<&Set>,
    session: &Session,
) -> Result<()> {
    data_set::tell_left_out(folder, session);
    session.say(&format!("training:   {}", data_set::folder(folder)))?;
    if let Some((folder, _)) = validation {
        data_set::tell_left_out(folder, session);
        session.say(&format!("validation: {}", data_set::folder(folder)))?;
    }
    session.say(&format!("pictures:   {}", data_set::views(views)))?;
    let VqvaeConfig { codes, latent, channels, ladder, .. } = config;
    session.say(&format!(
        "model:      {} of width {latent}, ladder {ladder}, {}",
        count(*codes, "code"),
        count(*channels, "channel")
    ))
}

/// A run before its first iteration.
struct Start<'a> {
    options: &'a Options,
    config: VqvaeConfig,
    recipe: Recipe,
    of_epoch: u64,
    perceptual: Option<Perceptual>,
    /// To learn from, and to judge by.
    sets: (Set, Option<Set>),
}

impl Start<'_> {
    /// Trains where `home` says; pictures are read ahead by so many threads.
    fn learn<H: Home>(
        self,
        home: &H,
        ranks: &dyn Ranks,
        session: &Session,
        workers: usize,
    ) -> Result<()> {
        let Self { options, config, recipe, of_epoch, perceptual, sets: (training, validation) } =
            self;
        let threads = Threads::new(session.threads, SCRATCH_FLOATS)?;
        let cpu = Cpu::new(session.isa, &threads);
        let device = home.device(cpu);
        let constants = Constants { clip: recipe.clip, ..CONSTANTS };
        let critic = if recipe.weights.adversarial > 0.0 {
            let channels = options.losses.disc_channels.into();
            let config = DiscriminatorConfig::for_side(channels, config.side());
            Some(Critic::<H>::new(&device, config, constants, recipe.seed)?)
        } else {
            None
        };
        let mut trainer = Trainer::<H>::new(&device, config, recipe, perceptual, critic)?;
        options.check_memory(&trainer, &device, ranks.size())?;
        if let Some(path) = &options.model.init_from {
            let checkpoint = Checkpoint::open(path)?;
            if !options.model.verify.no_verify {
                checkpoint.verify_if_ours().with_context(|| path.display().to_string())?;
            }
            state::restore(&mut trainer, &device, &checkpoint, path)?;
        }
        if ranks.rank() == 0 {
            tell(&config, &training, validation.as_ref(), session)?;
        }
        let writing = &options.writing;
        let run = Run {
            training,
            validation,
            workers,
            folder: &options.out,
            iterations: recipe.schedule.iterations,
            shuffle: !options.data.no_shuffle,
            save_every: writing.save_every.iterations(of_epoch),
            keep: writing.keep.into(),
            validate_every: writing.val_every.epochs(),
            sample_every: writing.sample_every.epochs(),
            log_every: writing.log_every,
        };
        let mut told = Told::new(session, run.iterations, ranks.rank() == 0);
        let ended = fit(&run, &mut trainer, &device, &cpu, ranks, &mut told)?;
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

impl Options {
    /// The sizes of the VQVAE.
    fn config(&self) -> Result<VqvaeConfig> {
        let model = &self.model;
        let refinement = match (model.share_quant_resi, model.pn.scales()) {
            (0, _) => Refinement::PerScale,
            (1, _) => Refinement::Shared,
            (shared, scales) if usize::from(shared) > scales => {
                let text = format!(
                    "--share-quant-resi {shared}: the ladder has {}",
                    count(scales, "scale")
                );
                return Err(Usage(text).into());
            }
            (shared, _) => Refinement::Partial(shared.into()),
        };
        let blocks = usize::from(model.blocks);
        let config = VqvaeConfig {
            codes: model.codes as usize,
            latent: model.latent.into(),
            channels: model.ch.into(),
            multipliers: ChannelMultipliers::new(&model.ch_mult)
                .map_err(|error| Usage(format!("--ch-mult: {error}")))?,
            encoder_blocks: blocks,
            decoder_blocks: blocks + 1,
            ladder: model.pn,
            refinement,
            refinement_ratio: 0.5,
            distance: Distance::Euclidean,
        };
        config.check().map_err(|error| Usage(format!("the model's sizes: {error}")))?;
        Ok(config)
    }

    /// The pictures to learn from and those to judge by.
    fn sets(&self, config: &VqvaeConfig) -> Result<(Set, Option<Set>)> {
        let data = &self.data;
        let views = |crops, flip| Views { side: config.side(), resize: data.mid_reso, crops, flip };
        let folder = Folder::open(&data.data.join("train"))?;
        let names = folder.classes().to_vec();
        let crops = match data.aug {
            Augmentation::Crop => Crops::Random(1),
            Augmentation::Center => Crops::Centre,
        };
        let flip = if data.hflip { Flip::Random } else { Flip::Never };
        let training = (Arc::new(folder), views(crops, flip));
        let val = data.data.join("val");
        let validation = match val.is_dir() {
            true => {
                let folder = Folder::open_with_classes(&val, &names)?;
                Some((Arc::new(folder), views(Crops::Centre, Flip::Never)))
            }
            false => None,
        };
        Ok((training, validation))
    }

    /// How it is trained, in epochs of `of_epoch` iterations.
    fn recipe(&self, of_epoch: u64, ranks: usize) -> Result<Recipe> {
        let (learning, losses) = (&self.learning, &self.losses);
        let parts = learning.ac as usize * ranks;
        if !(learning.bs as usize).is_multiple_of(parts) {
            let (bs, ac) = (learning.bs, learning.ac);
            let text = format!("--bs {bs}: no multiple of --ac {ac} × {}", count(ranks, "rank"));
            return Err(Usage(text).into());
        }
        let iterations = learning.iterations.unwrap_or(of_epoch * u64::from(learning.ep));
        let share = |of: f64| (of * iterations as f64).round() as u64;
        let schedule = Schedule {
            decay: Decay::Cosine,
            peak: learning.lr,
            start: learning.wp0,
            end: learning.wpe,
            warmup: share(learning.wp),
            iterations,
            weight_decay: learning.wd,
            weight_decay_end: learning.wd,
        };
        Ok(Recipe {
            batch: learning.bs,
            parts: learning.ac,
            schedule,
            clip: learning.clip,
            weights: Weights {
                absolute: losses.l1 as f32,
                squared: losses.l2 as f32,
                perceptual: losses.lpips_weight as f32,
                quantizer: losses.vq as f32,
                adversarial: losses.disc_weight as f32,
                spread: losses.spread as f32,
            },
            codebook: match self.learning.codebook {
                CodebookName::Gradient => CodebookRule::Gradient,
                CodebookName::Ema => CodebookRule::Average(learning.codebook_decay),
            },
            revive: learning.revive,
            gain: learning.gain,
            average: learning.ema.into(),
            critic_start: share(losses.disc_start),
            critic_warmup: share(losses.disc_warmup),
            seed: learning.seed,
        })
    }

    /// The options by their names, with properties of the data.
    fn named(&self, training: &Set, validation: Option<&Set>) -> Result<Map<String, Value>> {
        let items = |set: &Set| Value::from(set.0.pictures());
        let mut found = Map::from_iter([
            ("training-items".to_owned(), items(training)),
            ("validation-items".to_owned(), validation.map_or(0.into(), items)),
        ]);
        let sets = || iter::once(training).chain(validation);
        let listings = sets().map(|set| set.0.listing_digest());
        let contents = sets().map(|set| set.0.contents_digest());
        for (suffix, digests) in
            [(DIGEST, listings.collect::<Vec<_>>()), (CONTENTS_DIGEST, contents.collect())]
        {
            let lines: Vec<String> = digests.iter().map(Digest::to_string).collect();
            let data = Digest::of_bytes(lines.join("\n").as_bytes());
            found.insert(format!("data{suffix}"), data.to_string().into());
        }
        if let Some(path) = &self.losses.lpips {
            let lpips = Checkpoint::open(path)?.digest();
            found.insert(format!("lpips{DIGEST}"), lpips.to_string().into());
        }
        Ok(self.by_name(found))
    }

    /// Locks the run's folder; refuses options that differ from those it was begun with.
    fn begin(&self, named: &Map<String, Value>, session: &Session) -> Result<Begun> {
        let may_change = extend::may_change(&MAY_CHANGE, self.is_of_any_length());
        identity::tell_unknown_digests(&self.out, named, session)?;
        run::begin(&self.out, named, &may_change).map_err(|error| extend::explain(error, &self.out))
    }

    /// LPIPS, if its weights are given and the pictures are large enough.
    fn perceptual(&self, config: &VqvaeConfig) -> Result<Option<Perceptual>> {
        let losses = &self.losses;
        let Some(path) = &losses.lpips else { return Ok(None) };
        let (side, least) = (config.side(), usize::from(losses.lpips_min_side));
        if side < SHORTEST_SIDE {
            bail!(
                "--lpips: the model's pictures have sides of {side}, LPIPS wants {SHORTEST_SIDE}"
            );
        }
        if side < least {
            let text = format!(
                "--lpips: would be no part of the loss: the model's pictures have sides of {side}, \
                 --lpips-min-side is {least}"
            );
            return Err(Usage(text).into());
        }
        Ok(Some(Perceptual::new(&Lpips::open(path)?)))
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
            "",
        )
    }
}
