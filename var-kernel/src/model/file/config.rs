//! The configuration of a model file: JSON in its metadata, the rest by shapes.

use super::json::Json;
use super::tensors::{MAX_DIMS, Tensors};
use crate::model::bind::{TRANSFORMER, VQVAE};
use crate::model::config::{ChannelMultipliers, Refinement};
use crate::model::{Ladder, VarConfig, VqvaeConfig};
use crate::ops::nearest_code::Distance;

/// Both configurations, from the metadata and from shapes.
pub(super) fn configs(text: &[u8], tensors: &Tensors<'_>) -> Option<(VarConfig, VqvaeConfig)> {
    let (mut sides, mut scales) = ([0; MAX_DIMS], 0);
    let (mut levels, mut level_count) = ([0; MAX_DIMS], 0);
    let (mut depth, mut width, mut heads, mut classes) = (0, 0, 0, 0);
    let (mut unit_length, mut shared_modulation) = (false, false);
    let (mut codes, mut latent, mut channels) = (0, 0, 0);
    let (mut encoder_blocks, mut decoder_blocks) = (0, 0);
    let (mut refinements, mut refinement_ratio, mut by_angle) = (0, 0.5, false);
    let mut halves = 0;
    Json::nested(text).object(&mut |half, value| match half {
        b"var" => {
            halves |= 1;
            value.object(&mut |key, value| {
                match key {
                    b"depth" => depth = value.integer()?,
                    b"width" => width = value.integer()?,
                    b"heads" => heads = value.integer()?,
                    b"classes" => classes = value.integer()?,
                    b"ladder" => scales = value.integers(&mut sides)?,
                    b"unit_length" => unit_length = value.boolean()?,
                    b"shared_modulation" => shared_modulation = value.boolean()?,
                    _ => value.skip()?,
                }
                Some(())
            })
        }
        b"vae" => {
            halves |= 2;
            value.object(&mut |key, value| {
                match key {
                    b"codes" => codes = value.integer()?,
                    b"latent" => latent = value.integer()?,
                    b"channels" => channels = value.integer()?,
                    b"multipliers" => level_count = value.integers(&mut levels)?,
                    b"encoder_blocks" => encoder_blocks = value.integer()?,
                    b"decoder_blocks" => decoder_blocks = value.integer()?,
                    b"refinements" => refinements = value.integer()?,
                    b"refinement_ratio" => refinement_ratio = value.number()?,
                    b"unit_length_codes" => by_angle = value.boolean()?,
                    _ => value.skip()?,
                }
                Some(())
            })
        }
        _ => value.skip(),
    })?;
    if halves != 3 {
        return None;
    }
    let hidden = tensors.entry(format_args!("{TRANSFORMER}blocks.0.ffn.fc1.weight"))?.shape[0];
    let code_width = tensors.entry(format_args!("{VQVAE}quantize.embedding.weight"))?.shape[1];
    if code_width != latent {
        return None;
    }
    let ladder = Ladder::new(&sides[..scales]).ok()?;
    let multipliers = ChannelMultipliers::new(&levels[..level_count]).ok()?;
    let refinement = match refinements {
        0 => Refinement::PerScale,
        1 => Refinement::Shared,
        count => Refinement::Partial(count),
    };
    let distance = if by_angle { Distance::Angle } else { Distance::Euclidean };
    let var = VarConfig {
        depth,
        width,
        heads,
        hidden,
        classes,
        codes,
        latent,
        ladder,
        unit_length,
        shared_modulation,
    };
    let vae = VqvaeConfig {
        codes,
        latent,
        channels,
        multipliers,
        encoder_blocks,
        decoder_blocks,
        ladder,
        refinement,
        refinement_ratio,
        distance,
    };
    Some((var, vae))
}
