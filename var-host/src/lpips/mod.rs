//! LPIPS, a perceptual distance between images (Zhang and others, "The
//! Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018), on VGG16.
//!
//! [`LpipsNetwork`] computes it on any backend, also on one that records: a VQVAE is trained with it.
//! [`Lpips`] is its weights in a file, and the distance of two images on the CPU.

mod network;
#[cfg(test)]
pub(crate) mod tests;
mod weights;

use core::cell::Cell;

use var_kernel::arena::Arena;
use var_kernel::cpu::Cpu;
use var_kernel::dry::{Dry, Lengths};
use var_kernel::memory::Floats;
use var_kernel::model::weights::FeatureShape;
use var_kernel::ops::PerceptualBackend;

use crate::images::RgbImage;
use crate::model::listing::Listing;

pub use network::{Channels, LpipsFeatures, LpipsNetwork, SHORTEST_SIDE};
pub use weights::Lpips;

impl Lpips {
    /// How far apart two images are; 0 for equal ones. None if a side is under [`SHORTEST_SIDE`].
    ///
    /// `Σ_stages mean_cells Σ_c w_c · (a_c/‖a‖ − b_c/‖b‖)²`, a and b the features of a cell.
    ///
    /// # Panics
    /// If the images differ in size.
    pub fn distance(&self, cpu: &Cpu<'_>, a: &RgbImage, b: &RgbImage) -> Option<f32> {
        let size = (a.width(), a.height());
        assert_eq!(size, (b.width(), b.height()), "lpips: two sizes");
        if size.0.min(size.1) < SHORTEST_SIDE {
            return None;
        }
        let maps = FeatureShape { batch: 1, height: a.height(), width: a.width() };
        let mut values = [a, b].map(|picture| vec![0.0; picture.rgb().len()]);
        for (values, picture) in values.iter_mut().zip([a, b]) {
            picture.to_values(values);
        }

        let peak = Cell::new(0);
        let mut lengths: Lengths = [(); usize::MAX];
        let Ok(dry) =
            LpipsNetwork::<Dry<'_, Cpu<'_>>>::bind(&mut Listing::default(), self.channels());
        let pictures = [(); usize::MAX];
        let pictures = [pictures.range(0..values[0].len()); 2];
        let mut arena = Arena::measured(&mut lengths[..], &peak);
        let Ok(()) = between(&Dry::new(cpu), &dry, &mut [()], pictures, maps, &mut arena);

        let mut memory = vec![0.0; peak.get()];
        let Ok(network) = LpipsNetwork::bind(&mut self.source(), self.channels());
        let mut distance = [0.0];
        let pictures = values.each_ref().map(Vec::as_slice);
        let mut arena = Arena::new(&mut memory[..]);
        let Ok(()) = between(cpu, &network, &mut distance, pictures, maps, &mut arena);
        Some(distance[0])
    }
}

/// The distances of images from others.
fn between<B: PerceptualBackend>(
    b: &B,
    network: &LpipsNetwork<'_, B>,
    out: &mut B::Slice,
    pictures: [&B::Slice; 2],
    maps: FeatureShape,
    arena: &mut Arena<'_, B::Slice>,
) -> Result<(), B::Error> {
    let mut arena = arena.scope();
    let mut features = [(); 2].map(|()| network.room_for_features(maps, &mut arena));
    for (features, pictures) in features.iter_mut().zip(pictures) {
        network.features(b, features, pictures, maps, &mut arena)?;
    }
    let [first, second] = features;
    network.distance(b, out, &first, &second, maps, &mut arena)
}
