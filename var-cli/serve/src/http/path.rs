//! The parts of a path, and the error where they are no text.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::fault::{Fault, Kind};

/// The error where nothing is.
pub(super) fn unknown_path(path: &str) -> Fault {
    Fault::new(Kind::UnknownPath, format!("{path}: nothing is here"))
}

/// [`Path`] of texts, with errors as JSON.
pub(super) struct PathParts<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for PathParts<String> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(part)| Self(part)).map_err(|_| unknown_path(parts.uri.path()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathParts<(String, String)> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(part)| Self(part)).map_err(|_| unknown_path(parts.uri.path()))
    }
}
