//! Images → tokens, tokens → images.

use serde_json::json;
use var_host::checkpoint::Digest;
use var_host::pipeline::parameters;
use var_host::{Model, RgbImage};

use super::report::{Numbered, Reporter};
use super::stopped::Stopped;
use crate::jobs::Event;

/// The only image of a job.
const ONLY: Numbered = Numbered { image: 0, index: 0 };

/// Tells of an image's tokens.
pub(super) fn encode(
    model: &mut Model,
    report: Reporter<'_>,
    picture: &RgbImage,
) -> Result<(), Stopped> {
    let tokens = model.encode(picture)?;
    report.event(Event::tokens(&report.maps(&tokens)));
    Ok(())
}

/// Tells of an image after each scale of its own tokens.
pub(super) fn reconstruct(
    model: &mut Model,
    report: Reporter<'_>,
    picture: &RgbImage,
    name: Option<String>,
) -> Result<(), Stopped> {
    let tokens = model.encode(picture)?;
    let whole = scales(model, report, &tokens)?;
    let mut own = parameters::of_model("reconstruct", model.name(), model.weights());
    own.insert("exif".to_owned(), "applied".to_owned());
    own.extend(name.map(|name| ("image".to_owned(), name)));
    report.image(&whole, &own, json!({ "index": 0 }))
}

/// Tells of the image of `tokens` after each scale; a class is noted only.
pub(super) fn decode(
    model: &mut Model,
    report: Reporter<'_>,
    tokens: &[u32],
    label: Option<u32>,
) -> Result<(), Stopped> {
    let whole = scales(model, report, tokens)?;
    let mut own = parameters::of_model("decode", model.name(), model.weights());
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    own.insert("tokens_digest".to_owned(), Digest::of_bytes(&bytes).to_string());
    own.insert("index".to_owned(), "0".to_owned());
    let mut about = json!({ "index": 0 });
    if let Some(label) = label {
        let number = report.description.class_number(label);
        own.insert("class".to_owned(), number.to_string());
        about["label"] = number.into();
        about["name"] = report.description.class_name(label).into();
    }
    report.image(&whole, &own, about)
}

/// The image of `tokens`, told of after each scale.
fn scales(model: &mut Model, report: Reporter<'_>, tokens: &[u32]) -> Result<RgbImage, Stopped> {
    let maps = report.maps(tokens);
    let mut told = Ok(());
    let whole = model.decode_with(tokens, |scale, picture| {
        if told.is_ok() {
            told = report.scale(ONLY, scale, maps[scale].clone(), Some(&picture));
        }
    })?;
    told.map(|()| whole)
}
