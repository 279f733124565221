//! Images in requests: base64 of a file, checked by its header before it is decoded.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use var_host::RgbImage;
use var_host::images::{Exif, ImageFault, square as to_square};

use super::bounds::Bounds;
use super::fields::{Fields, wrong_type};
use crate::fault::{Fault, Kind};

/// The image in the field `option` as the model takes it.
pub(super) fn square(
    option: &str,
    fields: &mut Fields,
    bounds: &Bounds<'_>,
) -> Result<RgbImage, Fault> {
    let picture = decode(option, &fields.wanted(option)?, bounds)?;
    to_side(option, &picture, bounds)
}

/// An image in its own size, turned upright as EXIF says.
pub(super) fn decode(option: &str, value: &Value, bounds: &Bounds<'_>) -> Result<RgbImage, Fault> {
    let Value::String(text) = value else {
        return Err(wrong_type(option, value, "the base64 of an image file"));
    };
    let bytes = BASE64_STANDARD
        .decode(text)
        .map_err(|error| Fault::of(Kind::Image, option, format!("is no base64: {error}")))?;
    let decoded = RgbImage::from_bytes_within(&bytes, Exif::Applied, bounds.limits.pixels);
    decoded.map_err(|fault| of_image(option, &fault))
}

/// The image with its shorter side resized to the model's and the middle cut out.
pub(super) fn to_side(
    option: &str,
    picture: &RgbImage,
    bounds: &Bounds<'_>,
) -> Result<RgbImage, Fault> {
    to_square(picture, bounds.model.side).map_err(|fault| of_image(option, &fault))
}

fn of_image(option: &str, fault: &ImageFault) -> Fault {
    let said = Fault::of(Kind::Image, option, fault);
    match fault {
        ImageFault::TooLarge { width, height, limit } => said
            .with("value", width.saturating_mul(*height))
            .with("limit", *limit)
            .with("size", json!([width, height])),
        ImageFault::Empty { width, height } => {
            said.with("value", 0).with("limit", 1).with("size", json!([width, height]))
        }
        _ => said,
    }
}
