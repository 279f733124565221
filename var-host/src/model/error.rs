//! Errors of a model's files.

use var_kernel::model::{ConfigError, Ladder};

use crate::checkpoint::{CheckpointError, Dtype, FormatError, SaveError};
use crate::plural::count;

/// Why files make no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file has changed since it was written.
    #[error("{file}")]
    Damaged {
        /// The file.
        file: String,
        /// Both checksums.
        source: FormatError,
    },
    /// The built-in model cannot be read.
    #[error("the built-in model")]
    BuiltIn(#[source] FormatError),
    /// A model in memory cannot be read.
    #[error("the model in memory")]
    Memory(#[source] FormatError),
    /// The model file cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// No tensor that only a transformer, or only a VQVAE, has.
    #[error("{file}: no {part} in it: no tensor is called or ends in {wants}")]
    NoPart {
        /// The file.
        file: String,
        /// `transformer` or `VQVAE`.
        part: &'static str,
        /// The tensor that was looked for.
        wants: &'static str,
    },
    /// Two transformers, or two VQVAEs, in one file.
    #[error("{file}: more than one {part} in it: choose by --part {parts}")]
    SeveralParts {
        /// The file.
        file: String,
        /// `transformer` or `VQVAE`.
        part: &'static str,
        /// Their names, quoted.
        parts: String,
    },
    /// Nothing in the files is called as the part that was asked for.
    #[error("--part {asked}: {file} has {parts}")]
    NoSuchPart {
        /// The part.
        asked: String,
        /// The files.
        file: String,
        /// Their parts.
        parts: String,
    },
    /// Two tensors of a file are the same one of the model.
    #[error("{file}: {first} and {second} are one tensor of the model")]
    SameTensor {
        /// The file.
        file: String,
        /// The first.
        first: String,
        /// The second.
        second: String,
    },
    /// Another model of VAR's family.
    #[error("{file}: {tensor} is a tensor of {model}, not of VAR: {differs}")]
    Relative {
        /// The file.
        file: String,
        /// The tensor that shows it.
        tensor: String,
        /// The other model.
        model: &'static str,
        /// How it differs.
        differs: &'static str,
    },
    /// The attention mask in a checkpoint is not VAR's.
    #[error("{file}: {tensor}: not VAR's attention: {found}")]
    Mask {
        /// The file.
        file: String,
        /// The mask.
        tensor: String,
        /// The first entry that differs.
        found: String,
    },
    /// An option contradicts the file.
    #[error("{file}: {what} {found}, not {asked} as asked for")]
    NotAsAsked {
        /// The file.
        file: String,
        /// Heads or ladder.
        what: &'static str,
        /// The file's value.
        found: String,
        /// The option's value.
        asked: String,
    },
    /// The transformer's file and the VQVAE's say different ladders.
    #[error(
        "{var}: ladder {transformer}; {vae}: ladder {vqvae}: say --ladder {transformer} if they belong together"
    )]
    Ladders {
        /// The transformer's file.
        var: String,
        /// The VQVAE's file.
        vae: String,
        /// The transformer's ladder.
        transformer: Box<Ladder>,
        /// The VQVAE's ladder.
        vqvae: Box<Ladder>,
    },
    /// A tensor the model needs is not in the file.
    #[error("{file}: {tensor} is missing")]
    Missing {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor the model needs is in the file in a form that is not read.
    #[error("{file}: {tensor}: {kind} is not supported")]
    Unreadable {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// What it is.
        kind: String,
    },
    /// A tensor has another shape than the rest of the file asks for.
    #[error("{file}: {tensor}: wants {wants:?}, file has {has:?}")]
    Shape {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// The shape the model wants.
        wants: Vec<usize>,
        /// The shape in the file.
        has: Vec<usize>,
    },
    /// A tensor has another number of dimensions than any model's.
    #[error("{file}: {tensor}: wants {wants} dimensions, file has {has:?}")]
    Rank {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Dimensions wanted.
        wants: usize,
        /// The shape in the file.
        has: Vec<usize>,
    },
    /// A tensor has an element type no weight has.
    #[error("{file}: {tensor}: wants floating-point numbers, file has {has:?}")]
    ElementType {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// The type in the file.
        has: Dtype,
    },
    /// A tensor that belongs to no model we know.
    #[error("{file}: {tensor} of shape {has:?} is not part of the model")]
    Unknown {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its shape.
        has: Vec<usize>,
    },
    /// A weight is infinite or not a number.
    #[error("{file}: {tensor}: element {index} is {value}")]
    NotFinite {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Row-major index of the element.
        index: usize,
        /// The element.
        value: f32,
    },
    /// A weight is far above any trained one: what is computed with it overflows.
    #[error(
        "{file}: {tensor}: element {index} is {value:e}, more than 1e9: damaged, or it has diverged"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Row-major index of the element.
        index: usize,
        /// The element.
        value: f32,
    },
    /// A variance is negative.
    #[error("{file}: {tensor}: element {index} is {value}, a variance")]
    Negative {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Index of the element.
        index: usize,
        /// The element.
        value: f32,
    },
    /// Sizes that make no model.
    #[error("{file}")]
    Config {
        /// The file.
        file: String,
        /// The fault.
        source: ConfigError,
    },
    /// The scales of positions in `lvl_1L` are not a ladder.
    #[error("{file}: lvl_1L: scale {scale} has {cells} cells, which is no square")]
    ChannelMultipliers {
        /// The file.
        file: String,
        /// The scale.
        scale: usize,
        /// Its cells.
        cells: usize,
    },
    /// The ladder is neither in the file nor given.
    #[error(
        "{file}: the file does not say its ladder and no published one has {length} {of}: \
         give it, as --ladder 1_2_3_4"
    )]
    NoLadder {
        /// The file.
        file: String,
        /// The count found.
        length: usize,
        /// The unit of the count: cells or scales.
        of: &'static str,
    },
    /// The ladder that was given is not the file's.
    #[error("{file}: ladder {given} has {}, the file's position table {length}", count(given.length(), "cell"))]
    LadderLength {
        /// The file.
        file: String,
        /// The ladder.
        given: Box<Ladder>,
        /// Cells in the file.
        length: usize,
    },
    /// Transformer and VQVAE do not belong together.
    #[error("the transformer predicts {what} of {transformer}, the VQVAE has {vqvae}")]
    Mismatch {
        /// Codes or their width.
        what: &'static str,
        /// The transformer's number.
        transformer: usize,
        /// The VQVAE's number.
        vqvae: usize,
    },
    /// The transformer has learned the codes of another VQVAE.
    #[error(
        "{file}: its transformer goes with VQVAE {own}, {vae} is {given}: give that file as --vae too, \
         or convert the transformer alone, which then goes with any"
    )]
    OtherVqvae {
        /// The transformer's file.
        file: String,
        /// Digest of its VQVAE.
        own: String,
        /// The VQVAE's file.
        vae: String,
        /// Its digest.
        given: String,
    },
    /// The configuration in a model file's metadata cannot be read.
    #[error("{file}: the configuration in its metadata")]
    Metadata {
        /// The file.
        file: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The configuration in a model file's metadata contradicts its tensors.
    #[error("{file}: its metadata says {what} {metadata}, its tensors say {tensors}")]
    MetadataDiffers {
        /// The file.
        file: String,
        /// Which number.
        what: &'static str,
        /// In the metadata.
        metadata: String,
        /// By the tensors.
        tensors: String,
    },
}
