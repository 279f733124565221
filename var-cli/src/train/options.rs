//! The options of `var train`, named as in the published trainer where it has them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use var_host::optim::schedule::Decay;
use var_kernel::model::Ladder;

use crate::args::every::{Every, every};
use crate::args::{VerifyOptions, record, values};

/// Train a transformer on images or on the tokens of `var tokenize`
///
/// Run again with the same --out, it goes on where it stood, to the same bytes as if it had never
/// stopped. Command lines of the published `train.py` work as they stand; options of it that decide
/// nothing here are passed over with a line that says so.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder of the run: log.jsonl, TensorBoard events, samples, checkpoints, config.json
    #[arg(long, value_name = "DIR", alias = "local-out-dir-path", default_value = "local_output")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    pub(super) data: Augmentations,
    #[command(flatten)]
    pub(super) size: ModelSizes,
    #[command(flatten)]
    pub(super) init: InitFrom,
    #[command(flatten)]
    pub(super) initial: InitialWeights,
    #[command(flatten)]
    pub(super) learning: Learning,
    #[command(flatten)]
    pub(super) every: IntervalOptions,
    #[command(flatten)]
    pub(super) kept: KeepOptions,
}

/// Places of files, compared by their contents, and threads: an affair of each process.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Data")]
pub(super) struct Files {
    /// A folder with train/CLASS/* and val/CLASS/* to validate on; a class's images may lie at any
    /// depth; EXIF's orientation is not applied. A run goes on only with the same names and sizes of
    /// files; of contents it compares the first 64 KiB of 1024 files
    #[arg(
        long,
        value_name = "DIR",
        visible_alias = "data-path",
        required_unless_present = "tokens"
    )]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) data: Option<PathBuf>,
    /// Tokens to train on, made by `var tokenize` with the same VQVAE; --data then only validates
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) tokens: Option<PathBuf>,
    /// Tokens to validate on; their classes are those of the same names
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) val_tokens: Option<PathBuf>,
    /// The VQVAE: a published checkpoint, a model file, or `built-in`, that of the built-in model
    /// [default: vae_ch160v4096z32.pth, if it is in the folder that var is run in]
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) vae: Option<PathBuf>,
    /// The part of --vae's file that holds several VQVAEs, such as ema beside model
    #[arg(long, value_name = "NAME", requires = "vae")]
    #[serde(skip)]
    pub(super) part: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    pub(super) verify: VerifyOptions,
    /// Threads that read images ahead [default: one for four --threads, at least one; on a GPU as
    /// many as --threads]
    #[arg(long, value_name = "N", value_parser = values::workers)]
    pub(super) workers: Option<u16>,
}

/// Augmentation of the data: affects training.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Data")]
pub(super) struct Augmentations {
    /// Mirror images left to right every other time; not with --tokens, which hold mirrored variants
    #[arg(long, conflicts_with = "tokens")]
    pub(super) hflip: bool,
    /// Before the cut, the shorter side is resized to so many times the model's
    #[arg(long, value_name = "RATIO", default_value_t = 1.125, value_parser = values::resize)]
    pub(super) mid_reso: f64,
    /// Where images are cut: anywhere, or in the middle
    #[arg(long, value_enum, default_value_t = Augmentation::Crop, conflicts_with = "tokens")]
    pub(super) aug: Augmentation,
    /// Every epoch in the order of the files
    #[arg(long)]
    #[serde(skip)]
    pub(super) no_shuffle: bool,
    /// Draw images of rare classes more often: of a class with n images a share of n^(1 − P); 0: as they
    /// are, 1: all classes alike
    #[arg(long, value_name = "P", value_parser = values::share, conflicts_with = "no_shuffle")]
    #[serde(skip)]
    pub(super) balance: Option<f64>,
}

/// Where images are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Augmentation {
    Crop,
    Center,
}

/// Sizes: they affect training.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Model")]
pub(super) struct ModelSizes {
    /// Blocks
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = values::whole(1_u16..=4096))]
    pub(super) depth: u16,
    /// Width of a row [default: 64 × depth]
    #[arg(long, value_name = "N", value_parser = values::whole(1_u32..=1 << 20))]
    #[serde(skip)]
    pub(super) width: Option<u32>,
    /// Attention heads [default: width / 64]
    #[arg(long, value_name = "N", value_parser = values::whole(1_u32..=1 << 16))]
    #[serde(skip)]
    pub(super) heads: Option<u32>,
    /// One AdaLN projection for all blocks
    #[arg(long, value_name = "0|1", default_value_t = 0, value_parser = values::flag, num_args = 0..=1, default_missing_value = "1")]
    pub(super) saln: u8,
    /// Queries and keys of unit length
    #[arg(long, value_name = "0|1", default_value_t = 1, value_parser = values::flag, num_args = 0..=1, default_missing_value = "1")]
    pub(super) anorm: u8,
    /// Sides of the token maps: 256, 512, 1024 or 1_2_3_4 [default: the VQVAE file's, else 256]
    #[arg(long, value_name = "LADDER", value_parser = values::ladder)]
    #[serde(skip)]
    pub(super) pn: Option<Ladder>,
    /// Classes [default: as many as the data has]
    #[arg(long, value_name = "N", value_parser = values::whole(1_u32..=1 << 24))]
    #[serde(skip)]
    pub(super) classes: Option<u32>,
}

/// A model to begin with: an affair of the start.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Model")]
pub(super) struct InitFrom {
    /// Begin with the weights of this model, which may have other classes: those of the same names keep
    /// their rows of the class embedding; where the model or the data does not name them, and they are as
    /// many, rows go by position
    #[arg(long, value_name = "MODEL")]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) init_from: Option<PathBuf>,
    /// The part of its file that holds several transformers, such as ema beside model
    #[arg(long, value_name = "NAME", requires = "init_from")]
    #[serde(skip)]
    pub(super) init_part: Option<String>,
    /// Begin with it even if it was trained on the codes of another VQVAE
    #[arg(long, requires = "init_from")]
    #[serde(skip)]
    pub(super) any_vae: bool,
}

/// Initial weights: they affect training.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Model")]
pub(super) struct InitialWeights {
    /// Standard deviation of initial weights; below 0: √(1 / 3·width)
    #[arg(long, value_name = "X", default_value_t = -1.0, value_parser = values::finite)]
    pub(super) ini: f64,
    /// Factor of the head's initial weights; below 0: 1
    #[arg(long, value_name = "X", default_value_t = 0.02, value_parser = values::finite_f32)]
    pub(super) hd: f32,
    /// Factor of AdaLN's initial weights
    #[arg(long, value_name = "X", default_value_t = 0.5, value_parser = values::finite_f32)]
    pub(super) aln: f32,
    /// Factor of AdaLN's initial weights for the gates
    #[arg(long, value_name = "X", default_value_t = 1e-5, value_parser = values::finite_f32)]
    pub(super) alng: f32,
}

/// [`TrainConfig`](var_host::TrainConfig) as options.
#[derive(Debug, Args)]
#[command(next_help_heading = "Learning")]
pub(super) struct Learning {
    /// Images of one update, of all ranks together
    #[arg(long, value_name = "N", default_value_t = 768, value_parser = values::whole(1_u32..=u32::MAX))]
    pub(super) bs: u32,
    /// Parts that a rank's share of them is learned in, one after the other: less memory
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::whole(1_u32..=u32::MAX))]
    pub(super) ac: u32,
    /// Activation checkpointing: recompute activations of blocks in the backward pass: the same numbers, a
    /// fraction of the memory, about a quarter more work
    #[arg(long)]
    pub(super) recompute: bool,
    /// Epochs
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = values::whole(1_u32..=u32::MAX))]
    pub(super) ep: u32,
    /// So many iterations (updates) instead of whole epochs
    #[arg(long, value_name = "N", conflicts_with = "ep", value_parser = values::whole(1_u64..=u64::MAX))]
    pub(super) iterations: Option<u64>,
    /// Base learning rate: that of a batch of 256
    #[arg(long, value_name = "X", default_value_t = 1e-4, value_parser = values::not_negative)]
    pub(super) tblr: f64,
    /// Weight decay at the start
    #[arg(long, value_name = "X", default_value_t = 0.05, value_parser = values::not_negative)]
    pub(super) twd: f64,
    /// Weight decay at the end; 0 = as at the start
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = values::not_negative)]
    pub(super) twde: f64,
    /// The greatest norm of a gradient; 0 = any
    #[arg(long, value_name = "X", default_value_t = 2.0, value_parser = values::clip)]
    pub(super) tclip: f64,
    /// Label smoothing
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = values::below_1)]
    pub(super) ls: f32,
    /// Epochs of the warm-up; 0 = a fiftieth of all
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = values::not_negative)]
    pub(super) wp: f64,
    /// Learning rate at its start, as a share of the peak
    #[arg(long, value_name = "X", default_value_t = 0.005, value_parser = values::not_negative)]
    pub(super) wp0: f64,
    /// Learning rate at the end, as a share of the peak
    #[arg(long, value_name = "X", default_value_t = 0.01, value_parser = values::not_negative)]
    pub(super) wpe: f64,
    /// How the rate falls: lin0, lin, lin00, cos, exp, or lin0.8; with --pg below 1 it is lin and that
    #[arg(long, value_name = "NAME", default_value = "lin0")]
    pub(super) sche: Decay,
    /// 0 = f32, 1 = f16 with a loss scale, 2 = bf16; a GPU multiplies in these, the CPU rounds the
    /// blocks' weights to them and computes in f32
    #[arg(long, value_name = "0|1|2", default_value_t = 0, value_parser = values::whole(0_u8..=2))]
    pub(super) fp16: u8,
    /// Share of the iterations after which all scales are learned; 0 = from the start
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = values::share)]
    pub(super) pg: f64,
    /// The newest scale at the start, counted from 0
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = values::whole(0..=u8::MAX))]
    pub(super) pg0: u8,
    /// Epochs in which a new scale gains its weight; 0 = 1/300 of all
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = values::not_negative)]
    pub(super) pgwp: f64,
    /// Share of images that pass the last block by [default: 0.1 · depth / 24]
    #[arg(long, value_name = "P", value_parser = values::below_1)]
    pub(super) drop_path: Option<f32>,
    /// Share of images that are learned from without their class
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = values::probability)]
    pub(super) cond_drop: f32,
    /// Decay of an average of the weights, which then is validated, sampled and saved: at update n at
    /// most (1 + n) / (10 + n), so that the first, random weights are soon forgotten; 0 = no average
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = values::below_1)]
    pub(super) ema: f32,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = values::whole(0..=u64::MAX))]
    pub(super) seed: u64,
}

/// Intervals: the same on all ranks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Writing")]
pub(super) struct IntervalOptions {
    /// Iterations between two checkpoints, or `epoch`; 0 = never before the run ends
    #[arg(long, value_name = "N", default_value_t = Every::Epoch, value_parser = every(Every::Epoch))]
    pub(super) save_every: Every,
    /// Epochs between two validations, the last at the end, or `end` for that one alone; 0 = never
    #[arg(long, value_name = "N", default_value_t = Every::Count(10), value_parser = every(Every::End))]
    pub(super) val_every: Every,
    /// Epochs between two grids of samples, the last at the end, or `end` for that one alone; 0 = never
    #[arg(long, value_name = "N", default_value_t = Every::Count(10), value_parser = every(Every::End))]
    pub(super) sample_every: Every,
    /// Iterations between two lines of the log, the last of the run among them; 0 = never
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = values::whole(0..=u64::MAX))]
    pub(super) log_every: u64,
    /// Iterations between two lines with each scale by itself; 0 = never
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = values::whole(0..=u64::MAX))]
    pub(super) details_every: u64,
}

/// Checkpoints that stay: an affair of the first rank.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Writing")]
pub(super) struct KeepOptions {
    /// How many checkpoints stay, the newest included
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = values::whole(1_u16..=1000))]
    pub(super) keep: u16,
}

/// The names of the classes, in the configuration of a run: compared one by one when it goes on.
pub(super) const CLASS_NAMES: &str = "class-names";
