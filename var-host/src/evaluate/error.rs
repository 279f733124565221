//! Errors of an evaluation.

use std::io;
use std::path::PathBuf;

use crate::data::DataError;
use crate::engine::EngineError;
use crate::image_folder::ImageFolderError;
use crate::images::ImageError;
use crate::model::ModelError;
use crate::npz::NpzError;
use crate::plural::count;

/// Why images cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// An image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An archive cannot be read or written.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// A folder cannot be read.
    #[error(transparent)]
    Folder(#[from] DataError),
    /// A folder is not of one run.
    #[error(transparent)]
    Runs(#[from] ImageFolderError),
    /// The network's weights cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] crate::pipeline::Error),
    /// The network cannot run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Neither a folder nor a file.
    #[error("{}: is neither a folder of images nor an .npz archive", path.display())]
    NoSource {
        /// The path.
        path: PathBuf,
    },
    /// No images.
    #[error("{}: has no images", path.display())]
    NoImages {
        /// The folder or archive.
        path: PathBuf,
    },
    /// The array of images is not `N × height × width × 3` bytes.
    #[error("{}: arr_0: has {descr} of shape {shape:?}, wants |u1 (bytes) of shape [N, height, width, 3]{}", path.display(), hint(descr, shape))]
    Layout {
        /// The archive.
        path: PathBuf,
        /// NumPy's name of the element type.
        descr: String,
        /// The shape.
        shape: Vec<usize>,
    },
    /// Images of one set have several sizes.
    #[error("{}: is {} × {}, the set's first image {} × {}: all must be of one size, or are made so with --side", path.display(), has.0, has.1, wants.0, wants.1)]
    MixedSizes {
        /// The image.
        path: PathBuf,
        /// Its width and height.
        has: (usize, usize),
        /// The first image's.
        wants: (usize, usize),
    },
    /// Samples and reference have several sizes.
    #[error("the samples are {} × {}, the reference's images {} × {}: another resolution gives other features", samples.0, samples.1, reference.0, reference.1)]
    Resolutions {
        /// Width and height of the samples.
        samples: (usize, usize),
        /// Of the reference.
        reference: (usize, usize),
    },
    /// Too few images for a covariance.
    #[error("{}: a covariance wants at least {wants}", count(*has, "image"))]
    TooFew {
        /// How many are wanted.
        wants: usize,
        /// How many there are.
        has: usize,
    },
    /// A feature is infinite or not a number: the weights are damaged.
    #[error("image {picture}: feature {feature} is {value}: are the weights Inception's?")]
    NotFinite {
        /// The image, counted from 0.
        picture: usize,
        /// The feature.
        feature: usize,
        /// Its value.
        value: f32,
    },
    /// Stored statistics lack a part.
    #[error("{}: has {has} but not {missing}: statistics are mu and sigma, and mu_s and sigma_s, in pairs", path.display())]
    PartialStatistics {
        /// The archive.
        path: PathBuf,
        /// The array that is there.
        has: &'static str,
        /// The array that is not.
        missing: &'static str,
    },
    /// Stored statistics hold infinities or NaN.
    #[error("{}: {array}: element {index} is {value}", path.display())]
    StoredNotFinite {
        /// The archive.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// The element, counted from 0.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// A stored covariance is not symmetric.
    #[error("{}: {array}: is no covariance: element {row}, {column} is {}, element {column}, {row} {}", path.display(), values[0], values[1])]
    Asymmetric {
        /// The archive.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// The row of the first of two elements across the diagonal.
        row: usize,
        /// Its column.
        column: usize,
        /// Both.
        values: [f64; 2],
    },
    /// A stored covariance has a negative element on its diagonal.
    #[error("{}: {array}: is no covariance: the variance of feature {row} is {variance}", path.display())]
    NegativeVariance {
        /// The archive.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// The feature.
        row: usize,
        /// Its variance.
        variance: f64,
    },
    /// A stored covariance has a direction of negative variance, beyond rounding.
    #[error("{}: {array}: is no covariance: its eigenvalues go from {least:e} to {greatest:e}, none may be negative", path.display())]
    Indefinite {
        /// The archive.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// The least.
        least: f64,
        /// The greatest.
        greatest: f64,
    },
    /// Stored statistics have another shape.
    #[error("{}: {array}: has shape {has:?}, wants {wants:?}", path.display())]
    StatisticsShape {
        /// The archive.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// Its shape.
        has: Vec<usize>,
        /// The shape of Inception's features.
        wants: Vec<usize>,
    },
    /// A mean or covariance holds infinities or NaN.
    #[error("the {set} set's {array}: element {index} is {value}: no distance can be computed")]
    StatisticsNotFinite {
        /// Whose: `first` or `second`.
        set: &'static str,
        /// `mean` or `covariance`.
        array: &'static str,
        /// The element, counted from 0.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// Two sets of features that have several widths.
    #[error("features of widths {first} and {second} cannot be compared")]
    Widths {
        /// Of the one set.
        first: usize,
        /// Of the other.
        second: usize,
    },
    /// A covariance has a direction of negative variance, beyond rounding.
    #[error("a covariance has eigenvalues from {least:e} to {greatest:e}: none may be negative")]
    NotCovariance {
        /// The least.
        least: f64,
        /// The greatest.
        greatest: f64,
    },
    /// The decomposition of a covariance did not converge.
    #[error("the eigenvalues of a covariance cannot be found")]
    NoConvergence,
    /// The temporary file of features cannot be written or read: a full disk, most likely.
    #[error("the features of {} in a temporary file (of {})", count(*pictures, "image"), count(*bytes, "byte"))]
    InceptionFeatures {
        /// Images so far.
        pictures: usize,
        /// Bytes so far.
        bytes: u64,
        /// The system's error.
        source: io::Error,
    },
}

/// The likeliest fault of an array of images.
fn hint(descr: &str, shape: &[usize]) -> &'static str {
    match (descr, shape) {
        ("|u1", [_, 3, _, _]) => ": channels come last",
        ("|u1", [_, _, 3]) => ": one image is [1, height, width, 3]",
        ("|u1", [_, _, _] | [_, _, _, 1]) => ": three colors, gray repeated",
        ("|u1", [_, _, _, 4]) => ": three colors, without alpha",
        ("|u1", _) => "",
        (_, _) if descr.contains('f') => ": 0 to 255, rounded",
        _ => "",
    }
}
