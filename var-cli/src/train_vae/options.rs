//! The options of `var train-vae`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use var_kernel::model::Ladder;

use crate::args::every::{Every, every};
use crate::args::{VerifyOptions, record, values};

/// Train a multi-scale VQVAE on images
///
/// Run again with the same --out, it goes on where it stood, to the same bytes as if it had never
/// stopped. Its checkpoints are model files: `var reconstruct --model DIR/ckpt-best.safetensors`,
/// `var train --vae DIR/ckpt-best.safetensors`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder of the run: log.jsonl, TensorBoard events, grids of reconstructions, checkpoints,
    /// config.json
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) files: VqvaeFiles,
    #[command(flatten)]
    pub(super) data: VqvaeAugmentations,
    #[command(flatten)]
    pub(super) init: VqvaeInitFrom,
    #[command(flatten)]
    pub(super) size: VqvaeModelSizes,
    #[command(flatten)]
    pub(super) differences: Differences,
    #[command(flatten)]
    pub(super) lpips: LpipsFile,
    #[command(flatten)]
    pub(super) lpips_side: LpipsSide,
    #[command(flatten)]
    pub(super) losses: Losses,
    #[command(flatten)]
    pub(super) learning: VqvaeLearning,
    #[command(flatten)]
    pub(super) every: VqvaeIntervalOptions,
    #[command(flatten)]
    pub(super) kept: VqvaeKeepOptions,
}

/// Places of files, compared by their contents, and threads: an affair of each process.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Data")]
pub(super) struct VqvaeFiles {
    /// A folder with train/CLASS/* and val/CLASS/* to validate on; a class's images may lie at any
    /// depth; EXIF's orientation is not applied. A run goes on only with the same names and sizes of
    /// files; of contents it compares the first 64 KiB of 1024 files
    #[arg(long, value_name = "DIR", visible_alias = "data-path")]
    #[serde(serialize_with = "record::path")]
    pub(super) data: PathBuf,
    /// Threads that read images ahead [default: one for four --threads, at least one; on a GPU as
    /// many as --threads]
    #[arg(long, value_name = "N", value_parser = values::workers)]
    pub(super) workers: Option<u16>,
}

/// Augmentation of the data: affects training.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Data")]
pub(super) struct VqvaeAugmentations {
    /// Mirror images left to right every other time
    #[arg(long)]
    pub(super) hflip: bool,
    /// Before the cut, the shorter side is resized to so many times the model's
    #[arg(long, value_name = "RATIO", default_value_t = 1.125, value_parser = values::resize)]
    pub(super) mid_reso: f64,
    /// Where images are cut: anywhere, or in the middle
    #[arg(long, value_enum, default_value_t = VqvaeAugmentation::Crop)]
    pub(super) aug: VqvaeAugmentation,
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
pub(super) enum VqvaeAugmentation {
    Crop,
    Center,
}

/// Update rule of the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CodebookName {
    /// The optimizer, by the quantizer's loss
    Gradient,
    /// They are averages of their features
    Ema,
}

/// A checkpoint or a model to begin with: an affair of the start.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Model")]
pub(super) struct VqvaeInitFrom {
    /// Begin with this VQVAE of the same sizes: of a run's checkpoint the whole state (weights,
    /// codebook, optimizer, discriminator), of any other model the weights
    #[arg(long, value_name = "MODEL")]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) init_from: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    pub(super) verify: VerifyOptions,
}

/// Sizes: they affect training.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Model")]
pub(super) struct VqvaeModelSizes {
    /// Channels at full resolution, a multiple of 32
    #[arg(long, value_name = "N", default_value_t = 160, value_parser = values::whole(32_u16..=4096))]
    pub(super) ch: u16,
    /// Channels at each resolution as multiples of --ch, finest first; each halves the side
    #[arg(long, value_name = "LIST", default_value = "1,1,2,2,4", value_delimiter = ',', value_parser = values::whole(0..=usize::MAX))]
    pub(super) ch_mult: Vec<usize>,
    /// Residual blocks at each resolution of the encoder; the decoder has one more
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = values::whole(1_u16..=32))]
    pub(super) blocks: u16,
    /// Width of a code
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = values::whole(1_u16..=4096))]
    pub(super) latent: u16,
    /// Codes
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = values::whole(1_u32..=1 << 20))]
    pub(super) codes: u32,
    /// Sides of the token maps: 256, 512, 1024 or 1_2_3_4; images have the last side times the
    /// downsampling of --ch-mult
    #[arg(long, value_name = "LADDER", default_value = "256", value_parser = values::ladder)]
    #[serde(serialize_with = "record::as_text")]
    pub(super) pn: Ladder,
    /// Refinement convolutions that the scales share; 1 = one for all, 0 = one each
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = values::whole(0_u16..=32))]
    pub(super) share_quant_resi: u16,
}

/// Terms of the loss in pixels, of [`VqvaeTrainConfig`](var_host::VqvaeTrainConfig).
#[derive(Debug, Args)]
#[command(next_help_heading = "Loss")]
pub(super) struct Differences {
    /// Weight of the mean absolute difference
    #[arg(long, value_name = "X", default_value_t = 0.2, value_parser = values::not_negative)]
    pub(super) l1: f64,
    /// Weight of the mean squared difference
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = values::not_negative)]
    pub(super) l2: f64,
}

/// A file, compared by its contents: an affair of each process.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Loss")]
pub(super) struct LpipsFile {
    /// Weights of LPIPS on VGG16: that distance is part of the loss
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) lpips: Option<PathBuf>,
}

/// Whether LPIPS is part of the loss: affects training.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Loss")]
pub(super) struct LpipsSide {
    /// With images of shorter sides --lpips is refused: its network was made for larger ones
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = values::whole(0..=u16::MAX))]
    pub(super) lpips_min_side: u16,
}

/// Other terms of the loss, of [`VqvaeTrainConfig`](var_host::VqvaeTrainConfig).
#[derive(Debug, Args)]
#[command(next_help_heading = "Loss")]
pub(super) struct Losses {
    /// Weight of LPIPS
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = values::not_negative)]
    pub(super) lpips_weight: f64,
    /// Weight of the quantizer's loss
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = values::not_negative)]
    pub(super) vq: f64,
    /// Weight of the even use of the codes at every scale
    #[arg(long, value_name = "X", default_value_t = 0.05, value_parser = values::not_negative)]
    pub(super) spread: f64,
    /// Weight of the discriminator's judgment; 0 = no discriminator
    #[arg(long, value_name = "X", default_value_t = 0.4, value_parser = values::not_negative)]
    pub(super) disc_weight: f64,
    /// Share of the run after which the discriminator learns and is heard
    #[arg(long, value_name = "P", default_value_t = 0.2, value_parser = values::share)]
    pub(super) disc_start: f64,
    /// Share of the run in which its weight then rises
    #[arg(long, value_name = "P", default_value_t = 0.02, value_parser = values::share)]
    pub(super) disc_warmup: f64,
    /// Channels of the discriminator's first layer, a multiple of 8
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = values::multiple_of_8)]
    pub(super) disc_channels: u16,
}

/// [`VqvaeTrainConfig`](var_host::VqvaeTrainConfig) as options.
#[derive(Debug, Args)]
#[command(next_help_heading = "Learning")]
pub(super) struct VqvaeLearning {
    /// Images of one update, of all ranks together
    #[arg(long, value_name = "N", default_value_t = 768, value_parser = values::whole(1_u32..=u32::MAX))]
    pub(super) bs: u32,
    /// Parts that a rank's share of them is learned in, one after the other: less memory
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::whole(1_u32..=u32::MAX))]
    pub(super) ac: u32,
    /// Epochs
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = values::whole(1_u32..=u32::MAX))]
    pub(super) ep: u32,
    /// So many iterations (updates) instead of whole epochs
    #[arg(long, value_name = "N", conflicts_with = "ep", value_parser = values::whole(1_u64..=u64::MAX))]
    pub(super) iterations: Option<u64>,
    /// Learning rate at its peak
    #[arg(long, value_name = "X", default_value_t = 3e-4, value_parser = values::not_negative)]
    pub(super) lr: f64,
    /// Weight decay; the discriminator's is a tenth of it
    #[arg(long, value_name = "X", default_value_t = 5e-3, value_parser = values::not_negative)]
    pub(super) wd: f64,
    /// The greatest norm of a gradient; 0 = any
    #[arg(long, value_name = "X", default_value_t = 10.0, value_parser = values::clip)]
    pub(super) clip: f64,
    /// Share of the run in which the learning rate rises
    #[arg(long, value_name = "P", default_value_t = 0.01, value_parser = values::share)]
    pub(super) wp: f64,
    /// Learning rate at the start, as a share of the peak
    #[arg(long, value_name = "X", default_value_t = 0.005, value_parser = values::not_negative)]
    pub(super) wp0: f64,
    /// Learning rate at the end, as a share of the peak; half a cosine leads there
    #[arg(long, value_name = "X", default_value_t = 0.3, value_parser = values::not_negative)]
    pub(super) wpe: f64,
    /// Decay of an average of the weights, which then is validated and saved: at update n at most
    /// (1 + n) / (10 + n), so that the first, random weights are soon forgotten; 0 = no average
    #[arg(long, value_name = "X", default_value_t = 0.9999, value_parser = values::below_1)]
    pub(super) ema: f32,
    /// Update rule of the codes
    #[arg(long, value_enum, default_value_t = CodebookName::Ema)]
    pub(super) codebook: CodebookName,
    /// Decay of the averages that move the codes
    #[arg(long, value_name = "X", default_value_t = 0.99, value_parser = values::below_1)]
    pub(super) codebook_decay: f32,
    /// A code that is hit so much less often than an even one begins anew; 0 = never
    #[arg(long, value_name = "X", default_value_t = 0.03, value_parser = values::probability)]
    pub(super) revive: f32,
    /// Factor of the convolutions' initial weights
    #[arg(long, value_name = "X", default_value_t = 0.5, value_parser = values::not_negative)]
    pub(super) gain: f64,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = values::whole(0..=u64::MAX))]
    pub(super) seed: u64,
}

/// Intervals: the same on all ranks.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Writing")]
pub(super) struct VqvaeIntervalOptions {
    /// Iterations between two checkpoints, or `epoch`; 0 = never before the run ends
    #[arg(long, value_name = "N", default_value_t = Every::Epoch, value_parser = every(Every::Epoch))]
    pub(super) save_every: Every,
    /// Epochs between two validations, the last at the end, or `end` for that one alone; 0 = never
    #[arg(long, value_name = "N", default_value_t = Every::Count(1), value_parser = every(Every::End))]
    pub(super) val_every: Every,
    /// Epochs between two grids of reconstructions, the last at the end, or `end` for that one alone;
    /// 0 = never
    #[arg(long, value_name = "N", default_value_t = Every::Count(1), value_parser = every(Every::End))]
    pub(super) sample_every: Every,
    /// Iterations between two lines of the log, the last of the run among them; 0 = never
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = values::whole(0..=u64::MAX))]
    pub(super) log_every: u64,
}

/// Checkpoints that stay: an affair of the first rank.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Writing")]
pub(super) struct VqvaeKeepOptions {
    /// How many checkpoints stay, the newest included
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = values::whole(1_u16..=1000))]
    pub(super) keep: u16,
}
