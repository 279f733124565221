//! A sampling request.

use crate::sample::{Filter, UniformSource};

/// A sampling request; [`Request::new`] has the defaults.
///
/// ```
/// use var_kernel::{Filter, Request};
///
/// let all_codes = Filter { top_k: 0, top_p: 0.0 };
/// let request = Request { cfg: 4.0, filter: all_codes, ..Request::new(&[207, 980], &[0, 1], 1) };
/// assert_eq!(request.labels.len(), request.indices.len());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// One for each image; the null class stands for none. With guidance, all or none may be null.
    pub labels: &'a [u32],
    /// Each image's own index: its random numbers depend on that, not on the batch.
    pub indices: &'a [u32],
    /// Classifier-free guidance at the last scale; 0 = none.
    pub cfg: f32,
    /// Divides the logits after guidance: below 1 more likely tokens, above 1 more even ones; above 0.
    pub temperature: f32,
    /// Which tokens may be drawn.
    pub filter: Filter,
    /// Mix codes by Gumbel softmax instead of taking the drawn one.
    pub more_smooth: bool,
    /// Where random numbers come from.
    pub source: UniformSource<'a>,
    /// Tokens that are not drawn but given.
    pub keep: Option<ForcedTokens<'a>>,
}

impl<'a> Request<'a> {
    /// Images of these classes with the paper's evaluation settings: cfg 1.5, temperature 1,
    /// top-k 900, top-p 0.96.
    pub fn new(labels: &'a [u32], indices: &'a [u32], seed: u64) -> Self {
        Self {
            labels,
            indices,
            cfg: 1.5,
            temperature: 1.0,
            filter: Filter { top_k: 900, top_p: 0.96 },
            more_smooth: false,
            source: UniformSource::Seed(seed),
            keep: None,
        }
    }
}

/// Tokens to keep: those of an image being edited ([`crate::edit`]), or of the first scales of an
/// earlier run.
///
/// ```
/// use var_kernel::{ForcedTokens, Ladder, Request};
///
/// let ladder = Ladder::new(&[1, 2, 4])?;
/// let tokens = [5; 21];
/// let cells: [bool; 21] = core::array::from_fn(|cell| cell < ladder.range(2).start);
/// let keep = Some(ForcedTokens { tokens: &tokens, cells: &cells });
/// let request = Request { keep, ..Request::new(&[207], &[0], 1) };
/// # let _ = request;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ForcedTokens<'a> {
    /// `images · L`, scale by scale, within a scale image by image.
    pub tokens: &'a [u32],
    /// L: which cells are kept.
    pub cells: &'a [bool],
}
