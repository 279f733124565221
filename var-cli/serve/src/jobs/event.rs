//! Events of a job.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::fault::Fault;

/// An event as it is sent.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    /// JSON on one line.
    pub(crate) data: String,
}

/// A step of an image: its tokens at a scale, and its look if the run ended there.
#[derive(Debug)]
pub(crate) struct ScaleStep {
    /// Number of the image in the job, from 0.
    pub(crate) image: usize,
    /// Its index, which decides its random numbers with the seed.
    pub(crate) index: u32,
    /// From 0.
    pub(crate) scale: usize,
    pub(crate) scales: usize,
    /// Of the scale's map.
    pub(crate) side: usize,
    pub(crate) tokens: Vec<u32>,
    /// None where it is not wanted.
    pub(crate) png: Option<Vec<u8>>,
}

impl Event {
    fn new(name: &'static str, data: &Value) -> Self {
        Self { name, data: data.to_string() }
    }

    pub(super) fn queued(place: usize) -> Self {
        Self::new("queued", &json!({ "place": place }))
    }

    pub(super) fn started() -> Self {
        Self::new("started", &json!({}))
    }

    pub(super) fn scale(step: &ScaleStep) -> Self {
        let ScaleStep { image, index, scale, scales, side, tokens, png } = step;
        let png = png.as_ref().map(|png| BASE64_STANDARD.encode(png));
        Self::new(
            "scale",
            &json!({
                "image": image, "index": index, "scale": scale, "scales": scales, "side": side,
                "tokens": tokens, "png": png,
            }),
        )
    }

    pub(super) fn image(image: &Value) -> Self {
        Self::new("image", image)
    }

    /// The token maps of an image, by `ladder`'s ranges.
    pub(crate) fn tokens(maps: &[Vec<u32>]) -> Self {
        Self::new("tokens", &json!({ "maps": maps }))
    }

    /// Progress of long work without images.
    pub(crate) fn progress(done: usize, of: usize) -> Self {
        Self::new("progress", &json!({ "done": done, "of": of }))
    }

    /// Log-likelihoods of an image.
    pub(crate) fn scores(scores: &Value) -> Self {
        Self::new("scores", scores)
    }

    pub(super) fn done(seconds: f64, images: usize, memory: &Value) -> Self {
        let data = json!({ "seconds": seconds, "images": images, "memory": memory });
        Self::new("done", &data)
    }

    pub(super) fn failed(fault: &Fault) -> Self {
        Self::new("failed", &json!({ "error": fault.to_json() }))
    }

    pub(super) fn canceled(images: usize) -> Self {
        Self::new("canceled", &json!({ "images": images }))
    }
}
