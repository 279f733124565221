//! Losses and gradients of one microbatch of a VQVAE.

use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::weights::FeatureShape;
use var_kernel::ops::resize;

use super::critic::{self, Critic};
use super::pixels::{self, Differences};
use super::trainer::Trainer;
use crate::grad::{ResizeBackward, Sums};
use crate::train::buckets::{BUCKET, Overlap};
use crate::train::codebook::{Residuals, Spread};
use crate::train::discriminator::{self, Aim};
use crate::train::home::Home;
use crate::train::room::Buffers;
use crate::train::{TrainError, vqvae};

/// Results of the microbatches besides gradients.
pub(super) struct Learnt {
    /// Residuals quantized by each scale.
    pub(super) residuals: Residuals,
    /// Losses times their images: absolute and squared differences, LPIPS, the quantizer's, the
    /// judgement, the discriminator's own.
    pub(super) sums: [f64; 6],
}

impl Learnt {
    pub(super) fn new(scales: usize) -> Self {
        Self { residuals: Residuals::new(scales), sums: [0.0; 6] }
    }
}

impl<H: Home> Trainer<H> {
    /// Adds the gradients of one part, its losses times its images, and its features; `sums_begin`: and
    /// begins to add the gradients up over ranks.
    pub(super) fn learn_part(
        &mut self,
        d: &H::Device<'_>,
        cpu: &Cpu<'_>,
        originals: &[f32],
        adversarial: f32,
        learnt: &mut Learnt,
        sums_begin: bool,
    ) -> Result<(), TrainError> {
        let (config, layout, weights) = (self.config, &self.layout, &*self.weights);
        let images = originals.len() / (3 * config.side() * config.side());
        let (count, share) = (images as f64, images as f32 / self.recipe.batch as f32);
        let [own, judging] = &mut self.rooms;
        let [of_originals, of_judgement, of_share, of_latents] = &mut self.aside;
        let mut room = own.room(d, vqvae::needs(d, config, images))?;
        let step = vqvae::Step::forward(d, config, layout, weights, &mut room, originals)
            .map_err(Into::into)?;
        let of_part = Residuals::of(d, &config, &step, room.values).map_err(Into::into)?;
        let factors = self.recipe.weights;
        let maps = critic::maps(images, config.side());
        let Learnt { residuals, sums } = learnt;

        let pictures = step.pictures.of(room.values);
        let gradient = step.plan.of(step.pictures).of_mut(room.gradients);
        let mut of_pixels = vec![0.0; originals.len()];
        let mut on_host = vec![0.0; originals.len()];
        d.download(&mut on_host, pictures).map_err(Into::into)?;
        let differences = Differences::of(&on_host, originals);
        let all = originals.len() / images * self.recipe.batch as usize;
        let weights_of_pixels = [factors.absolute, factors.squared];
        pixels::backward(&mut of_pixels, &on_host, originals, weights_of_pixels, all);
        d.upload(gradient, &of_pixels).map_err(Into::into)?;
        sums[0] += count * differences.absolute;
        sums[1] += count * differences.squared;
        sums[3] += count * step.quantizer_loss();
        let judged = self.perceptual.is_some() || adversarial > 0.0;
        let on_device = H::room(d, of_originals, if judged { originals.len() } else { 0 })?;
        if judged {
            d.upload(on_device, originals).map_err(Into::into)?;
        }
        if let Some((perceptual, network)) = &self.perceptual {
            let mut room = judging.room(d, perceptual.needs(d, maps))?;
            let factor = factors.perceptual / self.recipe.batch as f32;
            let both = [pictures, &*on_device];
            let distances = perceptual
                .learn(d, network, &mut room, both, maps, gradient, factor)
                .map_err(Into::into)?;
            sums[2] += distances.into_iter().map(f64::from).sum::<f64>();
        }
        if adversarial > 0.0
            && let (Some(critic), Some(last)) = (&mut self.critic, &mut self.last)
        {
            let into = [
                H::room(d, of_judgement, originals.len())?,
                H::room(d, of_share, originals.len())?,
            ];
            let of_both = [pictures, &*on_device];
            let judged = judge(d, critic, maps, share, judging, of_both, into)?;
            let of_pictures = [&*gradient, judged.gradient];
            for (into, dout) in last.iter_mut().zip(of_pictures) {
                let (values, scratch) = (&*room.values, &mut *room.scratch);
                step.last_weight_gradient(d, values, dout, into, scratch).map_err(Into::into)?;
            }
            sums[4] += count * judged.adversarial;
            sums[5] += count * judged.discriminator;
            let factor = adversarial * critic.ratio[0];
            d.add_scaled(gradient, judged.gradient, factor).map_err(Into::into)?;
        }

        if factors.spread > 0.0 && self.keeper.usage.steps > 0 {
            let spread = Spread { weight: factors.spread * share };
            let mut codebook = vec![0.0; self.keeper.range.len()];
            let run = weights.range(self.keeper.range.clone());
            d.download(&mut codebook, run).map_err(Into::into)?;
            let usage = &self.keeper.usage;
            let of_scales = spread.gradients(cpu, usage, &of_part, &codebook, config.latent);
            let into = step.plan.of(step.latents).of_mut(room.gradients);
            for (scale, of_scale) in of_scales.iter().enumerate() {
                let run = H::room(d, of_latents, of_scale.len())?;
                d.upload(run, of_scale).map_err(Into::into)?;
                let (from, to) = (config.ladder.finest(), config.ladder.sides()[scale]);
                let size = resize::Dims { batch: images, from, to, channels: config.latent };
                d.area_backward(into, run, size).map_err(Into::into)?;
            }
        }
        residuals.append(&of_part);
        let weight = factors.quantizer * share;
        let (gradients, group) = (&mut self.gradients, &mut self.group);
        let mut begin = |run: &mut H::Slice| H::begin_sum(d, group, run);
        let overlap = sums_begin.then_some(Overlap { floats: BUCKET, begin: &mut begin });
        step.backward(d, layout, weights, gradients, &mut room, weight, overlap).map_err(Into::into)
    }
}

/// The discriminator's loss on a microbatch.
struct Judged<'m, S: ?Sized> {
    gradient: &'m S,
    adversarial: f64,
    discriminator: f64,
}

/// Has the discriminator judge reconstructions, and learn from both kinds of pictures.
///
/// `whole` and `shared`: memory for the gradient of the part's mean, and for its share of the batch's.
fn judge<'m, H: Home>(
    d: &H::Device<'_>,
    critic: &mut Critic<H>,
    maps: FeatureShape,
    share: f32,
    buffers: &mut Buffers<H>,
    [pictures, originals]: [&H::Slice; 2],
    [whole, shared]: [&'m mut H::Slice; 2],
) -> Result<Judged<'m, H::Slice>, TrainError> {
    let Critic { config, layout, weights, gradients, of_part, .. } = critic;
    let mut room = buffers.room(d, discriminator::needs(d, *config, maps))?;
    let room = &mut room;
    let adversarial =
        discriminator::mislead(d, *config, layout, weights, whole, room, (pictures, maps))
            .map_err(Into::into)?;
    d.fill(shared, 0.0).map_err(Into::into)?;
    d.add_scaled(shared, whole, share).map_err(Into::into)?;
    d.fill(of_part, 0.0).map_err(Into::into)?;
    let mut discriminator = 0.0;
    for (pictures, aim) in [(originals, Aim::Real), (pictures, Aim::Made)] {
        let pictures = (pictures, maps);
        discriminator +=
            discriminator::learn(d, *config, layout, weights, of_part, room, pictures, aim)
                .map_err(Into::into)?;
    }
    d.add_scaled(gradients, of_part, share).map_err(Into::into)?;
    Ok(Judged { gradient: shared, adversarial, discriminator })
}
