//! One step of the VQVAE: images → latents → tokens → images, and the way back.
//!
//! [`ForwardPass::forward`] reconstructs; the caller looks at the images and writes the gradient of
//! whatever loss it likes ([`ForwardPass::pictures`]); [`ForwardPass::backward`] takes it to the weights.

use core::cell::Cell;

use var_kernel::arena::Arena;
use var_kernel::dry::Dry;
use var_kernel::memory::Floats;
use var_kernel::model::{Vqvae, VqvaeConfig};
use var_kernel::storage::Storage;

use super::buckets::{self, Overlap};
use super::layout::ParameterLayout;
use super::quantizer::{self, Quantized};
use super::workspace::{TrainWorkspace, WorkspaceSize, dry_memory};
use crate::grad::{
    Detach, GradientPlan, Memory, Recordable, RecordedSource, Recording, Span, Tape, TrainBackend,
};
use crate::model::weights::vqvae_tensors;

/// A forward pass that awaits the gradient of its images.
pub struct ForwardPass {
    /// `images · L`, scale by scale, as
    /// [`Quantizer::encode`](var_kernel::model::Quantizer::encode) gives them.
    pub tokens: Vec<u32>,
    /// Mean squared difference between the latents and the sum of the contributions so far, scale by
    /// scale.
    pub errors: Vec<f64>,
    /// Residual quantized by each scale, `images × cells(scale) × latent`, among the room's values.
    pub features: Vec<Span>,
    /// The latents, among the room's values; a loss on them adds to their gradients, which lie where
    /// the step's plan says, before [`ForwardPass::backward`].
    pub latents: Span,
    /// The reconstructed images, among the room's values.
    pub(super) pictures: Span,
    tape: Tape,
    /// Where gradients lie.
    pub(super) plan: GradientPlan,
    sums: Vec<Span>,
}

/// Images → latents → tokens and their sum → images.
struct VqvaeOutputs<'m, S: ?Sized> {
    latents: &'m S,
    quantized: Quantized<'m, S>,
    pictures: &'m S,
}

/// The forward pass; `placed` is called once when all data is in the arena.
///
/// On both sides of the quantizer, which reads tokens back, a GPU makes a graph of it.
fn forward<'m, B: Detach>(
    b: &B,
    vqvae: &Vqvae<'_, '_, B>,
    pictures: &[f32],
    arena: &mut Arena<'m, B::Slice>,
    placed: impl FnOnce(),
) -> Result<VqvaeOutputs<'m, B::Slice>, B::Error> {
    let images = pictures.len() / vqvae.images_len(1);
    let given = arena.take(pictures.len());
    b.upload(given, pictures)?;
    placed();
    let latents = arena.take(vqvae.quantizer.latent_len(images));
    b.capture(&mut || vqvae.encode(b, latents, given, arena))?;
    let quantized = quantizer::forward(b, &vqvae.quantizer, vqvae.config, latents, arena)?;
    let pictures = arena.take(given.len());
    b.capture(&mut || vqvae.decode(b, pictures, quantized.out, arena))?;
    Ok(VqvaeOutputs { latents, quantized, pictures })
}

/// A forward pass on the tape.
struct RecordedVqvae {
    tape: Tape,
    plan: GradientPlan,
    tokens: Vec<u32>,
    features: Vec<Span>,
    sums: Vec<Span>,
    latents: Span,
    pictures: Span,
    /// Floats of values it took.
    values: usize,
}

/// Records the forward pass.
fn record<B: Recordable>(
    b: &B,
    config: VqvaeConfig,
    layout: &ParameterLayout,
    weights: &B::Slice,
    values: &mut B::Slice,
    pictures: &[f32],
) -> Result<RecordedVqvae, B::Error> {
    let recording = Recording::new(b, values, weights);
    let (kept, peak, data) = <(Cell<_>, Cell<_>, Cell<_>)>::default();
    let (tokens, features, sums, latents, pictures) = {
        let mut source = RecordedSource::new(&recording, layout.source(b, weights));
        let vqvae = Vqvae::bind(&mut source, config, &mut Storage::heap());
        let vqvae = vqvae.expect("a layout of this model");
        let mut arena = Arena::keeping(values, &kept).measuring(&peak);
        let placed = || data.set(kept.get());
        let VqvaeOutputs { latents, quantized, pictures } =
            forward(&recording, &vqvae, pictures, &mut arena, placed)?;
        let spans = |slices: Vec<&B::Slice>| {
            slices.into_iter().map(|slice| recording.span(slice)).collect::<Vec<_>>()
        };
        let (features, sums) = (spans(quantized.features), spans(quantized.sums));
        let (latents, pictures) = (recording.span(latents), recording.span(pictures));
        (quantized.tokens, features, sums, latents, pictures)
    };
    let tape = recording.into_tape();
    let given = [&sums[..], &[latents, pictures]].concat();
    let plan = tape.plan(data.get(), &given, &[]);
    let values = peak.get();
    Ok(RecordedVqvae { tape, plan, tokens, features, sums, latents, pictures, values })
}

/// How much memory `images` images take.
pub fn workspace_size<B: TrainBackend>(b: &B, config: VqvaeConfig, images: usize) -> WorkspaceSize {
    let layout = ParameterLayout::new(vqvae_tensors(config));
    let [weights, values] = dry_memory(&layout);
    let pictures = vec![0.0; images * 3 * config.side() * config.side()];
    let Ok(recorded) = record(&Dry::with_addresses(b), config, &layout, weights, values, &pictures);
    WorkspaceSize::of(b, recorded.values, &recorded.tape, &recorded.plan)
}

impl ForwardPass {
    /// Reconstructs `pictures`.
    ///
    /// `pictures`: `images × side × side × 3` in [−1, 1]. `weights`: as `layout` says.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice's length is not the configuration's or there is too little room.
    pub fn forward<B: TrainBackend>(
        b: &B,
        config: VqvaeConfig,
        layout: &ParameterLayout,
        weights: &B::Slice,
        workspace: &mut TrainWorkspace<'_, B::Slice>,
        pictures: &[f32],
    ) -> Result<Self, B::Error> {
        let recorded = record(b, config, layout, weights, workspace.values, pictures)?;
        let RecordedVqvae { tape, plan, tokens, features, sums, latents, pictures, .. } = recorded;
        let values = &*workspace.values;
        let of_sums: Vec<&B::Slice> = sums.iter().map(|sum| sum.of(values)).collect();
        let errors = quantizer::mean_squares(b, &of_sums, latents.of(values))?;
        plan.begin(b, workspace.gradients)?;
        Ok(Self { tokens, errors, features, latents, pictures, tape, plan, sums })
    }

    /// The quantizer's loss: [`quantizer::loss`].
    pub fn quantizer_loss(&self) -> f64 {
        quantizer::loss(&self.errors)
    }

    /// The reconstructed images, not clamped, and their gradient, 0 until the caller adds to it.
    pub fn pictures<'r, S: Floats + ?Sized>(
        &self,
        workspace: &'r mut TrainWorkspace<'_, S>,
    ) -> (&'r S, &'r mut S) {
        (
            self.pictures.of(workspace.values),
            self.plan.of(self.pictures).of_mut(workspace.gradients),
        )
    }

    /// The gradient of the decoder's last convolution, if that of the images were `dpictures`:
    /// **added** to `into`.
    ///
    /// `values`: those the forward pass ran in. `into`: as `decoder.conv_out.weight`. `scratch`: the
    /// room's.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice is of another length.
    pub fn last_weight_gradient<B: TrainBackend>(
        &self,
        b: &B,
        values: &B::Slice,
        dpictures: &B::Slice,
        into: &mut B::Slice,
        scratch: &mut B::Slice,
    ) -> Result<(), B::Error> {
        self.tape.convolution_weight_gradient(b, self.pictures, values, dpictures, into, scratch)
    }

    /// The gradients of all weights are **added** to `weight_gradients`: those of the loss with the
    /// gradient in [`ForwardPass::pictures`], and `quantizer_weight` times those of
    /// [`ForwardPass::quantizer_loss`]. `overlap`: whether sums over ranks begin meanwhile, and how.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If the memory is not the forward pass's.
    pub fn backward<B: TrainBackend>(
        &self,
        b: &B,
        layout: &ParameterLayout,
        weights: &B::Slice,
        weight_gradients: &mut B::Slice,
        workspace: &mut TrainWorkspace<'_, B::Slice>,
        quantizer_weight: f32,
        overlap: Option<Overlap<'_, B>>,
    ) -> Result<(), B::Error> {
        let Self { tape, plan, sums, latents, .. } = self;
        let (values, gradients) = (&*workspace.values, &mut *workspace.gradients);
        quantizer::loss_backward(b, gradients, plan, values, sums, *latents, quantizer_weight)?;
        let mut memory = Memory {
            values: workspace.values,
            weights,
            value_gradients: workspace.gradients,
            plan,
            weight_gradients: Some(weight_gradients),
            scratch: workspace.scratch,
        };
        buckets::backward(b, layout, tape, &mut memory, overlap)
    }
}
