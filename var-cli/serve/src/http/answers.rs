//! Answers at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use var_host::SampleOptions;

use super::Shared;
use super::path::PathParts;
use crate::fault::{Fault, Kind};
use crate::jobs::JobId;
use crate::openapi;

pub(super) async fn info(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let SampleOptions { cfg, temperature, top_k, top_p, more_smooth, first_index, .. } =
        SampleOptions::default();
    let mut info = json!({
        "name": "var",
        "version": env!("CARGO_PKG_VERSION"),
        "license": "MIT OR Apache-2.0",
        "model": shared.description.to_json(),
        "model_is_replaced": shared.observed.is_replaced(),
        "limits": shared.limits.to_json(),
        "defaults": {
            "count": 1, "cfg": shortest(cfg), "temperature": shortest(temperature), "top_k": top_k, "top_p": shortest(top_p),
            "more_smooth": more_smooth, "first_index": first_index, "overlay": false, "outpaint": false, "previews": true,
            "keep": false,
        },
        "queue": shared.jobs.waiting(),
        "memory": shared.observed.memory_json(),
    });
    if let (Value::Object(info), Value::Object(machine)) = (&mut info, &shared.machine) {
        info.extend(machine.clone());
    }
    Json(info)
}

/// A number with no more digits than tell it from other f32 numbers.
fn shortest(number: f32) -> Option<f64> {
    number.to_string().parse().ok()
}

pub(super) async fn classes(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.description.classes_json())
}

pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({ "state": "ok", "queue": shared.jobs.waiting() }))
}

pub(super) async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::TEXT).into_response()
}

pub(super) async fn job(
    State(shared): State<Arc<Shared>>,
    PathParts(id): PathParts<String>,
) -> Result<Json<Value>, Fault> {
    let job = known(&id, |id| shared.jobs.get(id))?;
    Ok(Json(job))
}

pub(super) async fn image(
    State(shared): State<Arc<Shared>>,
    PathParts((id, number)): PathParts<(String, String)>,
) -> Result<Response, Fault> {
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let wanted = if is_number { number.parse().unwrap_or(usize::MAX) } else { usize::MAX };
    let png = known(&id, |id| shared.jobs.image(id, wanted))?;
    let png = png.ok_or_else(|| {
        Fault::new(Kind::UnknownImage, format!("job {id} has no image {number}, or not yet"))
    })?;
    Ok(([(header::CONTENT_TYPE, "image/png")], png.to_vec()).into_response())
}

pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    PathParts(id): PathParts<String>,
) -> Result<Json<Value>, Fault> {
    let state = known(&id, |id| shared.jobs.cancel(id))?;
    Ok(Json(json!({ "id": id, "state": state.name() })))
}

/// The answer about a job that is there.
pub(super) fn known<R>(id: &str, answer: impl FnOnce(JobId) -> Option<R>) -> Result<R, Fault> {
    let unknown = || Fault::new(Kind::UnknownJob, format!("no job {id:?}, or its time is over"));
    id.parse().ok().and_then(answer).ok_or_else(unknown)
}
