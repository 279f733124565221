//! Training from a program: a transformer on the tokens of a model's VQVAE.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use var_kernel::model::VarConfig;

use super::dataset::DataSet;
use super::fit::{RunOptions, RunOutcome, TrainObserver, fit, iterations_of_epoch};
use super::task::{VarReport, VarTask};
use super::teacher::FrozenQuantizer;
use super::trainer::{self, VarTrainer};
use super::{
    Host, Initialization, Storage, TrainConfig, TrainError, VarHyperparameters, VarSize,
    input_digests,
};
use crate::data::{CropPositions, CropSpec, Flip, Folder};
use crate::engine::{Engine, EngineError};
use crate::images::CropSettings;
use crate::model::Weights;
use crate::parallel::SingleProcess;
use crate::pipeline::{Device, Model};
use crate::run::{self, RunConfig, by_name};

/// Side to which an image's shorter side is resized before the crop, as a multiple of the model's.
const RESIZE: f64 = 1.125;

/// A training run of a transformer, as `var train` makes it.
///
/// Run again with the same folder, it goes on where it stood, to the same bytes as if it had never
/// stopped; with another configuration it is refused.
///
/// ```
/// # use var_host::{RgbImage, images::write_png};
/// # let place = std::env::temp_dir().join(format!("var-doctest-{}", std::process::id()));
/// # for (number, class) in ["dark", "light"].into_iter().cycle().take(4).enumerate() {
/// #     let folder = place.join("data/train").join(class);
/// #     std::fs::create_dir_all(&folder)?;
/// #     let image = RgbImage::filled(32, 32, [60 * number as u8; 3]);
/// #     write_png(&folder.join(format!("{number}.png")), &image, &Default::default(), true)?;
/// # }
/// # let (data, folder) = (place.join("data"), place.join("run"));
/// use var_host::{Model, SampleOptions, TrainConfig, TrainRun, VarSize};
///
/// let mut run = TrainRun::new(Model::built_in()?, data, folder)?;
/// run.size = VarSize { depth: 1, ..Default::default() };
/// run.config = TrainConfig { batch: 4, epochs: 2, seed: 1, ..Default::default() };
/// let ended = run.train()?;
/// let mut model = Model::open(ended.checkpoint)?;
/// let image = model.sample(&[0], &SampleOptions::default())?.remove(0);
/// assert_eq!((ended.progress.iterations, image.picture.width()), (2, 64));
/// # std::fs::remove_dir_all(place)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrainRun {
    /// Sizes of the transformer.
    pub size: VarSize,
    /// How it is trained.
    pub config: TrainConfig,
    /// Its initial weights.
    pub initialization: Initialization,
    /// Folder and intervals.
    pub options: RunOptions,
    /// Where it is trained.
    pub device: Device,
    /// The VQVAE, and the names of the classes.
    given: Weights,
    training: DataSet,
    validation: Option<DataSet>,
}

/// Tells nobody.
struct NoObserver;

impl TrainObserver for NoObserver {
    fn warn(&mut self, _: &str) {}
}

impl TrainRun {
    /// A run in `folder` on the images of `data/train/CLASS/*`, validated on those of
    /// `data/val/CLASS/*` if they are there; tokens are made by the VQVAE of `model`.
    ///
    /// # Errors
    /// If the model has no VQVAE, or a folder has no images or cannot be read.
    pub fn new(
        model: Model,
        data: impl AsRef<Path>,
        folder: impl Into<PathBuf>,
    ) -> Result<Self, TrainError> {
        let mut given = Weights { transformer: None, ..model.into_weights() };
        let side = given.vqvae.as_ref().ok_or(EngineError::NoVqvae)?.1.side();
        let crop_spec = |crops| CropSpec { side, resize: RESIZE, crops, flip: Flip::Never };
        let pictures = |folder, crops| DataSet::Images {
            folder: Arc::new(folder),
            crop_spec: crop_spec(crops),
            workers: 1,
        };
        let training = Folder::open(&data.as_ref().join("train"))?;
        given.class_names = training.classes().to_vec();
        given.cut = Some(CropSettings::from(&crop_spec(CropPositions::Random(1))));
        let val = data.as_ref().join("val");
        let validation = match val.is_dir() {
            true => Some(Folder::open_with_classes(&val, &given.class_names)?),
            false => None,
        };
        Ok(Self {
            size: VarSize::default(),
            config: TrainConfig::default(),
            initialization: Initialization::default(),
            options: RunOptions::new(folder),
            device: Device::default(),
            given,
            training: pictures(training, CropPositions::Random(1)),
            validation: validation.map(|folder| pictures(folder, CropPositions::Center)),
        })
    }

    /// Trains until the run is done, from its newest checkpoint if it has one.
    ///
    /// # Errors
    /// If fields do not go together or differ from those the run was begun with; if data, folder or
    /// device fail; if gradients stay not finite.
    pub fn train(&self) -> Result<RunOutcome<VarReport>, TrainError> {
        self.train_with(&mut NoObserver)
    }

    /// The same; `observer` receives the run's events and may end it.
    ///
    /// # Errors
    /// As [`TrainRun::train`].
    pub fn train_with(
        &self,
        observer: &mut dyn TrainObserver,
    ) -> Result<RunOutcome<VarReport>, TrainError> {
        // Before anything is written: a run that is refused leaves no options behind.
        let known = self.hyperparameters()?;
        let begun = run::begin(&self.options.folder, &self.recorded())?;
        begun.hold(|| self.train_in_folder(known, observer))
    }

    fn train_in_folder(
        &self,
        (model, hyperparameters): (VarConfig, VarHyperparameters),
        observer: &mut dyn TrainObserver,
    ) -> Result<RunOutcome<VarReport>, TrainError> {
        let mut engine = self.device.engine(&self.given)?;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = self.device.gpu(self.config.precision.on_gpu())? {
            let memory = super::DeviceMemory::new(gpu);
            return self.train_on(&memory, &mut engine, model, hyperparameters, observer);
        }
        self.train_on(&Host, &mut engine, model, hyperparameters, observer)
    }

    /// The transformer, and the values of every iteration.
    fn hyperparameters(&self) -> Result<(VarConfig, VarHyperparameters), TrainError> {
        let (_, vqvae) = self.given.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
        let model = self.size.config(vqvae, self.given.class_names.len())?;
        let epoch = iterations_of_epoch(self.training.items(), self.config.batch, &SingleProcess)?;
        let hyperparameters = self.config.hyperparameters(epoch, &model, 1)?;
        Ok((model, hyperparameters))
    }

    fn train_on<S: Storage>(
        &self,
        storage: &S,
        engine: &mut Engine<'_>,
        model: VarConfig,
        hyperparameters: VarHyperparameters,
        observer: &mut dyn TrainObserver,
    ) -> Result<RunOutcome<VarReport>, TrainError> {
        let Self { config, given, training, validation, .. } = self;
        let (layout, weights) = trainer::initial(&model, config.seed, self.initialization);
        let device = storage.device(engine.cpu());
        let mut trainer = VarTrainer::<S>::new(&device, model, hyperparameters, layout, weights)?;
        let vqvae = given.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
        let quantizer = FrozenQuantizer::<S>::new(&device, &vqvae.0, vqvae.1)?;
        drop(device);
        let (validation, order) = (validation.as_ref(), config.order());
        let mut task = VarTask::new(
            (&mut trainer, quantizer),
            storage,
            engine,
            given,
            training,
            validation,
            order,
        );
        fit(&self.options, &mut task, &SingleProcess, observer)
    }

    /// The configuration by the options' names, and the digests of the inputs.
    fn recorded(&self) -> RunConfig {
        let mut learned = by_name(&self.config);
        learned.extend(by_name(&self.size));
        learned.extend(input_digests(&self.given, &self.training, self.validation.as_ref()));
        learned.extend(by_name(&self.initialization));
        let items = self.training.items();
        learned.insert("training-items".to_owned(), items.into());
        RunConfig { learned, session: by_name(&self.options.every), ..RunConfig::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{RgbImage, write_png};

    #[test]
    fn train_run_goes_on_with_the_same_inputs_only() {
        let place = tempfile::tempdir().unwrap();
        let (data, folder) = (place.path().join("data"), place.path().join("run"));
        let draw = |name: &str, shade: u8| {
            let path = data.join("train/all").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let picture = RgbImage::filled(32, 32, [shade; 3]);
            write_png(&path, &picture, &Default::default(), true).unwrap();
        };
        draw("a.png", 10);
        draw("b.png", 200);
        let run = || {
            let model = Model::open("../fixtures/fashion_reference.safetensors").unwrap();
            let mut run = TrainRun::new(model, &data, &folder).unwrap();
            run.size = VarSize { depth: 1, ..Default::default() };
            run.config = TrainConfig { batch: 2, epochs: 1, ..Default::default() };
            run
        };
        let mut uneven = run();
        uneven.config.microbatches = 3;
        uneven.train().unwrap_err();
        assert_eq!(run().train().unwrap().progress.iterations, 1);
        assert_eq!(run().train().unwrap().progress.iterations, 1);
        let refused = |run: TrainRun, named: &str| {
            let error = run.train().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        };
        let mut other = run();
        other.initialization.gates = 0.5;
        refused(other, "--alng: the run was started with");
        let mut other = run();
        other.config.seed = 7;
        refused(other, "--seed: the run was started with");
        draw("b.png", 201);
        refused(run(), "--data: the run was started with files of digest");
        draw("b.png", 200);
        draw("c.png", 3);
        refused(run(), "--training-items: the run was started with 2, now 3");
    }
}
