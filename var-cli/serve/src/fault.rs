//! Errors of the interface, each with its status, its code, the option at fault and both numbers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// The kind of an error: its status and its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The body is no JSON, or no object.
    BrokenJson,
    /// The Host header is not that of this server.
    Host,
    /// The Origin header is that of another site.
    Origin,
    /// No job of this number, or no longer.
    UnknownJob,
    /// No such image of a job.
    UnknownImage,
    /// Nothing at this path.
    UnknownPath,
    /// Not this method at this path.
    Method,
    /// The body did not arrive in time.
    Slow,
    /// The body or its JSON is too large.
    TooLarge,
    /// The body is not `application/json`.
    MediaType,
    /// A field that the request does not have.
    UnknownField,
    /// A field that the request wants is not there.
    Missing,
    /// A field of another type.
    Type,
    /// A value out of its range.
    Range,
    /// A class that the model does not have.
    Class,
    /// An image that cannot be read, or of the wrong size.
    Image,
    /// The model lacks a half.
    Model,
    /// No room in the queue.
    QueueFull,
    /// The server ends.
    Ending,
    /// A fault of the model or the machine.
    Internal,
}

impl Kind {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 20] = [
        Self::BrokenJson,
        Self::Host,
        Self::Origin,
        Self::UnknownJob,
        Self::UnknownImage,
        Self::UnknownPath,
        Self::Method,
        Self::Slow,
        Self::TooLarge,
        Self::MediaType,
        Self::UnknownField,
        Self::Missing,
        Self::Type,
        Self::Range,
        Self::Class,
        Self::Image,
        Self::Model,
        Self::QueueFull,
        Self::Ending,
        Self::Internal,
    ];

    /// Its status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BrokenJson => StatusCode::BAD_REQUEST,
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::UnknownJob | Self::UnknownImage | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UnknownField
            | Self::Missing
            | Self::Type
            | Self::Range
            | Self::Class
            | Self::Image
            | Self::Model => StatusCode::UNPROCESSABLE_ENTITY,
            Self::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Self::Ending => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Its code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::BrokenJson => "broken_json",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::UnknownJob => "unknown_job",
            Self::UnknownImage => "unknown_image",
            Self::UnknownPath => "unknown_path",
            Self::Method => "method",
            Self::Slow => "slow",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::UnknownField => "unknown_field",
            Self::Missing => "missing",
            Self::Type => "type",
            Self::Range => "range",
            Self::Class => "class",
            Self::Image => "image",
            Self::Model => "model",
            Self::QueueFull => "queue_full",
            Self::Ending => "ending",
            Self::Internal => "internal",
        }
    }
}

/// An error of the interface.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    message: String,
    /// The option at fault, the value it has, the limit it has to keep.
    detail: Map<String, Value>,
}

impl Fault {
    /// An error that `message` says in words.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: Map::new() }
    }

    /// An error of the field `option`, named in the message too.
    pub(crate) fn of(kind: Kind, option: &str, message: impl core::fmt::Display) -> Self {
        Self::new(kind, format!("{option}: {message}")).with("option", option)
    }

    /// The same with a detail.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// As answers and events have it.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.kind.code(), "message": self.message });
        if let Value::Object(error) = &mut error {
            error.extend(self.detail.clone());
        }
        error
    }
}

/// Seconds after which a client may ask again for room in the queue.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = axum::Json(json!({ "error": self.to_json() }));
        let mut response = (self.kind.status(), body).into_response();
        if matches!(self.kind, Kind::QueueFull | Kind::Ending) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
