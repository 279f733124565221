//! `var validate`: how well a model predicts the tokens of images.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use var_host::data::{
    self, BatchSampler, CropPositions, CropSpec, Flip, Folder, SamplerConfig, SamplerMode, TokenSet,
};
use var_host::engine::Engine;
use var_host::model::classes::imagenet;
use var_host::model::weights::transformer_tensors;
use var_host::plural::count;
#[cfg(feature = "cuda")]
use var_host::train::DeviceMemory;
use var_host::train::dataset::{DataSet, microbatches};
use var_host::train::metrics::{MetricAccumulator, ScaleMetrics, TokenMetrics};
use var_host::train::teacher::{FrozenQuantizer, TeacherInputs};
use var_host::train::trainer::evaluate_microbatch;
use var_host::train::workspace::ValueMemory;
use var_host::train::{Host, ParameterLayout, Storage};

use var_kernel::model::VarConfig;

use crate::args::values::{self, LARGEST_BATCH};
use crate::args::{Model, ModelOptions, Session, result};
use crate::{data_set, identity};

/// How well a model predicts the tokens of images: loss and accuracy
///
/// Images are cut in the middle; each position is predicted from the scales before it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder that holds a folder of images for each class, called as the model's classes are, or
    /// val/ of that kind; EXIF's orientation is not applied
    #[arg(long, value_name = "DIR", required_unless_present = "tokens", conflicts_with = "tokens")]
    data: Option<PathBuf>,
    /// Their tokens, made by `var tokenize` with the model's VQVAE
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Before the cut, the shorter side is resized to so many times the model's [default: as the
    /// model's file says that its images were, else 1.125]
    #[arg(long, value_name = "RATIO", value_parser = values::resize)]
    mid_reso: Option<f64>,
    /// Images that go through the model together; the numbers do not depend on it
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = values::whole(1_u16..=LARGEST_BATCH))]
    batch: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

/// The names that the classes of data at `path`, which are called `found` there, go by; none if they
/// can only go by their numbers, of which the user is warned.
fn names<'m>(
    model: &'m Model,
    path: &Path,
    found: Option<&[String]>,
    session: &Session,
) -> Option<Cow<'m, [String]>> {
    let own = &model.weights.class_names;
    let Some(found) = found else {
        session.warn(&format!(
            "{}: does not name its classes: its labels are taken as the model's numbers",
            path.display()
        ));
        return None;
    };
    if !own.is_empty() {
        return Some(own.into());
    }
    let classes = model.weights.transformer.as_ref().map_or(0, |(_, config)| config.classes);
    if classes == imagenet::CLASSES && imagenet::are_ids(found) {
        let line = "the model does not name its classes: they go by ImageNet's ids";
        session.note(&[line.to_owned()]);
        return Some(Cow::Borrowed(imagenet::ids()));
    }
    if let Some(numbered) = data_set::numbered(found, classes) {
        let path = path.display();
        session.note(&[format!(
            "the model does not name its classes: those of {path} are called by numbers, which are \
             taken as the model's"
        )]);
        return Some(Cow::Owned(numbered));
    }
    session.warn(&format!(
        "the model does not name its classes: those of {} are numbered in the order of their names",
        path.display()
    ));
    None
}

/// Output of `--json`.
#[derive(Serialize)]
struct Printed {
    images: u64,
    #[serde(flatten)]
    report: TokenMetrics,
    #[serde(flatten)]
    details: ScaleMetrics,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let cut = "goes with --data: the images of --tokens are cut already";
    session.given.refuse(&["mid_reso"], options.tokens.is_some(), cut)?;
    let model = options.model.open_whole(session)?;
    let mut engine = session.tokenizer(&model.weights)?;
    #[cfg(feature = "cuda")]
    if engine.gpu().is_some() {
        let storage = DeviceMemory::new(session.device.gpu(session.device.exact().precision())?);
        return options.validate(&storage, &model, &mut engine, session);
    }
    options.validate(&Host, &model, &mut engine, session)
}

impl Options {
    /// Predicts where `storage` says, and prints how well.
    fn validate<S: Storage>(
        &self,
        storage: &S,
        model: &Model,
        engine: &mut Engine<'_>,
        session: &Session,
    ) -> Result<()> {
        let config = *engine.transformer()?;
        let workers = session.workers(None, engine.is_on_gpu());
        let set = self.open(model, engine, session, workers)?;
        let layout = ParameterLayout::new(transformer_tensors(config));
        let (part, _) = model.weights.transformer.as_ref().context("a model with both halves")?;
        let weights = S::from_host(&storage.device(engine.cpu()), &layout, layout.flatten(part))?;
        let batching = SamplerConfig {
            pass: SamplerMode::Validation,
            batch: self.batch.into(),
            rank: 0,
            ranks: 1,
            seed: 0,
            shuffle: false,
        };
        let plan = BatchSampler::new(set.items(), batching)?;
        let start = var_host::data::BatchCursor { epoch: 0, batch: 0 };
        let mut batches = set.batches(&plan, start, 1)?;
        let mut accumulator = MetricAccumulator::new(config.ladder, config.codes);
        let mut memory = ValueMemory::<S>::default();
        let (part, vqvae) = model.weights.vqvae.as_ref().context("a model with both halves")?;
        let mut quantizer = FrozenQuantizer::<S>::new(&storage.device(engine.cpu()), part, *vqvae)?;
        let mut progress = session.progress(set.items(), "image");
        while let Some(batch) = batches.next(engine)? {
            for broken in &batch.broken {
                let path = broken.path.display();
                progress.warn(&format!("{path}: {}: left out", broken.reason));
            }
            let device = storage.device(engine.cpu());
            for microbatch in microbatches(&batch, self.batch.into()) {
                let input = quantizer.of(&device, 0, microbatch.tokens)?;
                evaluate_microbatch::<S>(
                    &device,
                    config,
                    (&layout, &weights),
                    &mut memory,
                    microbatch,
                    input,
                    &mut accumulator,
                )?;
            }
            drop(device);
            progress.advance((batch.labels.len() + batch.broken.len()) as u64);
        }
        drop(progress);
        if accumulator.images() == 0 {
            bail!("not one image can be read");
        }
        let printed = Printed {
            images: accumulator.images(),
            report: accumulator.report(),
            details: accumulator.details(),
        };
        let losses = [Some(printed.report.L_mean), printed.report.L_tail];
        if losses.into_iter().flatten().any(|loss| !loss.is_finite()) {
            return Err(engine.not_finite("the loss").into());
        }
        self.print(printed, &config)
    }

    fn print(&self, printed: Printed, config: &VarConfig) -> Result<()> {
        if self.json {
            return result(&serde_json::to_string(&printed)?);
        }
        let Printed { images, report, details } = printed;
        result(&count(images, "image"))?;
        let tail = |value: Option<f64>| value.context("a validation is over all scales");
        result(&format!(
            "loss      mean {:.4}  tail {:.4} nats",
            report.L_mean,
            tail(report.L_tail)?
        ))?;
        let hits = tail(report.acc_tail)?;
        result(&format!("accuracy  mean {:.2}  tail {hits:.2} %", report.acc_mean))?;
        for (scale, (loss, hits)) in details.L_scale.iter().zip(&details.acc_scale).enumerate() {
            let side = config.ladder.sides()[scale];
            result(&format!("  {side} × {side}: loss {loss:.4}, accuracy {hits:.2} %"))?;
        }
        result(&format!("{:.1} % of the codes are predicted", details.codes_predicted))
    }

    fn open(
        &self,
        model: &Model,
        engine: &Engine<'_>,
        session: &Session,
        workers: usize,
    ) -> Result<DataSet> {
        let vqvae = engine.vqvae()?;
        let classes = engine.transformer()?.classes;
        let check = |has: usize, what: &PathBuf| {
            if has > classes {
                bail!("{}: has {}, the model {classes}", what.display(), count(has, "class"));
            }
            Ok(())
        };
        if let Some(path) = &self.tokens {
            let set = TokenSet::open(path, vqvae.codes)?;
            let sides: Vec<usize> = set.ladder().iter().map(|side| *side as usize).collect();
            if sides != vqvae.ladder.sides() {
                let has: Vec<String> = sides.iter().map(usize::to_string).collect();
                let (path, has) = (path.display(), has.join("_"));
                bail!("{path}: made on ladder {has}, the model has {}", vqvae.ladder);
            }
            let own = identity::of_vqvae(&model.weights);
            let line = identity::check_tokens(path, set.vqvae(), own)?;
            line.iter().for_each(|line| session.warn(line));
            let found = set.class_names().map(<[String]>::to_vec);
            let set = match names(model, path, found.as_deref(), session) {
                Some(names) => set.with_classes(&names)?,
                None => set,
            };
            check(set.classes(), path)?;
            return Ok(DataSet::Tokens(Arc::new(set)));
        }
        let data = self.data.as_ref().context("--data or --tokens")?;
        let val = data.join("val");
        let path = if val.is_dir() { val } else { data.clone() };
        let found = data::class_names(&path)?;
        let folder = match names(model, &path, Some(&found), session) {
            Some(names) => Folder::open_with_classes(&path, &names)?,
            None => Folder::open(&path)?,
        };
        data_set::tell_left_out(&folder, session);
        check(folder.classes().len(), &path)?;
        let crop_spec = CropSpec {
            side: vqvae.side(),
            resize: data_set::mid_reso(self.mid_reso, model.weights.cut),
            crops: CropPositions::Center,
            flip: Flip::Never,
        };
        Ok(DataSet::Images { folder: Arc::new(folder), crop_spec, workers })
    }
}
