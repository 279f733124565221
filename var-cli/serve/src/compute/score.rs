//! Log-likelihood of an image under classes, and of its cells under the best one.

use serde_json::{Value, json};
use var_host::{Model, RgbImage};

use super::report::Reporter;
use super::stopped::Stopped;
use crate::jobs::Event;

/// The most events of progress of a job.
const MOST_EVENTS: usize = 50;

/// Tells of the likelihood of `picture` under each class of `labels`.
pub(super) fn score(
    model: &mut Model,
    report: Reporter<'_>,
    picture: &RgbImage,
    labels: &[u32],
) -> Result<(), Stopped> {
    let tokens = model.encode(picture)?;
    let step = labels.len().div_ceil(MOST_EVENTS);
    let mut scores: Vec<(u32, f64)> = Vec::with_capacity(labels.len());
    let mut best: Option<(u32, f64, Vec<f32>)> = None;
    for (number, label) in labels.iter().enumerate() {
        report.check()?;
        let losses = model.nll(&tokens, *label)?;
        let nats = -losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
        if best.as_ref().is_none_or(|(_, most, _)| nats > *most) {
            best = Some((*label, nats, losses));
        }
        scores.push((*label, nats));
        if (number + 1) % step == 0 {
            report.event(Event::progress(number + 1, labels.len()));
        }
    }
    let Some((best, most, losses)) = best else { return Ok(()) };
    // Relative to the greatest, so that not all of them underflow.
    let whole: f64 = scores.iter().map(|(_, nats)| (nats - most).exp()).sum();
    scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let description = report.description;
    let of = |(label, nats): &(u32, f64)| {
        json!({
            "label": description.class_number(*label),
            "name": description.class_name(*label),
            "log_likelihood": nats,
            "probability": (nats - most).exp() / whole,
        })
    };
    let ladder = &description.ladder;
    let map = |scale: usize| {
        let cells: Vec<f32> = losses[ladder.range(scale)].iter().map(|loss| -loss).collect();
        json!({ "side": ladder.sides()[scale], "log_likelihood": cells })
    };
    let maps: Vec<Value> = (0..ladder.scales()).map(map).collect();
    let scores: Vec<Value> = scores.iter().map(of).collect();
    report.event(Event::scores(&json!({
        "scores": scores, "maps": maps, "best": description.class_number(best),
    })));
    Ok(())
}
