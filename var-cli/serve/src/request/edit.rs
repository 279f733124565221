//! `POST /api/edit`.

use serde_json::{Value, json};
use var_host::{Painting, Region, RgbImage};

use super::bounds::Bounds;
use super::fields::{Fields, number_of, wrong_type};
use super::task::{EditTask, Part, Task};
use super::{images, sample};
use crate::fault::{Fault, Kind};

/// Reads the request.
pub(super) fn task(fields: &mut Fields, bounds: &Bounds<'_>) -> Result<Task, Fault> {
    let null = bounds.model.classes()?;
    let class = fields.take("class").unwrap_or(Value::Null);
    let label = Some(bounds.model.class("class", &class)?).filter(|label| *label != null);
    let count = sample::count(fields, 1, bounds)?;
    let options = sample::options(fields, bounds)?;
    let outpaint = fields.truth("outpaint")?.unwrap_or(false);
    let overlay = fields.truth("overlay")?.unwrap_or(false);
    let previews = sample::previews(fields)?;
    let names = [fields.file_name("image_name")?, fields.file_name("mask_name")?];
    let (region, mask) = (fields.take("box"), fields.take("mask"));
    let name = if mask.is_some() { "mask" } else { "box" };
    let image = images::decode("image", &fields.wanted("image")?, bounds)?;
    let part = match (region, mask) {
        (Some(region), None) => Part::Box(region_of(&region)?),
        (None, Some(mask)) => Part::Mask(mask_of(&mask, &image, bounds)?),
        (None, None) => {
            let text = "is missing, and mask too: one of the two is wanted";
            return Err(Fault::of(Kind::Missing, "box", text));
        }
        (Some(_), Some(_)) => {
            let text = "goes without box: one of the two is wanted";
            return Err(Fault::of(Kind::UnknownField, "mask", text));
        }
    };
    let painting = if outpaint { Painting::Out } else { Painting::In };
    let picture = images::to_side("image", &image, bounds)?;
    let task =
        EditTask { picture, part, painting, label, overlay, names, count, options, previews };
    task.edit()
        .marks(&bounds.model.vqvae)
        .map_err(|error| Fault::of(Kind::Range, name, error).with("limit", 1).with("value", 0))?;
    Ok(Task::Edit(task))
}

/// The mask, which has the image's size and is resized and cut as it is.
fn mask_of(value: &Value, image: &RgbImage, bounds: &Bounds<'_>) -> Result<RgbImage, Fault> {
    let mask = images::decode("mask", value, bounds)?;
    let (has, wants) = ([mask.width(), mask.height()], [image.width(), image.height()]);
    if has != wants {
        let text = format!(
            "is {} × {}, the image is {} × {}: wants the same",
            has[0], has[1], wants[0], wants[1]
        );
        return Err(Fault::of(Kind::Image, "mask", text)
            .with("value", json!(has))
            .with("limit", json!(wants)));
    }
    images::to_side("mask", &mask, bounds)
}

/// `[y0, x0, y1, x1]` as fractions of the image.
fn region_of(value: &Value) -> Result<Region, Fault> {
    let Value::Array(numbers) = value else {
        return Err(wrong_type("box", value, "a list [y0, x0, y1, x1]"));
    };
    let numbers: Result<Vec<f32>, Fault> =
        numbers.iter().map(|number| number_of("box", number, 0.0..=1.0)).collect();
    match numbers?[..] {
        [top, left, bottom, right] if top < bottom && left < right => {
            Ok(Region { top, left, bottom, right })
        }
        [_, _, _, _] => {
            let fault = Fault::of(Kind::Range, "box", "wants y0 < y1 and x0 < x1");
            Err(fault.with("value", value.clone()))
        }
        ref other => {
            let text = format!("wants 4 numbers y0, x0, y1, x1, has {}", other.len());
            Err(Fault::of(Kind::Range, "box", text)
                .with("value", other.len())
                .with("limit", json!(4)))
        }
    }
}
