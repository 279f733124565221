//! A job's events as server-sent events.

use core::convert::Infallible;
use core::time::Duration;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::Shared;
use super::answers::known;
use super::path::PathParts;
use crate::fault::{Fault, Kind};
use crate::jobs::{Listener, Next};

/// Time between comments that keep an idle connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Events of a job from the start, or after the one that `Last-Event-ID` names; 204 where there are no
/// more, on which browsers stop asking again.
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    PathParts(id): PathParts<String>,
) -> Result<Response, Fault> {
    if method != Method::GET {
        // Whoever asks for the head only would be taken for a listener who leaves.
        return Err(Fault::new(Kind::Method, format!("{method} is not a method of events")));
    }
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let next = last.map_or(0, |last: usize| last.saturating_add(1));
    let listener = known(&id, |id| Listener::new(&shared.jobs, id, next))?;
    if listener.is_at_end() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = stream::unfold(listener, async |mut listener| match listener.next().await {
        Next::End => None,
        Next::Event(number, event) => {
            let sent = sse::Event::default().event(event.name).id(number.to_string());
            Some((Ok::<_, Infallible>(sent.data(&event.data)), listener))
        }
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}
