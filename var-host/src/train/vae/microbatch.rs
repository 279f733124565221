//! Losses and gradients of one microbatch of a VQVAE.

use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::VqvaeConfig;
use var_kernel::model::weights::FeatureShape;
use var_kernel::ops::resize;

use super::critic::{self, Critic};
use super::keeper::Keeper;
use super::losses::Losses;
use super::pixels::{self, Differences};
use super::recipe::Recipe;
use crate::grad::{ResizeBackward, Sums};
use crate::train::buckets::{BUCKET, Overlap};
use crate::train::codebook::{Residuals, Spread};
use crate::train::discriminator::{self, Aim};
use crate::train::parameters::Parameters;
use crate::train::perceptual::Perceptual;
use crate::train::room::{Buffers, Room};
use crate::train::storage::{AllReduce, Storage};
use crate::train::{TrainError, on, vqvae};

/// The VQVAE.
pub(super) struct Network<'t, S: Storage> {
    pub(super) config: VqvaeConfig,
    pub(super) recipe: &'t Recipe,
    pub(super) parameters: &'t mut Parameters<S>,
    pub(super) keeper: &'t Keeper,
}

/// Networks that judge the reconstructions for the loss.
pub(super) struct Judges<'t, S: Storage> {
    /// LPIPS and its weights.
    pub(super) perceptual: Option<&'t (Perceptual, S::Buffer)>,
    /// The discriminator, and the gradients of the decoder's last convolution: of the other losses, and
    /// of the adversarial one.
    pub(super) critic: Option<(&'t mut Critic<S>, &'t mut [S::Buffer; 2])>,
}

/// Working memory of the network itself and of those that judge its pictures; originals, gradients of
/// the discriminator's loss, and latents' gradients.
pub(super) type Working<'t, S> = (&'t mut [Buffers<S>; 2], &'t mut [<S as Storage>::Workspace; 4]);

/// Adds the gradients of a microbatch; returns its losses times its images, and its residuals.
///
/// `adversarial`: weight of the discriminator's judgement. `all_reduce`: with it, the sums over ranks
/// begin during the backward pass.
pub(super) fn learn<S: Storage>(
    d: &S::Device<'_>,
    cpu: &Cpu<'_>,
    network: Network<'_, S>,
    judges: Judges<'_, S>,
    adversarial: f32,
    originals: &[f32],
    (rooms, aside): Working<'_, S>,
    all_reduce: Option<&mut S::AllReduce>,
) -> Result<(Losses, Residuals), TrainError> {
    let Network { config, recipe, parameters, keeper } = network;
    let Parameters { layout, weights, gradients, .. } = parameters;
    let (layout, weights) = (&*layout, &**weights);
    let images = originals.len() / (3 * config.side() * config.side());
    let (count, share) = (images as f64, images as f32 / recipe.batch as f32);
    let [own, judging] = rooms;
    let [of_originals, of_judgement, of_share, of_latents] = aside;
    let mut room = own.room(d, vqvae::needs(d, config, images))?;
    let (step, residuals) = on(d, || {
        let step = vqvae::Step::forward(d, config, layout, weights, &mut room, originals)?;
        let residuals = Residuals::of(d, &config, &step, room.values)?;
        Ok((step, residuals))
    })?;
    let factors = recipe.weights;
    let maps = critic::maps(images, config.side());
    let mut sums = Losses { quantizer: count * step.quantizer_loss(), ..Losses::default() };

    let pictures = step.pictures.of(room.values);
    let gradient = step.plan.of(step.pictures).of_mut(room.gradients);
    let mut of_pixels = vec![0.0; originals.len()];
    let mut on_host = vec![0.0; originals.len()];
    on(d, || d.download(&mut on_host, pictures))?;
    let differences = Differences::of(&on_host, originals);
    let all = originals.len() / images * recipe.batch as usize;
    let weights_of_pixels = [factors.absolute, factors.squared];
    pixels::backward(&mut of_pixels, &on_host, originals, weights_of_pixels, all);
    on(d, || d.upload(gradient, &of_pixels))?;
    sums.pixels.absolute = count * differences.absolute;
    sums.pixels.squared = count * differences.squared;
    let judged = judges.perceptual.is_some() || judges.critic.is_some();
    let on_device = S::workspace(d, of_originals, if judged { originals.len() } else { 0 })?;
    if judged {
        on(d, || d.upload(on_device, originals))?;
    }
    let both = [pictures, &*on_device];
    if let Some((perceptual, network)) = judges.perceptual {
        let mut room = judging.room(d, perceptual.needs(d, maps))?;
        let factor = factors.perceptual / recipe.batch as f32;
        let distances =
            on(d, || perceptual.learn(d, network, &mut room, both, maps, gradient, factor))?;
        sums.perceptual = distances.into_iter().map(f64::from).sum::<f64>();
    }
    if let Some((critic, last)) = judges.critic {
        let [whole, shared] = [
            S::workspace(d, of_judgement, originals.len())?,
            S::workspace(d, of_share, originals.len())?,
        ];
        let losses = judge(d, critic, maps, share, judging, both, [whole, &mut *shared])?;
        [sums.adversarial, sums.discriminator] = losses.map(|loss| count * loss);
        let factor = adversarial * critic.ratio[0];
        on(d, || {
            for (into, dout) in last.iter_mut().zip([&*gradient, &*shared]) {
                let (values, scratch) = (&*room.values, &mut *room.scratch);
                step.last_weight_gradient(d, values, dout, into, scratch)?;
            }
            d.add_scaled(gradient, shared, factor)
        })?;
    }
    if factors.spread > 0.0 && keeper.usage.steps > 0 {
        let spread = Spread { weight: factors.spread * share };
        let codebook = weights.range(keeper.range.clone());
        add_spread::<S>(
            d,
            cpu,
            spread,
            &residuals,
            (keeper, codebook),
            &step,
            config,
            &mut room,
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
    on(d, || step.backward(d, layout, weights, gradients, &mut room, weight, overlap))?;
    Ok((sums, residuals))
}

/// Adds the gradients of the even use of the codes to those of the latents.
fn add_spread<S: Storage>(
    d: &S::Device<'_>,
    cpu: &Cpu<'_>,
    spread: Spread,
    residuals: &Residuals,
    (keeper, codebook): (&Keeper, &S::Slice),
    step: &vqvae::Step,
    config: VqvaeConfig,
    room: &mut Room<'_, S::Slice>,
    of_latents: &mut S::Workspace,
) -> Result<(), TrainError> {
    let images = step.tokens.len() / config.ladder.length();
    let mut codes = vec![0.0; keeper.range.len()];
    on(d, || d.download(&mut codes, codebook))?;
    let of_scales = spread.gradients(cpu, &keeper.usage, residuals, &codes, config.latent);
    let into = step.plan.of(step.latents).of_mut(room.gradients);
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

/// Has the discriminator judge reconstructions, and learn from both kinds of pictures; returns the
/// adversarial loss and its own.
///
/// `whole` and `shared`: memory for the gradient of the part's mean, and for its share of the batch's.
fn judge<S: Storage>(
    d: &S::Device<'_>,
    critic: &mut Critic<S>,
    maps: FeatureShape,
    share: f32,
    buffers: &mut Buffers<S>,
    [pictures, originals]: [&S::Slice; 2],
    [whole, shared]: [&mut S::Slice; 2],
) -> Result<[f64; 2], TrainError> {
    let Critic { config, parameters, of_part, .. } = critic;
    let Parameters { layout, weights, gradients, .. } = parameters;
    let mut room = buffers.room(d, discriminator::needs(d, *config, maps))?;
    let room = &mut room;
    on(d, || {
        let reconstructions = (pictures, maps);
        let adversarial =
            discriminator::mislead(d, *config, layout, weights, whole, room, reconstructions)?;
        d.fill(shared, 0.0)?;
        d.add_scaled(shared, whole, share)?;
        d.fill(of_part, 0.0)?;
        let mut own = 0.0;
        for (pictures, aim) in [(originals, Aim::Real), (pictures, Aim::Made)] {
            let pictures = (pictures, maps);
            own += discriminator::learn(d, *config, layout, weights, of_part, room, pictures, aim)?;
        }
        d.add_scaled(gradients, of_part, share)?;
        Ok([adversarial, own])
    })
}
