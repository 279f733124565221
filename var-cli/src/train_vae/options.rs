//! The options of `var train-vae`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value};
use var_kernel::model::Ladder;

use crate::args::every::{Every, every};
use crate::args::{Given, VerifyOptions, record, values};

/// Train a multi-scale VQVAE on pictures
///
/// Run again with the same --out, it goes on where it stood, to the same bytes as if it had never
/// stopped. Its checkpoints are model files: `var reconstruct --model DIR/ckpt-best.safetensors`,
/// `var train --vae DIR/ckpt-best.safetensors`.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Options {
    /// The folder of the run: log.jsonl, TensorBoard events, grids of reconstructions, checkpoints,
    /// config.json
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub(super) out: PathBuf,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) data: DataOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) model: ModelSizes,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) losses: Losses,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) learning: Learning,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) writing: Writing,
}

#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Data")]
pub(super) struct DataOptions {
    /// A folder with train/CLASS/* and val/CLASS/* to validate on; a class's pictures may lie at any
    /// depth; EXIF's orientation is not applied. A run goes on only with the same names and sizes of
    /// files; of contents it compares the first 64 KiB of 1024 files
    #[arg(long, value_name = "DIR", visible_alias = "data-path")]
    #[serde(serialize_with = "record::path")]
    pub(super) data: PathBuf,
    /// Threads that read pictures ahead [default: one for four --threads, at least one; on a card as
    /// many as --threads]
    #[arg(long, value_name = "N", value_parser = values::workers)]
    pub(super) workers: Option<u16>,
    /// Mirror pictures left to right every other time
    #[arg(long)]
    pub(super) hflip: bool,
    /// Before the cut, the shorter side is resized to so many times the model's
    #[arg(long, value_name = "RATIO", default_value_t = 1.125, value_parser = values::resize)]
    pub(super) mid_reso: f64,
    /// Where pictures are cut: anywhere, or in the middle
    #[arg(long, value_enum, default_value_t = Augmentation::Crop)]
    pub(super) aug: Augmentation,
    /// Every epoch in the order of the files
    #[arg(long)]
    pub(super) no_shuffle: bool,
}

/// Where pictures are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Augmentation {
    Crop,
    Center,
}

/// Update rule of the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum CodebookName {
    /// The optimizer, by the quantizer's loss
    Gradient,
    /// They are averages of their features
    Ema,
}

#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Model")]
pub(super) struct ModelSizes {
    /// Begin with the state of this checkpoint of a run with the same sizes: weights, codebook,
    /// optimizer, discriminator
    #[arg(long, value_name = "CHECKPOINT")]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) init_from: Option<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    pub(super) verify: VerifyOptions,
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
    /// Sides of the token maps: 256, 512, 1024 or 1_2_3_4; pictures have the last side times the
    /// downsampling of --ch-mult
    #[arg(long, value_name = "LADDER", default_value = "256", value_parser = values::ladder)]
    #[serde(serialize_with = "record::as_text")]
    pub(super) pn: Ladder,
    /// Refinement convolutions that the scales share; 1 = one for all, 0 = one each
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = values::whole(0_u16..=32))]
    pub(super) share_quant_resi: u16,
}

#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Loss")]
pub(super) struct Losses {
    /// Weight of the mean absolute difference
    #[arg(long, value_name = "X", default_value_t = 0.2, value_parser = values::not_negative)]
    pub(super) l1: f64,
    /// Weight of the mean squared difference
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = values::not_negative)]
    pub(super) l2: f64,
    /// Weights of LPIPS on VGG16: that distance is part of the loss
    #[arg(long, value_name = "FILE")]
    #[serde(serialize_with = "record::optional_path")]
    pub(super) lpips: Option<PathBuf>,
    /// Weight of LPIPS
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = values::not_negative)]
    pub(super) lpips_weight: f64,
    /// With pictures of shorter sides --lpips is refused: its network was made for larger ones
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = values::whole(0..=u16::MAX))]
    pub(super) lpips_min_side: u16,
    /// Weight of the quantizer's loss
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = values::not_negative)]
    pub(super) vq: f64,
    /// Weight of the even use of the codes at every scale
    #[arg(long, value_name = "X", default_value_t = 0.05, value_parser = values::not_negative)]
    pub(super) spread: f64,
    /// Weight of the discriminator's judgement; 0 = no discriminator
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

#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Learning")]
pub(super) struct Learning {
    /// Images of one update, of all ranks together
    #[arg(long, value_name = "N", default_value_t = 768, value_parser = values::whole(1_u32..=u32::MAX))]
    pub(super) bs: u32,
    /// Parts that a rank's share of them is learnt in, one after the other: less memory
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

#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Writing")]
pub(super) struct Writing {
    /// Iterations between two checkpoints, or `epoch`; 0 = never before the run ends
    #[arg(long, value_name = "N", default_value_t = Every::Epoch, value_parser = every(Every::Epoch))]
    pub(super) save_every: Every,
    /// How many checkpoints stay, the newest included
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = values::whole(1_u16..=1000))]
    pub(super) keep: u16,
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

/// Options that may be others when a run goes on: they decide nothing that is learnt.
pub(crate) const MAY_CHANGE: [&str; 9] = [
    "data",
    "init-from",
    "lpips",
    "workers",
    "save-every",
    "keep",
    "val-every",
    "sample-every",
    "log-every",
];

/// Options that may be others on another rank: places of files, and those of rank 0 alone.
pub(super) const MAY_DIFFER: [&str; 4] = ["data", "lpips", "workers", "keep"];

impl Options {
    /// Refuses options that were typed and decide nothing beside the others.
    ///
    /// # Errors
    /// `Usage` that names the option.
    pub(super) fn check(&self, given: &Given) -> Result<()> {
        let (losses, learning) = (&self.losses, &self.learning);
        let anew = "--out goes on with the run that is there; another folder begins a new one";
        given.refuse(&["force"], true, anew)?;
        let of_lpips = ["lpips_weight", "lpips_min_side"];
        given.refuse(&of_lpips, losses.lpips.is_none(), "goes with --lpips")?;
        let taken = self.model.init_from.is_some();
        given.refuse(&["gain"], taken, "the weights are those of --init-from")?;
        let of_critic = ["disc_start", "disc_warmup", "disc_channels"];
        let weightless = "--disc-weight 0 means no discriminator";
        given.refuse(&of_critic, losses.disc_weight == 0.0, weightless)?;
        let by_gradient = learning.codebook == CodebookName::Gradient;
        given.refuse(&["codebook_decay"], by_gradient, "goes with --codebook ema")?;
        given.refuse(&["wp0"], learning.wp == 0.0, "--wp 0 means no warm-up")
    }

    /// Whether the weights at an iteration do not depend on the run's length, so that it may be lengthened.
    pub(super) fn is_of_any_length(&self) -> bool {
        let (losses, learning) = (&self.losses, &self.learning);
        let from_the_start = losses.disc_start == 0.0 && losses.disc_warmup == 0.0;
        let steady_critic = losses.disc_weight == 0.0 || from_the_start;
        learning.wpe == 1.0 && learning.wp == 0.0 && steady_critic
    }

    /// The options by their names, with properties of the data.
    pub(super) fn by_name(&self, mut found: Map<String, Value>) -> Map<String, Value> {
        found.insert("with-lpips".to_owned(), self.losses.lpips.is_some().into());
        record::by_name(self, found)
    }
}
