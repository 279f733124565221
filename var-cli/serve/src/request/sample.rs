//! `POST /api/sample`, and the options of everything that draws.

use serde_json::Value;
use var_host::SampleOptions;

use super::bounds::Bounds;
use super::fields::{Fields, wrong_type};
use super::task::Task;
use crate::fault::{Fault, Kind};

/// Reads the request.
pub(super) fn task(fields: &mut Fields, bounds: &Bounds<'_>) -> Result<Task, Fault> {
    let classes = labels("classes", &fields.wanted("classes")?, bounds)?;
    let count = count(fields, classes.len(), bounds)?;
    let labels: Vec<u32> =
        classes.iter().flat_map(|label| core::iter::repeat_n(*label, count)).collect();
    let options = options(fields, bounds)?;
    Ok(Task::Sample { labels, options, previews: previews(fields)? })
}

/// The labels of a list of classes.
pub(super) fn labels(option: &str, value: &Value, bounds: &Bounds<'_>) -> Result<Vec<u32>, Fault> {
    let Value::Array(classes) = value else {
        return Err(wrong_type(option, value, "a list of classes"));
    };
    if classes.is_empty() {
        return Err(Fault::of(Kind::Range, option, "wants at least one class, has 0")
            .with("value", 0)
            .with("limit", 1));
    }
    // Looking up a name takes a while.
    let most = bounds.model.classes()? as usize + 1;
    if classes.len() > most.max(bounds.limits.images) {
        let text = format!("{} classes are wanted, at most {most} can be", classes.len());
        return Err(Fault::of(Kind::Range, option, text)
            .with("value", classes.len())
            .with("limit", most));
    }
    bounds.model.class_list(option, classes)
}

/// How many images of each of `classes`.
pub(super) fn count(
    fields: &mut Fields,
    classes: usize,
    bounds: &Bounds<'_>,
) -> Result<usize, Fault> {
    let limit = bounds.limits.images;
    let count = fields.whole("count", 1..=limit as u64)?.unwrap_or(1) as usize;
    if count * classes > limit {
        let images = count * classes;
        let text = format!("{images} images are wanted, at most {limit} can be drawn by one job");
        return Err(Fault::of(Kind::Range, "count", text)
            .with("value", images)
            .with("limit", limit));
    }
    Ok(count)
}

/// The options of drawing.
pub(super) fn options(fields: &mut Fields, bounds: &Bounds<'_>) -> Result<SampleOptions, Fault> {
    let default = SampleOptions::default();
    let seed = match fields.whole("seed", 0..=u64::MAX)? {
        Some(seed) => seed,
        None => random_seed()?,
    };
    // (So that the last index of any request is one.)
    let last_index = u64::from(u32::MAX) - bounds.limits.images as u64;
    Ok(SampleOptions {
        seed,
        cfg: fields.number("cfg", SampleOptions::CFG)?.unwrap_or(default.cfg),
        temperature: fields
            .number("temperature", SampleOptions::TEMPERATURE)?
            .unwrap_or(default.temperature),
        top_k: fields.whole("top_k", 0..=u32::MAX.into())?.map_or(default.top_k, |k| k as usize),
        top_p: fields.number("top_p", 0.0..=1.0)?.unwrap_or(default.top_p),
        more_smooth: fields.truth("more_smooth")?.unwrap_or(default.more_smooth),
        first_index: fields.whole("first_index", 0..=last_index)?.unwrap_or(0) as u32,
        batch: bounds.limits.batch,
    })
}

/// Whether images are shown after each scale.
pub(super) fn previews(fields: &mut Fields) -> Result<bool, Fault> {
    Ok(fields.truth("previews")?.unwrap_or(true))
}

/// A seed that a person can type: below 2³².
fn random_seed() -> Result<u64, Fault> {
    getrandom::u32().map(u64::from).map_err(|error| {
        Fault::of(Kind::Internal, "seed", format!("the system gives no random number: {error}"))
    })
}
