//! `var tokenize`: a data set → a cache of tokens to train on.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, ValueEnum};
use var_host::data::{
    self, BatchCursor, BatchSampler, CropPositions, CropSpec, Flip, Folder, Loader, SamplerConfig,
    SamplerMode,
};
use var_host::engine::Engine;
use var_host::images::CropSettings;
use var_host::plural::count;
use var_host::tokens::TokenWriter;

use crate::args::values::{self, LARGEST_BATCH};
use crate::args::{ModelOptions, Session};
use crate::{data_set, identity, memory, output};

/// The batch where none is asked for, if memory allows.
const DEFAULT_BATCH: usize = 8;

/// Turn a data set into tokens, to train on
///
/// Images that cannot be read are told of and left out. A GPU computes in TF32 unless --precision says
/// otherwise: where two codes are nearly as close it may choose the other one.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder that holds a folder of images (PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm), at any
    /// depth, for each class, or train/ and val/ of that kind; EXIF's orientation is not applied
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// The tokens file to write: as `var encode` does, with labels; of each image all variants,
    /// one after the other
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Which part of a folder with train/ and val/; the classes are numbered by train/
    /// [default: train]
    #[arg(long)]
    split: Option<Split>,
    /// How often each image is cut: 1 = in the middle, more = anywhere
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::whole(1_u32..=1000))]
    crops: u32,
    /// Also each crop mirrored left to right
    #[arg(long)]
    flip: bool,
    /// Before that, the shorter side is resized to so many times the model's [default: as the model's
    /// file says that its images were, else 1.125]
    #[arg(long, value_name = "RATIO", value_parser = values::resize)]
    mid_reso: Option<f64>,
    /// Seed of the crops, if they are more than one
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = values::whole(0..=u64::MAX))]
    seed: u64,
    /// Crops that go through the model together; the tokens do not depend on it
    /// [default: up to 8, as memory allows]
    #[arg(long, value_name = "N", value_parser = values::whole(1_u16..=LARGEST_BATCH))]
    batch: Option<u16>,
    /// Threads that read images ahead [default: one for four --threads, at least one; on a GPU as
    /// many as --threads]
    #[arg(long, value_name = "N", value_parser = values::whole(0_u16..=1024))]
    workers: Option<u16>,
    #[command(flatten)]
    model: ModelOptions,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Split {
    Train,
    Val,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let middle = "goes with --crops above 1: one crop is always in the middle";
    session.given.refuse(&["seed"], options.crops == 1, middle)?;
    output::check_file(&options.output, session)?;
    let model = options.model.open_named_vqvae(session)?;
    let folder = Arc::new(options.folder()?);
    data_set::tell_left_out(&folder, session);
    let mut engine = session.tokenizer(&model.weights)?;
    let config = engine.vqvae()?;
    let crop_spec = options.crop_spec(config.side(), model.weights.cut);
    let variants = crop_spec.per_image();
    let batch = options.batch_size(&engine, variants * folder.pictures())?;
    let workers = session.workers(options.workers, engine.is_on_gpu());
    let mut loader = options.loader(Arc::clone(&folder), crop_spec, batch, workers)?;
    let mut writer = TokenWriter::create(
        &options.output,
        session.force,
        config.ladder.sides().iter().map(|side| *side as u32).collect(),
        variants,
        folder.classes().to_vec(),
        folder.pictures(),
        Some(identity::of_vqvae(&model.weights)),
        Some(CropSettings::from(&crop_spec)),
    )?;

    let mut progress = session.progress(folder.pictures(), "image");
    for pictures in &mut loader {
        let pictures = pictures?;
        for broken in &pictures.broken {
            progress.warn(&format!("{}: {}: left out", broken.path.display(), broken.reason));
        }
        let mut tokens = Vec::with_capacity(pictures.crops.len());
        for crops in pictures.crops.chunks(batch) {
            tokens.extend(engine.encode_batch(crops)?);
        }
        for (label, variants) in pictures.labels.iter().zip(tokens.chunks_exact(variants)) {
            writer.push(*label, variants)?;
        }
        progress.advance((pictures.labels.len() + pictures.broken.len()) as u64);
    }
    drop(progress);
    let (pictures, broken) = (writer.pictures(), loader.broken());
    writer.finish()?;
    let left_out = match broken {
        0 => String::new(),
        broken => format!(", {broken} that cannot be read left out"),
    };
    session.say(&format!(
        "{}: {} of {}, {variants} × {} each{left_out}",
        options.output.display(),
        count(pictures, "image"),
        count(folder.classes().len(), "class"),
        count(config.ladder.length(), "token"),
    ))
}

impl Options {
    fn folder(&self) -> Result<Folder> {
        let [train, val] = ["train", "val"].map(|split| self.data.join(split));
        Ok(match self.split {
            Some(Split::Train) => Folder::open(&train)?,
            Some(Split::Val) => Folder::open_with_classes(&val, &data::class_names(&train)?)?,
            // A class may be called so too, but holds images, not folders.
            None if data::has_class_folders(&train) => Folder::open(&train)?,
            None => Folder::open(&self.data)?,
        })
    }

    fn crop_spec(&self, side: usize, cut: Option<CropSettings>) -> CropSpec {
        let crops =
            if self.crops == 1 { CropPositions::Center } else { CropPositions::Random(self.crops) };
        let flip = if self.flip { Flip::Both } else { Flip::Never };
        let resize = data_set::mid_reso(self.mid_reso, cut);
        CropSpec { side, resize, crops, flip }
    }

    /// Reads each image once, as many at a time as make up a batch of crop_spec.
    fn loader(
        &self,
        folder: Arc<Folder>,
        crop_spec: CropSpec,
        batch: usize,
        workers: usize,
    ) -> Result<Loader> {
        let pictures = (batch / crop_spec.per_image()).max(1);
        let batching = SamplerConfig {
            pass: SamplerMode::Validation,
            batch: u32::try_from(pictures)?,
            rank: 0,
            ranks: 1,
            seed: self.seed,
            shuffle: false,
        };
        let plan = BatchSampler::new(folder.pictures(), batching)?;
        let start = BatchCursor { epoch: 0, batch: 0 };
        Ok(Loader::start(folder, plan, crop_spec, workers, start, 1)?)
    }

    /// The batch asked for, if memory allows it; else one that takes at most half of the rest.
    fn batch_size(&self, engine: &Engine<'_>, most: usize) -> Result<usize> {
        let batch = match self.batch {
            Some(batch) => most.min(batch.into()),
            None => {
                let mut batch = most.min(memory::default_batch(engine, DEFAULT_BATCH));
                let has = memory::available_to(engine).unwrap_or(u64::MAX);
                while batch > 1 && memory::of_encoding(engine, batch)? > has / 2 {
                    batch /= 2;
                }
                batch
            }
        };
        memory::check(engine, batch, memory::of_encoding(engine, batch)?)?;
        Ok(batch)
    }
}
