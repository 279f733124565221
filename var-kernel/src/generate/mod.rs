//! The whole flow: class → tokens, scale by scale → latent → image.

use core::ops::ControlFlow;

use crate::arena::Arena;
use crate::image::Shown;
use crate::model::Model;
use crate::ops::Backend;

mod progress;
mod request;
mod steps;

pub use progress::Progress;
pub use request::{ForcedTokens, Request};
pub use steps::Steps;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All scales were drawn.
    Done,
    /// The callback stopped it after this scale.
    StoppedAfter(usize),
}

/// Generates tokens and, if asked, images.
///
/// `tokens`: `images · L`, scale by scale, within a scale image by image. `pictures`: `images × side
/// × side × 3`, numbers in [−1, 1], not clamped, or samples; empty for none. `arena`: as large as
/// [`workspace_len`](crate::workspace_len) says. `each` is called after every scale.
///
/// ```
/// # use core::mem::MaybeUninit;
/// # use core::ops::ControlFlow;
/// # use var_kernel::*;
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/small_model/mod.rs"));
/// # fn main() {
/// # let mut scratch = vec![0.0; SCRATCH_FLOATS];
/// # let workers = Inline::new(&mut scratch);
/// # let cpu = Cpu::new(Isa::best(), &workers);
/// # let (var, vae) = configs();
/// # let mut layers = [MaybeUninit::uninit(); 1 << 14];
/// # let mut storage = Storage::new(&mut layers);
/// let request = Request::new(&[3], &[0], 1);
/// let mut tokens = [0; 21];
/// let floats = workspace_len(&cpu, var, vae, &request, &mut tokens, &mut storage);
/// let mut memory = vec![0.0; floats];
///
/// let Ok(model) = Model::bind(&mut Constant, var, vae, &mut storage);
/// let (mut image, arena) = ([0_u8; 16 * 16 * 3], &mut Arena::new(&mut memory[..]));
/// let Ok(outcome) = generate(&cpu, &model, &request, &mut tokens, &mut image, arena, &mut |step| {
///     if step.scale == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// });
/// assert_eq!(outcome, Outcome::StoppedAfter(1));
/// # }
/// ```
///
/// # Errors
/// Only the device's own; never on the CPU.
///
/// # Panics
/// If a slice is of another length than the request says, a label is above the null class, labels
/// with and without a class are mixed under guidance, or the arena is too small.
pub fn generate<B: Backend, P: Shown>(
    b: &B,
    model: &Model<'_, '_, B>,
    request: &Request<'_>,
    tokens: &mut [u32],
    pictures: &mut [P],
    arena: &mut Arena<'_, B::Slice>,
    each: &mut dyn FnMut(&mut Progress<'_, '_, '_, B>) -> ControlFlow<()>,
) -> Result<Outcome, B::Error> {
    let mut steps = Steps::new(b, model, request, arena)?;
    assert_eq!(tokens.len(), steps.tokens_len(), "tokens is not images · L");
    while let Some(mut progress) = steps.step()? {
        let scale = progress.scale;
        if each(&mut progress).is_break() {
            steps.finish::<P>(tokens, &mut [])?;
            return Ok(Outcome::StoppedAfter(scale));
        }
    }
    steps.finish(tokens, pictures)?;
    Ok(Outcome::Done)
}
