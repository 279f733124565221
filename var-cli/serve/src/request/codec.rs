//! `POST /api/decode` and `POST /api/score`.

use serde_json::{Value, json};

use super::bounds::Bounds;
use super::fields::{Fields, wrong_type};
use super::task::Task;
use super::{images, sample};
use crate::fault::{Fault, Kind};

/// Reads `POST /api/decode`.
pub(super) fn decode(fields: &mut Fields, bounds: &Bounds<'_>) -> Result<Task, Fault> {
    let label = fields.take("class");
    let label = label.map(|class| bounds.model.class("class", &class)).transpose()?;
    let tokens = tokens(&fields.wanted("tokens")?, bounds)?;
    Ok(Task::Decode { tokens, label })
}

/// Reads `POST /api/score`.
pub(super) fn score(fields: &mut Fields, bounds: &Bounds<'_>) -> Result<Task, Fault> {
    let classes = fields.take("classes").unwrap_or_else(|| json!("all"));
    let labels = match classes.as_str() {
        Some("all") => (0..bounds.model.classes()?).collect(),
        _ => sample::labels("classes", &classes, bounds)?,
    };
    Ok(Task::Score { labels, picture: images::square("image", fields, bounds)? })
}

/// Tokens in a flat list, or as a list of the maps.
fn tokens(value: &Value, bounds: &Bounds<'_>) -> Result<Vec<u32>, Fault> {
    let Value::Array(list) = value else {
        return Err(wrong_type("tokens", value, "a list of tokens or of maps"));
    };
    let ladder = &bounds.model.ladder;
    let are_maps = list.iter().any(Value::is_array);
    if are_maps {
        check_maps(list, bounds)?;
    }
    let flat: Vec<&Value> = if are_maps {
        list.iter().filter_map(Value::as_array).flatten().collect()
    } else {
        list.iter().collect()
    };
    if flat.len() != ladder.length() {
        let (has, wants) = (flat.len(), ladder.length());
        let text = format!("has {has} tokens, the model's maps have {wants}");
        return Err(Fault::of(Kind::Range, "tokens", text).with("value", has).with("limit", wants));
    }
    let token = |value: &&Value| {
        let token = value.as_u64().filter(|token| *token < bounds.model.codes as u64);
        token.map(|token| token as u32).ok_or_else(|| match value {
            Value::Number(_) => {
                let last = bounds.model.codes.saturating_sub(1);
                let fault =
                    Fault::of(Kind::Range, "tokens", format!("{value} is not in 0 to {last}"));
                fault.with("value", (*value).clone()).with("limit", json!([0, last]))
            }
            _ => wrong_type("tokens", value, "whole numbers"),
        })
    };
    flat.iter().map(token).collect()
}

/// Refuses maps of other sizes than the model's.
fn check_maps(maps: &[Value], bounds: &Bounds<'_>) -> Result<(), Fault> {
    let ladder = &bounds.model.ladder;
    if maps.len() != ladder.scales() {
        let (has, wants) = (maps.len(), ladder.scales());
        let text = format!("has {has} maps, the model has {wants}");
        return Err(Fault::of(Kind::Range, "tokens", text).with("value", has).with("limit", wants));
    }
    for (scale, map) in maps.iter().enumerate() {
        let Value::Array(map) = map else {
            return Err(wrong_type("tokens", map, "a list of maps, or one of tokens alone"));
        };
        if map.len() != ladder.cells(scale) {
            let (has, wants) = (map.len(), ladder.cells(scale));
            let text = format!("map {scale} has {has} tokens, the model's has {wants}");
            return Err(Fault::of(Kind::Range, "tokens", text)
                .with("value", has)
                .with("limit", wants));
        }
    }
    Ok(())
}
