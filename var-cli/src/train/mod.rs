//! `var train`: a transformer on a VQVAE's tokens.

mod config;
mod init;
mod opened;
mod options;
pub(crate) mod published;

use core::iter;

use anyhow::{Context, Result};
use var_host::engine::Engine;
use var_host::parallel::ProcessGroup;
use var_host::run;
#[cfg(feature = "cuda")]
use var_host::train::DeviceMemory;
use var_host::train::fit::iterations_of_epoch;
use var_host::train::teacher::FrozenQuantizer;
use var_host::train::trainer;
use var_host::train::{
    Host, Initialization, ParameterLayout, Storage, TrainConfig, TrainConfigError,
    VarHyperparameters, VarSize, VarTask, VarTrainer,
};
use var_kernel::model::VarConfig;

use crate::args::every::Every;
use crate::args::{Session, Usage};
use crate::{memory, training};
use opened::Opened;

pub(crate) use options::Options;

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    options.check(&session.given)?;
    let ranks = session.meet()?;
    if ranks.rank() == 0 && !session.given.passed_over.is_empty() {
        let passed_over = session.given.passed_over.join(", ");
        session.warn(&format!("options of train.py that decide nothing here: {passed_over}"));
    }
    let mut opened = Opened::open(options, session)?;
    let unjudged = opened.validation.is_none() && options.every.val_every != Every::Count(0);
    session.given.refuse(&["val_every"], unjudged, "there is nothing to validate on")?;
    let train = options.config();
    let config = options.size(&opened)?;
    let recorded = options.recorded(&train, opened.learned(&config), opened.session());
    run::check_ranks_agree(&*ranks, &recorded)?;
    let epoch = iterations_of_epoch(opened.training.items(), train.batch, &*ranks)?;
    let hyperparameters = train.hyperparameters(epoch, &config, ranks.size()).map_err(usage)?;
    let idle = hyperparameters.schedule.warmup == 0;
    session.given.refuse(&["wp0"], idle, "the warm-up has no iteration: give --wp")?;
    if ranks.rank() == 0 {
        opened.check_class_names(&options.out)?;
    }
    let folder = (&*ranks, session);
    training::in_folder(&options.out, recorded, train.is_of_any_length(), folder, || {
        let mut engine = session.tokenizer(&opened.given)?;
        let workers = session.workers(options.files.workers, engine.is_on_gpu());
        for set in iter::once(&mut opened.training).chain(&mut opened.validation) {
            set.read_by(workers);
        }
        let (layout, mut weights) =
            trainer::initial(&config, hyperparameters.seed, options.initial.initialization());
        if let Some(path) = &options.init.init_from {
            let initial = (&mut weights[..], &layout);
            let first = ranks.rank() == 0;
            init::begin_with(path, options, &opened, &config, initial, session, first)?;
        }
        let begun =
            VarStart { options, opened: &opened, config, train, hyperparameters, layout, weights };
        #[cfg(feature = "cuda")]
        if engine.gpu().is_some() {
            let gpu = session.device.gpu(hyperparameters.precision.on_gpu())?;
            return begun.learn(&DeviceMemory::new(gpu), &mut engine, &*ranks, session);
        }
        begun.learn(&Host, &mut engine, &*ranks, session)
    })
}

/// A run before its first iteration.
struct VarStart<'a> {
    options: &'a Options,
    opened: &'a Opened,
    config: VarConfig,
    train: TrainConfig,
    hyperparameters: VarHyperparameters,
    layout: ParameterLayout,
    weights: Vec<f32>,
}

impl VarStart<'_> {
    /// Trains where `storage` says.
    fn learn<S: Storage>(
        self,
        storage: &S,
        engine: &mut Engine<'_>,
        ranks: &dyn ProcessGroup,
        session: &Session,
    ) -> Result<()> {
        let Self { options, opened, config, train, hyperparameters, layout, weights } = self;
        let (mut trainer, quantizer) = {
            let device = storage.device(engine.cpu());
            let mut trainer =
                VarTrainer::<S>::new(&device, config, hyperparameters, layout, weights)?;
            trainer.recomputes = options.learning.recompute;
            let (part, config) = opened.given.vqvae.as_ref().context("a model with a VQVAE")?;
            let quantizer = FrozenQuantizer::<S>::new(&device, part, *config)?;
            options.check_memory((&trainer, &quantizer), &device, ranks.size())?;
            (trainer, quantizer)
        };
        let run = options.run();
        if ranks.rank() == 0 {
            opened.tell(&config, session)?;
        }
        let Opened { given, training, validation, .. } = opened;
        let (validation, order) = (validation.as_ref(), train.order());
        let trainer = (&mut trainer, quantizer);
        let mut task = VarTask::new(trainer, storage, engine, given, training, validation, order);
        training::run(&run, &mut task, ranks, train.is_of_any_length(), session)
    }
}

/// An error of the options.
fn usage(error: TrainConfigError) -> Usage {
    Usage(error.to_string())
}

impl options::InitialWeights {
    fn initialization(&self) -> Initialization {
        Initialization {
            deviation: self.ini,
            head: if self.hd < 0.0 { 1.0 } else { self.hd },
            modulation: self.aln,
            gates: self.alng,
        }
    }
}

impl Options {
    /// The sizes of the transformer.
    fn size(&self, opened: &Opened) -> Result<VarConfig> {
        let sizes = &self.size;
        let size = VarSize {
            depth: sizes.depth.into(),
            width: sizes.width.map(|width| width as usize),
            heads: sizes.heads.map(|heads| heads as usize),
            classes: sizes.classes.map(|classes| classes as usize),
            unit_length: sizes.anorm == 1,
            shared_modulation: sizes.saln == 1,
        };
        Ok(size.config(&opened.vqvae, opened.classes).map_err(usage)?)
    }

    /// Refuses a batch for which the device has not the memory.
    fn check_memory<S: Storage>(
        &self,
        (trainer, quantizer): (&VarTrainer<S>, &FrozenQuantizer<S>),
        device: &S::Device<'_>,
        ranks: usize,
    ) -> Result<()> {
        let images = self.learning.bs as usize / (ranks * self.learning.ac as usize);
        let input = quantizer.bytes(device, images);
        memory::check_training(
            self.learning.bs,
            self.learning.ac,
            S::free(device),
            trainer.working_memory(device, images) + input,
            trainer.memory(device, images) + input,
            if self.learning.recompute { "" } else { " or with --recompute" },
        )
    }
}
