//! The body of a request as JSON: of the right media type, no larger than allowed, in time.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::http::{HeaderMap, Request, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

use crate::fault::{Fault, Kind};
use crate::limits::Limits;

/// Bytes that one permit of the semaphore for bodies stands for.
const BYTES_PER_PERMIT: usize = 1 << 10;

/// How many permits all bodies share.
pub(crate) fn permits(limits: &Limits) -> usize {
    (limits.bodies_bytes / BYTES_PER_PERMIT).min(Semaphore::MAX_PERMITS)
}

/// The JSON of a body.
pub(crate) struct Body {
    pub(crate) json: Value,
    /// Its share of the memory for all bodies, held until its images are decoded.
    pub(crate) room: OwnedSemaphorePermit,
}

/// Reads the JSON in the body of `request`; `room` bounds the bytes of all bodies at once.
pub(crate) async fn read(
    request: Request<axum::body::Body>,
    limits: &Limits,
    room: &Arc<Semaphore>,
) -> Result<Body, Fault> {
    check_media_type(request.headers())?;
    let declared = declared_length(request.headers());
    let limit = limits.body_bytes;
    if let Some(length) = declared.filter(|length| *length > limit as u64) {
        // A client that still sends does not read: it would see a broken connection, not the reason.
        if !request.headers().contains_key(header::EXPECT) {
            let _ = time::timeout(limits.body_time, drain(request.into_body(), 4 * limit)).await;
        }
        let text = format!("the body has {length} bytes, at most {limit} are taken");
        return Err(Fault::new(Kind::TooLarge, text).with("value", length).with("limit", limit));
    }
    let length = declared.map_or(limit, |length| length as usize);
    let share = length.div_ceil(BYTES_PER_PERMIT).min(permits(limits)) as u32;
    let closed = |_| Fault::new(Kind::Ending, "the server ends");
    let room = Arc::clone(room).acquire_many_owned(share).await.map_err(closed)?;
    let reading = to_bytes(request.into_body(), limit);
    let slow = |_| {
        let seconds = limits.body_time.as_secs();
        let text = format!("the body did not arrive within {seconds} seconds");
        Fault::new(Kind::Slow, text).with("limit", seconds)
    };
    let bytes = time::timeout(limits.body_time, reading).await.map_err(slow)?;
    let too_large = |_| {
        let text = format!("the body has more than {limit} bytes, or ends early");
        Fault::new(Kind::TooLarge, text).with("limit", limit)
    };
    let bytes = bytes.map_err(too_large)?;
    let values = values(&bytes);
    if values > limits.values {
        let limit = limits.values;
        let text = format!("the JSON has about {values} values, at most {limit} are taken");
        return Err(Fault::new(Kind::TooLarge, text).with("value", values).with("limit", limit));
    }
    let json = serde_json::from_slice(&bytes)
        .map_err(|error| Fault::new(Kind::BrokenJson, format!("the body is no JSON: {error}")))?;
    Ok(Body { json, room })
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Fault> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.map(|text| text.split(';').next().unwrap_or_default().trim());
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let text = format!(
        "Content-Type is {}, wants application/json",
        given.map_or_else(|| "missing".to_owned(), |given| format!("{given:?}"))
    );
    Err(Fault::new(Kind::MediaType, text)
        .with("value", json!(given))
        .with("limit", "application/json"))
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads up to `most` bytes and forgets them.
async fn drain(body: axum::body::Body, most: usize) {
    let (mut stream, mut seen) = (body.into_data_stream(), 0);
    while let Some(Ok(bytes)) = stream.next().await {
        seen += bytes.len();
        if seen > most {
            break;
        }
    }
}

/// How many values JSON has at most, by its commas, colons and brackets outside of texts.
fn values(json: &[u8]) -> usize {
    let (mut values, mut in_text, mut escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b':' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_texts_do_not_count() {
        assert_eq!(values(b"7"), 1);
        assert_eq!(values(br#"{"a": "[,{\",["}"#), 3);
        assert_eq!(values(b"[1,2,3]"), 4);
    }
}
