//! A model's configuration, read off its tensors' names and shapes.

use var_kernel::model::config::{Levels, Refinement};
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use super::{ModelError, Part};

/// What a file may leave open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// The ladder, where there is no `lvl_1L`.
    pub ladder: Option<Ladder>,
    /// Attention heads, where there is no `scale_mul_1H11`.
    pub heads: Option<usize>,
    /// Whether the checksums of files that have one are not compared.
    pub no_verify: bool,
}

/// Width of a head in the published models.
const PUBLISHED_HEAD_WIDTH: usize = 64;
/// The convolution's share in a refinement of the published models.
const PUBLISHED_REFINEMENT_RATIO: f32 = 0.5;

/// A transformer's configuration, and whether its number of heads is only the published rule.
///
/// # Errors
/// If a tensor that tells a size is missing or misshapen, the ladder is in doubt, or the sizes make
/// no model.
pub fn transformer(part: &Part, hints: Hints) -> Result<(VarConfig, bool), ModelError> {
    let [rows, width] = part.dims::<2>("class_emb.weight")?;
    let [_, length, _] = part.dims::<3>("pos_1LC")?;
    let [codes, _] = part.dims::<2>("head.weight")?;
    let [_, latent] = part.dims::<2>("word_embed.weight")?;
    let [hidden, _] = part.dims::<2>("blocks.0.ffn.fc1.weight")?;
    let depth = part.count("blocks.", ".ffn.fc1.weight");

    let scale = "blocks.0.attn.scale_mul_1H11";
    let unit_length = part.contains(scale);
    let found = if unit_length { Some(part.dims::<4>(scale)?[1]) } else { None };
    let heads = found.or(hints.heads).unwrap_or((width / PUBLISHED_HEAD_WIDTH).max(1));
    let config = VarConfig {
        depth,
        width,
        heads,
        hidden,
        classes: rows.saturating_sub(1),
        codes,
        latent,
        ladder: ladder(part, hints, length)?,
        unit_length,
        shared_modulation: part.contains("shared_ada_lin.1.weight"),
    };
    config.check().map_err(|source| part.config_error(source))?;
    Ok((config, found.is_none() && hints.heads.is_none()))
}

/// The ladder: from `lvl_1L`, else as given, else the published one of this length.
fn ladder(part: &Part, hints: Hints, length: usize) -> Result<Ladder, ModelError> {
    if let Some(levels) = part.integers("lvl_1L")? {
        let mut sides = Vec::new();
        for scale in 0..=levels.iter().copied().max().unwrap_or(0) {
            let cells = levels.iter().filter(|level| **level == scale).count();
            let side = cells.isqrt();
            if side * side != cells {
                let (file, scale) = (part.file().to_owned(), scale as usize);
                return Err(ModelError::Levels { file, scale, cells });
            }
            sides.push(side);
            if sides.len() > var_kernel::model::config::MOST_SCALES {
                break;
            }
        }
        let found = Ladder::new(&sides).map_err(|source| part.config_error(source))?;
        return checked_length(part, hints.ladder.unwrap_or(found), length);
    }
    let published = ["256", "512", "1024"].into_iter().filter_map(Ladder::named);
    match hints.ladder.or_else(|| published.into_iter().find(|ladder| ladder.length() == length)) {
        Some(ladder) => checked_length(part, ladder, length),
        None => Err(ModelError::NoLadder { file: part.file().to_owned(), length }),
    }
}

fn checked_length(part: &Part, ladder: Ladder, length: usize) -> Result<Ladder, ModelError> {
    if ladder.length() == length {
        Ok(ladder)
    } else {
        Err(ModelError::LadderLength {
            file: part.file().to_owned(),
            given: Box::new(ladder),
            length,
        })
    }
}

/// A VQVAE's configuration; its ladder is `ladder`.
///
/// # Errors
/// If a tensor that tells a size is missing or misshapen, or the sizes make no model.
pub fn vqvae(part: &Part, ladder: Ladder) -> Result<VqvaeConfig, ModelError> {
    let [codes, latent] = part.dims::<2>("quantize.embedding.weight")?;
    let [channels, _, _, _] = part.dims::<4>("encoder.conv_in.weight")?;
    let levels = part.count("encoder.down.", ".block.0.conv1.weight");
    let mut multipliers = Vec::new();
    for level in 0..levels {
        let name = format!("encoder.down.{level}.block.0.conv1.weight");
        multipliers.push(part.dims::<4>(&name)?[0] / channels.max(1));
    }
    let base = "quantize.quant_resi";
    let (refinement, refinement_ratio) = if part.contains(&format!("{base}.qresi.weight")) {
        (Refinement::Shared, PUBLISHED_REFINEMENT_RATIO)
    } else {
        let partial = part.count(&format!("{base}.qresi_ls."), ".weight");
        let each = part.count(&format!("{base}."), ".weight");
        match (partial, each) {
            (0, 0) => (Refinement::Shared, 0.0),
            (0, _) => (Refinement::PerScale, PUBLISHED_REFINEMENT_RATIO),
            (count, _) => (Refinement::Partial(count), PUBLISHED_REFINEMENT_RATIO),
        }
    };
    let config = VqvaeConfig {
        codes,
        latent,
        channels,
        multipliers: Levels::new(&multipliers).map_err(|source| part.config_error(source))?,
        encoder_blocks: part.count("encoder.down.0.block.", ".conv1.weight"),
        decoder_blocks: part.count("decoder.up.0.block.", ".conv1.weight"),
        ladder,
        refinement,
        refinement_ratio,
        distance: Distance::Euclidean,
    };
    config.check().map_err(|source| part.config_error(source))?;
    Ok(config)
}
