//! Gradients of group normalization on the CPU: an image a task.
//!
//! Mean and deviation are recomputed from x, which the gradient reads anyway.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::ops::group_norm::{Activation, Dims, moments};
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::{Forward, GroupNormBackward};
use crate::grad::elementwise::silu_slope;

/// Floats of a piece (64 KiB): positions are summed within pieces, then the pieces.
const PIECE: usize = 1 << 14;

/// Most floats of an image (512 KiB) for which dy is kept between the two sweeps, not recomputed.
const KEPT: usize = 1 << 17;

impl GroupNormBackward for Cpu<'_> {
    fn group_norm_backward_sums(&self, d: Dims) -> usize {
        d.batch * 2 * d.channels
    }

    fn group_norm_backward_x(
        &self,
        dx: Option<&mut [f32]>,
        sums: &mut [f32],
        dout: &[f32],
        of: Forward<'_, [f32]>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let picture = d.positions * d.channels;
        let lengths = [dout.len(), of.x.len(), of.weight.len(), of.bias.len()];
        let wanted = [d.batch * picture, d.batch * picture, d.channels, d.channels];
        assert_eq!(lengths, wanted, "group_norm's gradient: not the sizes of the forward pass");
        if picture == 0 {
            sums.fill(0.0);
            return Ok(());
        }
        let isa = self.isa();
        let sums = sums[..d.batch * 2 * d.channels].chunks_exact_mut(2 * d.channels);
        let mut pictures: Vec<_> = match dx {
            None => sums.map(|sums| (sums, None)).collect(),
            Some(dx) => {
                assert_eq!(dx.len(), d.batch * picture, "group_norm's gradient: dx is not like x");
                sums.zip(dx.chunks_exact_mut(picture).map(Some)).collect()
            }
        };
        self.for_each_run(&mut pictures, 1, |number, pictures, scratch| {
            let range = number * picture..(number + 1) * picture;
            let (dout, of) = (&dout[range.clone()], Forward { x: &of.x[range], ..of });
            let [(sums, dx)] = pictures else { unreachable!("an image a task") };
            isa.run(ImageSums { sums, dx: dx.as_deref_mut(), dout, of, scratch, d });
        });
        Ok(())
    }

    fn group_norm_backward_parameters(
        &self,
        [dweight, dbias]: [&mut [f32]; 2],
        sums: &[f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        assert_eq!([dweight.len(), dbias.len()], [d.channels; 2], "group_norm: not channels");
        for sums in sums[..d.batch * 2 * d.channels].chunks_exact(2 * d.channels) {
            let (of_dy, of_product) = sums.split_at(d.channels);
            dbias.iter_mut().zip(of_dy).for_each(|(into, sum)| *into += sum);
            dweight.iter_mut().zip(of_product).for_each(|(into, sum)| *into += sum);
        }
        Ok(())
    }
}

/// Each channel's mean and 1/deviation.
struct ChannelStats<'a> {
    mean: &'a [f32],
    factor: &'a [f32],
}

impl<'a> ChannelStats<'a> {
    /// Those of an image, and the rest of the scratch memory.
    #[inline(always)]
    fn of<S: Simd>(
        s: S,
        scratch: &'a mut [f32],
        of: Forward<'_, [f32]>,
        d: Dims,
    ) -> (Self, &'a mut [f32]) {
        let width = d.channels / d.groups;
        let (mean, scratch) = scratch.split_at_mut(d.channels);
        let (factor, scratch) = scratch.split_at_mut(d.channels);
        // The groups' numbers are the first ones, then spread over the channels from the last on.
        moments::of_picture(s, [&mut *mean, &mut *factor], of.x, of.eps, scratch, d);
        for channel in (0..d.channels).rev() {
            mean[channel] = mean[channel / width];
            factor[channel] = factor[channel / width];
        }
        (Self { mean, factor }, scratch)
    }
}

/// A channel block's constants in vectors.
#[derive(Clone, Copy)]
struct ChannelBlock<V> {
    mean: V,
    factor: V,
    weight: V,
    bias: V,
    activation: Activation,
}

impl<V: Copy> ChannelBlock<V> {
    #[inline(always)]
    fn of<S: Simd<F32 = V>>(
        s: S,
        normal: &ChannelStats<'_>,
        of: Forward<'_, [f32]>,
        channels: core::ops::Range<usize>,
    ) -> Self {
        Self {
            mean: s.load_or(&normal.mean[channels.clone()], 0.0),
            factor: s.load_or(&normal.factor[channels.clone()], 0.0),
            weight: s.load_or(&of.weight[channels.clone()], 0.0),
            bias: s.load_or(&of.bias[channels], 0.0),
            activation: of.activation,
        }
    }

    /// n of sixteen channels.
    #[inline(always)]
    fn n<S: Simd<F32 = V>>(&self, s: S, x: V) -> V {
        s.mul(s.sub(x, self.mean), self.factor)
    }

    /// n and dy of sixteen channels.
    #[inline(always)]
    fn n_and_dy<S: Simd<F32 = V>>(&self, s: S, x: V, dout: V) -> (V, V) {
        let n = self.n(s, x);
        match self.activation {
            Activation::None => (n, dout),
            Activation::Silu => {
                let y = s.mul_add(n, self.weight, self.bias);
                (n, s.mul(dout, silu_slope(s, y)))
            }
        }
    }
}

/// The sums of one image and, if it is wanted, its input's gradient.
struct ImageSums<'a> {
    sums: &'a mut [f32],
    dx: Option<&'a mut [f32]>,
    dout: &'a [f32],
    of: Forward<'a, [f32]>,
    scratch: &'a mut [f32],
    d: Dims,
}

impl SimdKernel for ImageSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, dx, dout, of, scratch, d } = self;
        let (normal, scratch) = ChannelStats::of(s, scratch, of, d);
        let keeps = of.activation != Activation::None && dout.len() <= KEPT;
        let (kept, scratch) = scratch.split_at_mut(if keeps { dout.len() } else { 0 });
        sum(s, sums, kept, &normal, dout, of, d);
        if let Some(dx) = dx {
            add(s, dx, sums, kept, &normal, dout, of, scratch, d);
        }
    }
}

/// `Σ dy` and `Σ dy · n` of each channel; each dy is kept if there is room.
#[inline(always)]
fn sum<S: Simd>(
    s: S,
    sums: &mut [f32],
    kept: &mut [f32],
    normal: &ChannelStats<'_>,
    dout: &[f32],
    of: Forward<'_, [f32]>,
    d: Dims,
) {
    let (of_dy, of_product) = sums.split_at_mut(d.channels);
    of_dy.fill(0.0);
    of_product.fill(0.0);
    let piece = (PIECE / d.channels).max(8) * d.channels;
    for start in (0..dout.len()).step_by(piece) {
        let rows = start..dout.len().min(start + piece);
        for first in (0..d.channels).step_by(LANES) {
            let channels = first..d.channels.min(first + LANES);
            let (block, count) =
                (ChannelBlock::of(s, normal, of, channels.clone()), channels.len());
            let (mut sum, mut product) = (s.splat(0.0), s.splat(0.0));
            for row in rows.clone().step_by(d.channels) {
                // Lanes past the last channel hold dout = 0, and so add nothing.
                let place = row + first..row + first + count;
                let from = s.load_or(&dout[place.clone()], 0.0);
                let x = s.load_or(&of.x[place.clone()], 0.0);
                let (n, dy) = block.n_and_dy(s, x, from);
                if !kept.is_empty() {
                    s.store_part(dy, &mut kept[place]);
                }
                sum = s.add(sum, dy);
                product = s.mul_add(dy, n, product);
            }
            for (into, of_piece) in [(&mut *of_dy, sum), (&mut *of_product, product)] {
                let into = &mut into[channels.clone()];
                s.store_part(s.add(s.load_or(into, 0.0), of_piece), into);
            }
        }
    }
}

/// Adds the input's gradient, given the sums and any dy that was kept.
#[inline(always)]
fn add<S: Simd>(
    s: S,
    dx: &mut [f32],
    sums: &[f32],
    kept: &[f32],
    normal: &ChannelStats<'_>,
    dout: &[f32],
    of: Forward<'_, [f32]>,
    scratch: &mut [f32],
    d: Dims,
) {
    let (of_dy, of_product) = sums.split_at(d.channels);
    // Each channel's mean of g and of g · n over its group.
    let (mean_g, rest) = scratch.split_at_mut(d.channels);
    let (mean_gn, _) = rest.split_at_mut(d.channels);
    let width = d.channels / d.groups;
    let count = (d.positions * width) as f32;
    for group in (0..d.channels).step_by(width) {
        let channels = group..group + width;
        let (mut g, mut gn) = (0.0, 0.0);
        for c in channels.clone() {
            g += of.weight[c] * of_dy[c];
            gn += of.weight[c] * of_product[c];
        }
        mean_g[channels.clone()].fill(g / count);
        mean_gn[channels].fill(gn / count);
    }
    let piece = (PIECE / d.channels).max(8) * d.channels;
    for start in (0..dx.len()).step_by(piece) {
        let rows = start..dx.len().min(start + piece);
        for first in (0..d.channels).step_by(LANES) {
            let channels = first..d.channels.min(first + LANES);
            let (block, width) =
                (ChannelBlock::of(s, normal, of, channels.clone()), channels.len());
            let mean_g = s.load_or(&mean_g[channels.clone()], 0.0);
            let mean_gn = s.load_or(&mean_gn[channels], 0.0);
            for row in rows.clone().step_by(d.channels) {
                let place = row + first..row + first + width;
                let x = s.load_or(&of.x[place.clone()], 0.0);
                let (n, dy) = if kept.is_empty() {
                    block.n_and_dy(s, x, s.load_or(&dout[place.clone()], 0.0))
                } else {
                    (block.n(s, x), s.load_or(&kept[place.clone()], 0.0))
                };
                let g = s.mul(dy, block.weight);
                let inner = s.sub(s.sub(g, mean_g), s.mul(n, mean_gn));
                let dx = &mut dx[place];
                s.store_part(s.mul_add(inner, block.factor, s.load_or(dx, 0.0)), dx);
            }
        }
    }
}
