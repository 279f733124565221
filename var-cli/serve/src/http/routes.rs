//! Paths and their answers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde_json::Value;
use tokio::task;

use super::path::{PathParts, unknown_path};
use super::{Shared, answers, guard, stream};
use crate::assets::ASSETS;
use crate::fault::{Fault, Kind};
use crate::request::{self, Bounds, Command, Order};

/// A path, its method in small letters, and its answer.
struct Route {
    path: String,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "held against the description of the interface")
    )]
    method: &'static str,
    answer: MethodRouter<Arc<Shared>>,
}

fn at(path: &str, answer: MethodRouter<Arc<Shared>>) -> Route {
    Route { path: path.to_owned(), method: "get", answer }
}

fn post_at(path: &str, answer: MethodRouter<Arc<Shared>>) -> Route {
    Route { path: path.to_owned(), method: "post", answer }
}

/// Every path.
fn table() -> Vec<Route> {
    let mut routes = vec![
        at("/api/info", get(answers::info)),
        at("/api/classes", get(answers::classes)),
        at("/api/health", get(answers::health)),
        at("/api/openapi.json", get(answers::description)),
        at("/api/jobs/{id}", get(answers::job)),
        at("/api/jobs/{id}/events", get(stream::events)),
        at("/api/jobs/{id}/images/{number}", get(answers::image)),
        post_at("/api/jobs/{id}/cancel", post(answers::cancel)),
        at("/", get(async || asset(ASSETS[0].name))),
        at("/{name}", get(async |PathParts(name): PathParts<String>| asset(&name))),
    ];
    routes.extend(Command::ALL.map(|command| {
        let submit = move |State(shared): State<Arc<Shared>>, request: Request<Body>| async move {
            submit(command, shared, request).await
        };
        post_at(&format!("/api/{}", command.name()), post(submit))
    }));
    routes
}

/// All routes.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let routes = table().into_iter();
    routes
        .fold(Router::new(), |router, Route { path, answer, .. }| router.route(&path, answer))
        .fallback(async |uri: Uri| unknown_path(uri.path()))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Fault::new(Kind::Method, format!("{method} is not a method of {}", uri.path()))
        })
        .layer(axum::middleware::from_fn_with_state(Arc::clone(shared), guard::guard))
        .with_state(Arc::clone(shared))
}

/// A file of the page.
fn asset(name: &str) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => ([(header::CONTENT_TYPE, asset.media_type())], asset.bytes).into_response(),
        None => unknown_path(&format!("/{name}")).into_response(),
    }
}

/// Queues a job.
async fn submit(
    command: Command,
    shared: Arc<Shared>,
    request: Request<Body>,
) -> Result<(StatusCode, axum::Json<Value>), Fault> {
    // Before the body is taken, and again with it.
    shared.jobs.check()?;
    let body = request::read(request, &shared.limits, &shared.body_room).await?;
    let order = if command.takes_image() {
        decoded(command, body.json, &shared).await?
    } else {
        order(command, body.json, &shared)?
    };
    drop(body.room);
    Ok((StatusCode::ACCEPTED, axum::Json(shared.jobs.submit(command, order)?)))
}

fn order(command: Command, body: Value, shared: &Shared) -> Result<Order, Fault> {
    let bounds = Bounds { model: &shared.description, limits: &shared.limits };
    Order::new(command, body, &bounds)
}

/// An order with an image, decoded where it keeps nobody else waiting.
async fn decoded(command: Command, body: Value, shared: &Arc<Shared>) -> Result<Order, Fault> {
    let bug = || Fault::new(Kind::Internal, "a bug ended the request");
    let permit = Arc::clone(&shared.decoding).acquire_owned().await.map_err(|_| bug())?;
    let shared = Arc::clone(shared);
    let decoding = task::spawn_blocking(move || {
        let order = order(command, body, &shared);
        drop(permit);
        order
    });
    decoding.await.map_err(|_| bug())?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::openapi;

    #[test]
    fn paths_are_those_of_the_description() {
        let served: BTreeSet<String> =
            table().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        let described = openapi::operations(|path, method, _| format!("{method} {path}"));
        assert_eq!(served, described.into_iter().collect());
    }
}
