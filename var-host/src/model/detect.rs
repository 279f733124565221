//! A model's configuration, read off its tensors' names and shapes.

use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use super::settings::VarSettings;
use super::{ModelError, ModelPart};

/// The user's settings where the files leave them open, and never against them.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// The ladder, where there is no `lvl_1L`.
    pub ladder: Option<Ladder>,
    /// Attention heads, where there is no `scale_mul_1H11`.
    pub heads: Option<usize>,
    /// Whether the checksums of files that have one are not compared.
    pub no_verify: bool,
    /// The part of a file that has several, by a segment of its tensors' names: `ema`.
    pub part: Option<String>,
}

/// Width of a head in the published models.
const PUBLISHED_HEAD_WIDTH: usize = 64;
/// The convolution's share in a refinement of the published models.
const PUBLISHED_REFINEMENT_RATIO: f32 = 0.5;

/// A transformer's configuration, and whether its number of heads is only the published rule.
/// `said`: the configuration in the file's metadata.
///
/// # Errors
/// If a tensor that tells a size is missing or misshapen, the ladder is in doubt, the sizes make
/// no model, or `hints` or `said` contradict the tensors.
pub fn transformer(
    part: &ModelPart,
    hints: &Hints,
    said: Option<&VarSettings>,
) -> Result<(VarConfig, bool), ModelError> {
    let [rows, width] = part.dims::<2>("class_emb.weight")?;
    let [_, length, _] = part.dims::<3>("pos_1LC")?;
    let [codes, _] = part.dims::<2>("head.weight")?;
    let [_, latent] = part.dims::<2>("word_embed.weight")?;
    let [hidden, _] = part.dims::<2>("blocks.0.ffn.fc1.weight")?;
    let depth = part.count("blocks.", ".ffn.fc1.weight");
    if said.is_some_and(|said| said.depth > depth) {
        let tensor = part.full_name(&format!("blocks.{depth}.ffn.fc1.weight"));
        return Err(ModelError::Missing { file: part.file().to_owned(), tensor });
    }

    let scale = "blocks.0.attn.scale_mul_1H11";
    let unit_length = part.contains(scale);
    let found = if unit_length { Some(part.dims::<4>(scale)?[1]) } else { None };
    let found = found.or(said.map(|said| said.heads));
    if let (Some(found), Some(asked)) = (found, hints.heads)
        && found != asked
    {
        return Err(not_as_asked(part, "attention heads", found, asked));
    }
    let assumed = (width / PUBLISHED_HEAD_WIDTH).max(1);
    let config = VarConfig {
        depth,
        width,
        heads: found.or(hints.heads).unwrap_or(assumed),
        hidden,
        classes: rows.saturating_sub(1),
        codes,
        latent,
        ladder: ladder(part, hints, said, length)?,
        unit_length,
        shared_modulation: part.contains("shared_ada_lin.1.weight"),
    };
    config.check().map_err(|source| part.config_error(source))?;
    if let Some(said) = said {
        said.check(&VarSettings::from(&config)).map_err(|differs| differs.of(part.file()))?;
    }
    Ok((config, found.is_none() && hints.heads.is_none()))
}

/// The ladder: from `lvl_1L`, else as the metadata says or the user, else the published one of this
/// length.
fn ladder(
    part: &ModelPart,
    hints: &Hints,
    said: Option<&VarSettings>,
    length: usize,
) -> Result<Ladder, ModelError> {
    let said = said.and_then(|said| Ladder::new(&said.ladder).ok());
    if let Some(found) = levels(part)?.or(said) {
        if let Some(asked) = hints.ladder
            && asked != found
        {
            return Err(not_as_asked(part, "ladder", found, asked));
        }
        return checked_length(part, found, length);
    }
    let published = ["256", "512", "1024"].into_iter().filter_map(Ladder::named);
    match hints.ladder.or_else(|| published.into_iter().find(|ladder| ladder.length() == length)) {
        Some(ladder) => checked_length(part, ladder, length),
        None => Err(ModelError::NoLadder { file: part.file().to_owned(), length, of: "cells" }),
    }
}

/// The ladder that `lvl_1L` tells, the scale of each position.
fn levels(part: &ModelPart) -> Result<Option<Ladder>, ModelError> {
    let Some(levels) = part.integers("lvl_1L")? else { return Ok(None) };
    let mut sides = Vec::new();
    for scale in 0..=levels.iter().copied().max().unwrap_or(0) {
        let cells = levels.iter().filter(|level| **level == scale).count();
        let side = cells.isqrt();
        if side * side != cells {
            let (file, scale) = (part.file().to_owned(), scale as usize);
            return Err(ModelError::ChannelMultipliers { file, scale, cells });
        }
        sides.push(side);
        if sides.len() > var_kernel::model::ladder::MAX_SCALES {
            break;
        }
    }
    Ladder::new(&sides).map(Some).map_err(|source| part.config_error(source))
}

fn not_as_asked(
    part: &ModelPart,
    what: &'static str,
    found: impl ToString,
    asked: impl ToString,
) -> ModelError {
    let (file, found, asked) = (part.file().to_owned(), found.to_string(), asked.to_string());
    ModelError::NotAsAsked { file, what, found, asked }
}

fn checked_length(part: &ModelPart, ladder: Ladder, length: usize) -> Result<Ladder, ModelError> {
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

/// The published ladder of a VQVAE that does not say its own: that for 256 pixels, or that for 1024 if
/// its tensors count as many scales.
///
/// # Errors
/// If its tensors count the scales of no published ladder.
pub fn published_ladder(part: &ModelPart) -> Result<Ladder, ModelError> {
    let hits = "quantize.ema_vocab_hit_SV";
    let counted = if part.contains(hits) { part.dims::<2>(hits)?[0] } else { 0 };
    let each = part.count("quantize.quant_resi.", ".weight");
    let scales = if each > 0 { each } else { counted };
    let mut published = ["256", "1024"].into_iter().filter_map(Ladder::named);
    let found = published.find(|ladder| scales == 0 || ladder.scales() == scales);
    let file = || part.file().to_owned();
    found.ok_or_else(|| ModelError::NoLadder { file: file(), length: scales, of: "scales" })
}

/// A VQVAE's configuration; its ladder is `ladder`.
///
/// # Errors
/// If a tensor that tells a size is missing or misshapen, or the sizes make no model.
pub fn vqvae(part: &ModelPart, ladder: Ladder) -> Result<VqvaeConfig, ModelError> {
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
        multipliers: ChannelMultipliers::new(&multipliers)
            .map_err(|source| part.config_error(source))?,
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
