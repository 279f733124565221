//! Losses and gradients of one microbatch of a VQVAE.

use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::VqvaeConfig;
use var_kernel::model::weights::FeatureShape;
use var_kernel::ops::resize;

use super::codebook_state::CodebookState;
use super::discriminator_state::{self, DiscriminatorState};
use super::hyperparameters::VqvaeHyperparameters;
use super::losses::VqvaeLosses;
use super::pixel_losses::{self, PixelLosses};
use crate::grad::{ResizeBackward, Sums};
use crate::train::buckets::{BUCKET, Overlap};
use crate::train::codebook::{Residuals, UsageLoss};
use crate::train::discriminator::{self, GanTarget};
use crate::train::parameters::TrainParameters;
use crate::train::perceptual::Perceptual;
use crate::train::storage::{AllReduce, Storage};
use crate::train::workspace::{Buffers, SizeCache, TrainWorkspace};
use crate::train::{TrainError, on, vqvae};

/// The VQVAE.
pub(super) struct VqvaeNetwork<'t, S: Storage> {
    pub(super) config: VqvaeConfig,
    pub(super) hyperparameters: &'t VqvaeHyperparameters,
    pub(super) parameters: &'t mut TrainParameters<S>,
    pub(super) codebook_state: &'t CodebookState,
}

/// Networks that judge the reconstructions for the loss.
pub(super) struct LossNetworks<'t, S: Storage> {
    /// LPIPS and its weights.
    pub(super) perceptual: Option<&'t (Perceptual, S::Buffer)>,
    /// The discriminator, and the gradients of the decoder's last convolution: of the other losses, and
    /// of the adversarial one.
    pub(super) discriminator_state: Option<(&'t mut DiscriminatorState<S>, &'t mut [S::Buffer; 2])>,
}

/// Working memory of the network itself and of those that judge its images; originals, gradients of
/// the discriminator's loss, and latents' gradients; sizes by images of the network, of LPIPS and of the
/// discriminator.
pub(super) type WorkingMemory<'t, S> = (
    &'t mut [Buffers<S>; 2],
    &'t mut [<S as Storage>::Workspace; 4],
    &'t mut [SizeCache<usize>; 3],
);

/// Adds the gradients of a microbatch; returns its losses times its images, and its residuals.
///
/// `adversarial`: weight of the discriminator's judgment. `all_reduce`: with it, the sums over ranks
/// begin during the backward pass.
pub(super) fn forward_backward<S: Storage>(
    d: &S::Device<'_>,
    cpu: &Cpu<'_>,
    network: VqvaeNetwork<'_, S>,
    judges: LossNetworks<'_, S>,
    adversarial: f32,
    originals: &[f32],
    (buffers, aside, sizes): WorkingMemory<'_, S>,
    all_reduce: Option<&mut S::AllReduce>,
) -> Result<(VqvaeLosses, Residuals), TrainError> {
    let VqvaeNetwork { config, hyperparameters, parameters, codebook_state } = network;
    let TrainParameters { layout, weights, gradients, .. } = parameters;
    let (layout, weights) = (&*layout, &**weights);
    let images = originals.len() / (3 * config.side() * config.side());
    let (count, share) = (images as f64, images as f32 / hyperparameters.batch as f32);
    let [own, judging] = buffers;
    let [of_originals, of_judgment, of_share, of_latents] = aside;
    let [of_network, of_perceptual, of_discriminator] = sizes;
    let size = of_network.get(images, |images| vqvae::workspace_size(d, config, *images));
    let mut workspace = own.workspace(d, size)?;
    let (step, residuals) = on(d, || {
        let step =
            vqvae::ForwardPass::forward(d, config, layout, weights, &mut workspace, originals)?;
        let residuals = Residuals::of(d, &config, &step, workspace.values)?;
        Ok((step, residuals))
    })?;
    let factors = hyperparameters.weights;
    let maps = discriminator_state::maps(images, config.side());
    let mut sums =
        VqvaeLosses { quantizer: count * step.quantizer_loss(), ..VqvaeLosses::default() };

    let pictures = step.pictures.of(workspace.values);
    let gradient = step.plan.of(step.pictures).of_mut(workspace.gradients);
    let mut of_pixels = vec![0.0; originals.len()];
    let mut on_host = vec![0.0; originals.len()];
    on(d, || d.download(&mut on_host, pictures))?;
    let differences = PixelLosses::of(&on_host, originals);
    let all = originals.len() / images * hyperparameters.batch as usize;
    let weights_of_pixels = [factors.absolute, factors.squared];
    pixel_losses::backward(&mut of_pixels, &on_host, originals, weights_of_pixels, all);
    on(d, || d.upload(gradient, &of_pixels))?;
    sums.pixels.absolute = count * differences.absolute;
    sums.pixels.squared = count * differences.squared;
    let judged = judges.perceptual.is_some() || judges.discriminator_state.is_some();
    let on_device = S::workspace(d, of_originals, if judged { originals.len() } else { 0 })?;
    if judged {
        on(d, || d.upload(on_device, originals))?;
    }
    let both = [pictures, &*on_device];
    if let Some((perceptual, network)) = judges.perceptual {
        let size = of_perceptual.get(images, |_| perceptual.workspace_size(d, maps));
        let mut workspace = judging.workspace(d, size)?;
        let factor = factors.perceptual / hyperparameters.batch as f32;
        let distances = on(d, || {
            perceptual.forward_backward(d, network, &mut workspace, both, maps, gradient, factor)
        })?;
        sums.perceptual = distances.into_iter().map(f64::from).sum::<f64>();
    }
    if let Some((discriminator_state, last)) = judges.discriminator_state {
        let [whole, shared] = [
            S::workspace(d, of_judgment, originals.len())?,
            S::workspace(d, of_share, originals.len())?,
        ];
        let losses = discriminate(
            d,
            discriminator_state,
            maps,
            share,
            (&mut *judging, of_discriminator),
            both,
            [whole, &mut *shared],
        )?;
        [sums.adversarial, sums.discriminator] = losses.map(|loss| count * loss);
        let factor = adversarial * discriminator_state.ratio[0];
        on(d, || {
            for (into, dout) in last.iter_mut().zip([&*gradient, &*shared]) {
                let (values, scratch) = (&*workspace.values, &mut *workspace.scratch);
                step.last_weight_gradient(d, values, dout, into, scratch)?;
            }
            d.add_scaled(gradient, shared, factor)
        })?;
    }
    if factors.usage_loss > 0.0 && codebook_state.usage.steps > 0 {
        let usage_loss = UsageLoss { weight: factors.usage_loss * share };
        let codebook = weights.range(codebook_state.range.clone());
        add_usage_loss::<S>(
            d,
            cpu,
            usage_loss,
            &residuals,
            (codebook_state, codebook),
            &step,
            config,
            &mut workspace,
            of_latents,
        )?;
    }
    let weight = factors.quantizer * share;
    let mut all_reduce = all_reduce;
    let overlaps = all_reduce.is_some();
    let mut begin = |slice: &mut S::Slice| {
        all_reduce.as_deref_mut().expect("devices that have joined").begin(d, slice)
    };
    let overlap = overlaps.then_some(Overlap { floats: BUCKET, begin: &mut begin });
    on(d, || step.backward(d, layout, weights, gradients, &mut workspace, weight, overlap))?;
    Ok((sums, residuals))
}

/// Adds the gradients of the even use of the codes to those of the latents.
fn add_usage_loss<S: Storage>(
    d: &S::Device<'_>,
    cpu: &Cpu<'_>,
    usage_loss: UsageLoss,
    residuals: &Residuals,
    (codebook_state, codebook): (&CodebookState, &S::Slice),
    step: &vqvae::ForwardPass,
    config: VqvaeConfig,
    workspace: &mut TrainWorkspace<'_, S::Slice>,
    of_latents: &mut S::Workspace,
) -> Result<(), TrainError> {
    let images = step.tokens.len() / config.ladder.length();
    let mut codes = vec![0.0; codebook_state.range.len()];
    on(d, || d.download(&mut codes, codebook))?;
    let of_scales =
        usage_loss.gradients(cpu, &codebook_state.usage, residuals, &codes, config.latent);
    let into = step.plan.of(step.latents).of_mut(workspace.gradients);
    for (scale, of_scale) in of_scales.iter().enumerate() {
        let run = S::workspace(d, of_latents, of_scale.len())?;
        let (from, to) = (config.ladder.finest(), config.ladder.sides()[scale]);
        let size = resize::Dims { batch: images, from, to, channels: config.latent };
        on(d, || {
            d.upload(run, of_scale)?;
            d.area_backward(into, run, size)
        })?;
    }
    Ok(())
}

/// Has the discriminator judge reconstructions, and learn from both kinds of images; returns the
/// adversarial loss and its own.
///
/// `whole` and `shared`: memory for the gradient of the part's mean, and for its share of the batch's.
fn discriminate<S: Storage>(
    d: &S::Device<'_>,
    discriminator_state: &mut DiscriminatorState<S>,
    maps: FeatureShape,
    share: f32,
    (buffers, sizes): (&mut Buffers<S>, &mut SizeCache<usize>),
    [pictures, originals]: [&S::Slice; 2],
    [whole, shared]: [&mut S::Slice; 2],
) -> Result<[f64; 2], TrainError> {
    let DiscriminatorState { config, parameters, of_part, .. } = discriminator_state;
    let TrainParameters { layout, weights, gradients, .. } = parameters;
    let size = sizes.get(maps.batch, |_| discriminator::workspace_size(d, *config, maps));
    let mut workspace = buffers.workspace(d, size)?;
    let workspace = &mut workspace;
    on(d, || {
        let reconstructions = (pictures, maps);
        let adversarial = discriminator::generator_loss(
            d,
            *config,
            layout,
            weights,
            whole,
            workspace,
            reconstructions,
        )?;
        d.fill(shared, 0.0)?;
        d.add_scaled(shared, whole, share)?;
        d.fill(of_part, 0.0)?;
        let mut own = 0.0;
        for (pictures, target) in [(originals, GanTarget::Real), (pictures, GanTarget::Made)] {
            let pictures = (pictures, maps);
            own += discriminator::discriminator_loss(
                d, *config, layout, weights, of_part, workspace, pictures, target,
            )?;
        }
        d.add_scaled(gradients, of_part, share)?;
        Ok([adversarial, own])
    })
}
