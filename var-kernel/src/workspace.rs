//! Memory that a request needs: the request itself, run dry.

use core::cell::Cell;
use core::ops::ControlFlow;

use crate::arena::Arena;
use crate::dry::{Dry, Lengths};
use crate::generate::{Request, generate};
use crate::model::{AnyTensor, Model, VarConfig, VqvaeConfig};
use crate::ops::Backend;
use crate::storage::Storage;

/// Floats of the [`Arena`] with which [`generate`] serves `request`, images after every scale
/// included.
///
/// `tokens`: as [`generate`] takes them, zeros afterward. `storage`: at least
/// [`Model::storage_len`] bytes, free again afterward.
///
/// # Panics
/// As [`generate`], or if `storage` is too small.
pub fn workspace_len<B: Backend>(
    b: &B,
    var: VarConfig,
    vae: VqvaeConfig,
    request: &Request<'_>,
    tokens: &mut [u32],
    storage: &mut Storage<'_>,
) -> usize {
    let (mut lengths, peak): (Lengths, _) = ([(); usize::MAX], Cell::new(0));
    let mut arena = Arena::measured(&mut lengths[..], &peak);
    let dry = Dry::new(b);
    let mut storage = storage.scope();
    let Ok(model) = Model::bind(&mut AnyTensor, var, vae, &mut storage);
    // As many images as are decoded together at the end; a callback may ask for one of them.
    let together = b.images_together().min(request.labels.len());
    let Ok(_) = generate(&dry, &model, request, tokens, &mut [0_u8; 0], &mut arena, &mut |scale| {
        let Ok(()) = scale.decode(together);
        ControlFlow::Continue(())
    });
    peak.get()
}
