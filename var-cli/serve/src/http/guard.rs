//! Around every route: Host and Origin are this server's, and every answer has the same security headers.

use core::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use crate::fault::{Fault, Kind};

/// The address at which a connection came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalAddress(pub(super) IpAddr);

/// Nothing but this server's own files, and pictures that its scripts made.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Answers a request of this server's own pages or of a program; refuses those of other sites.
pub(super) async fn guard(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let mut response = match check(&shared, &request) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check(shared: &Shared, request: &Request<Body>) -> Result<(), Fault> {
    let Some(LocalAddress(local)) = request.extensions().get().copied() else {
        return Err(Fault::new(Kind::Internal, "the connection has no address"));
    };
    let host = host(request.headers(), request.uri())?;
    if !shared.names.has_host(host, local) {
        let wants = shared.names.shown();
        let text = format!("Host is {host:?}, this server is {wants}");
        return Err(Fault::new(Kind::Host, text).with("value", host).with("limit", wants));
    }
    for origin in request.headers().get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        if !shared.names.has_origin(origin, local) {
            let wants = shared.names.shown();
            let text = format!("Origin is {origin:?}, only pages of http://{wants} may ask");
            return Err(Fault::new(Kind::Origin, text).with("value", origin).with("limit", wants));
        }
    }
    Ok(())
}

/// The one host of a request.
fn host<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> Result<&'r str, Fault> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Fault::new(Kind::Host, "a request has one Host header"));
    };
    let host = host.to_str().unwrap_or_default();
    // A request line with a host of its own is for proxies.
    match uri.authority() {
        Some(authority) if authority.as_str() != host => {
            let text = format!("Host is {host:?}, the request line says {authority}");
            Err(Fault::new(Kind::Host, text).with("value", host))
        }
        _ => Ok(host),
    }
}
