//! `var train-vae`: a multi-scale VQVAE on images.

mod config;
mod init;
mod options;

use core::iter;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::{Map, Value};
use var_host::checkpoint::{Checkpoint, Digest};
use var_host::data::{CropPositions, CropSpec, Flip, Folder};
use var_host::lpips::{Lpips, SHORTEST_SIDE};
use var_host::parallel::ProcessGroup;
use var_host::plural::count;
use var_host::pool::Threads;
use var_host::run::{self, CONTENTS_DIGEST, DIGEST};
#[cfg(feature = "cuda")]
use var_host::train::DeviceMemory;
use var_host::train::discriminator::DiscriminatorConfig;
use var_host::train::fit::iterations_of_epoch;
use var_host::train::optimizer::OptimizerConfig;
use var_host::train::perceptual::Perceptual;
use var_host::train::vae::trainer::OPTIMIZER_CONFIG;
use var_host::train::vae::{
    CroppedFolder, DiscriminatorState, VqvaeHyperparameters, VqvaeTask, VqvaeTrainConfig,
    VqvaeTrainer,
};
use var_host::train::{Host, Storage};
use var_kernel::cpu::{Cpu, SCRATCH_FLOATS};
use var_kernel::model::VqvaeConfig;
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::ops::nearest_code::Distance;

use crate::args::every::Every;
use crate::args::{Session, Usage};
use crate::{data_set, memory, training};
use options::VqvaeAugmentation;

pub(crate) use options::Options;

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    options.check(&session.given)?;
    let ranks = session.meet()?;
    let train = options.config();
    let config = options.size()?;
    let (training, validation) = options.sets(&config)?;
    let unjudged = validation.is_none() && options.every.val_every != Every::Count(0);
    session.given.refuse(&["val_every"], unjudged, "there is nothing to validate on")?;
    let found = options.found(&training, validation.as_ref())?;
    let recorded = options.recorded(&train, found);
    run::check_ranks_agree(&*ranks, &recorded)?;
    let epoch = iterations_of_epoch(training.folder.pictures(), train.batch, &*ranks)?;
    let hyperparameters =
        train.hyperparameters(epoch, ranks.size()).map_err(|error| Usage(error.to_string()))?;
    let perceptual = options.perceptual(&config)?;
    let folder = (&*ranks, session);
    training::in_folder(&options.out, recorded, train.is_of_any_length(), folder, || {
        let begun = VqvaeStart {
            options,
            config,
            train,
            hyperparameters,
            perceptual,
            sets: (training, validation),
        };
        #[cfg(feature = "cuda")]
        if let Some(cuda) = session.device.exact().open(session.quiet)? {
            let workers = session.workers(options.files.workers, true);
            return begun.learn(&DeviceMemory::new(cuda), &*ranks, session, workers);
        }
        begun.learn(&Host, &*ranks, session, session.workers(options.files.workers, false))
    })
}

/// Prints the training data, and anything left out of it.
fn tell(
    config: &VqvaeConfig,
    CroppedFolder { folder, crop_spec }: &CroppedFolder,
    validation: Option<&CroppedFolder>,
    session: &Session,
) -> Result<()> {
    data_set::tell_left_out(folder, session);
    session.say(&format!("training:   {}", data_set::folder(folder)))?;
    if let Some(CroppedFolder { folder, .. }) = validation {
        data_set::tell_left_out(folder, session);
        session.say(&format!("validation: {}", data_set::folder(folder)))?;
    }
    session.say(&format!("images:     {}", data_set::crops(crop_spec)))?;
    let VqvaeConfig { codes, latent, channels, ladder, .. } = config;
    session.say(&format!(
        "model:      {} of width {latent}, ladder {ladder}, {}",
        count(*codes, "code"),
        count(*channels, "channel")
    ))
}

/// A run before its first iteration.
struct VqvaeStart<'a> {
    options: &'a Options,
    config: VqvaeConfig,
    train: VqvaeTrainConfig,
    hyperparameters: VqvaeHyperparameters,
    perceptual: Option<Perceptual>,
    /// To learn from, and to judge by.
    sets: (CroppedFolder, Option<CroppedFolder>),
}

impl VqvaeStart<'_> {
    /// Trains where `storage` says; images are read ahead by so many threads.
    fn learn<S: Storage>(
        self,
        storage: &S,
        ranks: &dyn ProcessGroup,
        session: &Session,
        workers: usize,
    ) -> Result<()> {
        let Self {
            options,
            config,
            train,
            hyperparameters,
            perceptual,
            sets: (training, validation),
        } = self;
        let threads = Threads::new(session.threads, SCRATCH_FLOATS)?;
        let cpu = Cpu::new(session.isa, &threads);
        let device = storage.device(cpu);
        let constants = OptimizerConfig { clip: hyperparameters.clip, ..OPTIMIZER_CONFIG };
        let discriminator_state = if hyperparameters.weights.adversarial > 0.0 {
            let channels = train.disc_channels.into();
            let config = DiscriminatorConfig::for_side(channels, config.side());
            Some(DiscriminatorState::<S>::new(&device, config, constants, hyperparameters.seed)?)
        } else {
            None
        };
        let mut trainer = VqvaeTrainer::<S>::new(
            &device,
            config,
            hyperparameters,
            perceptual,
            discriminator_state,
        )?;
        options.check_memory(&trainer, &device, ranks.size())?;
        if let Some(path) = &options.init.init_from {
            init::begin_with::<S>(path, options, &device, &mut trainer)?;
        }
        if ranks.rank() == 0 {
            tell(&config, &training, validation.as_ref(), session)?;
        }
        let (run, order) = (options.run(), train.order());
        let mut task =
            VqvaeTask::new(&mut trainer, storage, cpu, training, validation, workers, order);
        training::run(&run, &mut task, ranks, train.is_of_any_length(), session)
    }
}

impl Options {
    /// The sizes of the VQVAE.
    fn size(&self) -> Result<VqvaeConfig> {
        let model = &self.size;
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

    /// The images to learn from and those to judge by.
    fn sets(&self, config: &VqvaeConfig) -> Result<(CroppedFolder, Option<CroppedFolder>)> {
        let data = &self.data;
        let crop_spec =
            |crops, flip| CropSpec { side: config.side(), resize: data.mid_reso, crops, flip };
        let folder = Folder::open(&self.files.data.join("train"))?;
        let names = folder.classes().to_vec();
        let crops = match data.aug {
            VqvaeAugmentation::Crop => CropPositions::Random(1),
            VqvaeAugmentation::Center => CropPositions::Center,
        };
        let flip = if data.hflip { Flip::Random } else { Flip::Never };
        let training =
            CroppedFolder { folder: Arc::new(folder), crop_spec: crop_spec(crops, flip) };
        let val = self.files.data.join("val");
        let validation = match val.is_dir() {
            true => {
                let folder = Folder::open_with_classes(&val, &names)?;
                Some(CroppedFolder {
                    folder: Arc::new(folder),
                    crop_spec: crop_spec(CropPositions::Center, Flip::Never),
                })
            }
            false => None,
        };
        Ok((training, validation))
    }

    /// Properties of the files that affect training.
    fn found(
        &self,
        training: &CroppedFolder,
        validation: Option<&CroppedFolder>,
    ) -> Result<Map<String, Value>> {
        let items = |set: &CroppedFolder| Value::from(set.folder.pictures());
        let mut found = Map::from_iter([
            ("training-items".to_owned(), items(training)),
            ("validation-items".to_owned(), validation.map_or(0.into(), items)),
        ]);
        let sets = || iter::once(training).chain(validation);
        let listings = sets().map(|set| set.folder.listing_digest());
        let contents = sets().map(|set| set.folder.contents_digest());
        for (suffix, digests) in
            [(DIGEST, listings.collect::<Vec<_>>()), (CONTENTS_DIGEST, contents.collect())]
        {
            let lines: Vec<String> = digests.iter().map(Digest::to_string).collect();
            let data = Digest::of_bytes(lines.join("\n").as_bytes());
            found.insert(format!("data{suffix}"), data.to_string().into());
        }
        if let Some(path) = &self.lpips.lpips {
            let lpips = Checkpoint::open(path)?.digest();
            found.insert(format!("lpips{DIGEST}"), lpips.to_string().into());
        }
        Ok(found)
    }

    /// LPIPS, if its weights are given and the images are large enough.
    fn perceptual(&self, config: &VqvaeConfig) -> Result<Option<Perceptual>> {
        let Some(path) = &self.lpips.lpips else { return Ok(None) };
        let (side, least) = (config.side(), usize::from(self.lpips_side.lpips_min_side));
        if side < SHORTEST_SIDE {
            bail!("--lpips: the model's images have sides of {side}, LPIPS wants {SHORTEST_SIDE}");
        }
        if side < least {
            let text = format!(
                "--lpips: would be no part of the loss: the model's images have sides of {side}, \
                 --lpips-min-side is {least}"
            );
            return Err(Usage(text).into());
        }
        Ok(Some(Perceptual::new(&Lpips::open(path)?)))
    }

    /// Refuses a batch for which the device has not the memory.
    fn check_memory<S: Storage>(
        &self,
        trainer: &VqvaeTrainer<S>,
        device: &S::Device<'_>,
        ranks: usize,
    ) -> Result<()> {
        let images = self.learning.bs as usize / (ranks * self.learning.ac as usize);
        memory::check_training(
            self.learning.bs,
            self.learning.ac,
            S::free(device),
            trainer.working_memory(device, images),
            trainer.memory(device, images),
            "",
        )
    }
}
