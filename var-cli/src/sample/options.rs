//! Options of `var sample`.

use std::path::PathBuf;

use clap::Args;

use crate::args::values::{LARGEST_BATCH, MOST_IMAGES};
use crate::args::{ModelOptions, SamplingOptions, values};

/// Sample images
///
/// Without options: sixteen images of random classes by the built-in model, as one image in
/// samples.png.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Classes: numbers, ranges 0-9, names or parts of them, `all`, -1 for none; separated by
    /// commas; in quotes within the list, a name whatever it looks like [default: random]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(super) class: Option<String>,
    /// How many images; the classes are gone through again and again
    /// [default: one for each class given, else 16]
    #[arg(long, value_name = "N", value_parser = values::whole(1_u32..=MOST_IMAGES))]
    pub(super) count: Option<u32>,
    /// How many images of each class; without --class, of all classes
    #[arg(long, value_name = "N", conflicts_with = "count", value_parser = values::whole(1_u32..=MOST_IMAGES))]
    pub(super) per_class: Option<u32>,
    /// Images that go through the model together; the images do not depend on it
    /// [default: up to 8, as memory allows]
    #[arg(long, value_name = "N", value_parser = values::whole(1_u16..=LARGEST_BATCH))]
    pub(super) batch: Option<u16>,
    /// Where to: a .png file for all images as one, or a folder (there already, or with a slash at
    /// the end) for a file each. Into a folder, an interrupted run goes on where it stopped: images
    /// that are there with the same parameters are kept (unless --tokens wants all tokens again).
    /// With RANK and WORLD_SIZE in the environment, each of WORLD_SIZE processes makes its share
    /// (rank R images R, R + WORLD_SIZE, …) and says so; so too under mpirun or srun; --alone makes all
    #[arg(long, short, value_name = "PATH", default_value = "samples.png", verbatim_doc_comment)]
    pub(super) output: PathBuf,
    /// Columns of the one image [default: as many as rows, or one more]
    #[arg(long, value_name = "COLUMNS", value_parser = values::whole(1_u16..=10_000))]
    pub(super) grid: Option<u16>,
    /// Also save the token maps in this file
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<PathBuf>,
    /// Also save each image as it looks after every scale, in this folder
    #[arg(long, value_name = "DIR")]
    pub(super) progressive: Option<PathBuf>,
    /// Go on from the first --scales scales of these token maps; without --count, one image for each
    #[arg(long, value_name = "TOKENS", requires = "scales", conflicts_with = "per_class")]
    pub(super) from: Option<PathBuf>,
    /// How many scales to take from --from
    #[arg(long, value_name = "K", requires = "from", value_parser = values::whole(1..=usize::MAX))]
    pub(super) scales: Option<usize>,
    /// Rejection sampling: draw N candidates for each image and keep the one with the greatest
    /// log-likelihood ratio between its class and no class, as the model itself scores them
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "progressive"], value_parser = values::whole(1_u32..=10_000))]
    pub(super) reject: Option<u32>,
    /// Keep the candidate of the highest score in this file instead: lines of index,score; candidate c
    /// of image i has index i·N + c, and is image i·N + c of a run with N times as many --per-class
    /// and without --reject. A line `# seed 3` in it says that the candidates were made with seed 3; so
    /// too the other parameters that images keep, as model_digest: what differs is refused
    #[arg(long, value_name = "FILE", requires = "reject")]
    pub(super) reject_scores: Option<PathBuf>,
    #[command(flatten)]
    pub(super) sampling: SamplingOptions,
    #[command(flatten)]
    pub(super) model: ModelOptions,
}
