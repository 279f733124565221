//! A request to sample, and its results.

use var_kernel::generate::Request;
use var_kernel::sample::Filter;

use crate::images::RgbImage;

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Seed of the random numbers.
    pub seed: u64,
    /// Classifier-free guidance at the last scale; 0 = none.
    pub cfg: f32,
    /// Divides the logits after guidance: below 1 likelier tokens, above 1 more even ones.
    pub temperature: f32,
    /// Keep the so many most likely tokens; 0 = all.
    pub top_k: usize,
    /// Keep the most likely tokens that reach this probability; 0 = all.
    pub top_p: f32,
    /// Mix codes by Gumbel softmax instead of taking the drawn one.
    pub more_smooth: bool,
}

/// Of a request, all that its working memory depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RequestShape {
    images: usize,
    /// Images of one class are conditioned once.
    classes: usize,
    guided: bool,
    filter: Filter,
    more_smooth: bool,
}

impl RequestShape {
    pub(super) fn of(request: &Request<'_>, null: u32) -> Self {
        let Request { labels, cfg, filter, more_smooth, .. } = *request;
        // Images of the null class have no second sequence.
        let guided = cfg != 0.0 && labels.iter().any(|label| *label != null);
        let mut classes = labels.to_vec();
        classes.sort_unstable();
        classes.dedup();
        let (images, classes) = (labels.len(), classes.len());
        Self { images, classes, guided, filter, more_smooth }
    }
}

/// One image to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// Its index in the request: with the seed, this alone decides its random numbers.
    pub index: u32,
    /// Its class; the null class for none.
    pub label: u32,
}

/// Tokens of all images of a batch that are given, not drawn.
#[derive(Clone, Debug)]
pub struct ForcedBatch {
    /// For each image its L tokens.
    pub tokens: Vec<Vec<u32>>,
    /// L: which cells are kept, in every image.
    pub cells: Vec<bool>,
}

/// One sampled image.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The request.
    pub job: ImageSpec,
    /// Its L tokens, scale by scale.
    pub tokens: Vec<u32>,
    /// The image.
    pub picture: RgbImage,
}

/// State after a scale, as the callback receives it.
pub struct ScaleProgress<'a> {
    /// The images that are drawn together; of a batch with and without classes, one kind.
    pub jobs: &'a [ImageSpec],
    /// The scale just drawn.
    pub scale: usize,
    /// How many scales there are.
    pub scales: usize,
    /// Returns when the scale is drawn: a GPU may only have been asked to.
    pub wait: &'a mut dyn FnMut(),
    /// Tokens of this scale of the job of this number, row by row; none if the device fails: the run then
    /// ends here with that error.
    pub tokens: &'a mut dyn FnMut(usize) -> Option<Vec<u32>>,
    /// Makes the image of the job of this number as it would look if the run ended here; none if it
    /// is not finite or the device fails: the run then ends here with that error.
    pub picture: &'a mut dyn FnMut(usize) -> Option<RgbImage>,
}
