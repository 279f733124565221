//! Connections: no more than allowed at once, none that waits for ever, all ended politely.

use std::sync::Arc;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time;

use super::guard::LocalAddress;
use super::patient::PatientStream;
use crate::limits::Limits;

/// Time to wait where the system has no room for another connection.
const NO_ROOM: core::time::Duration = core::time::Duration::from_millis(50);

/// Bytes of a connection's buffers: a request's head must fit, and answers are sent in such parts.
const BUFFER_BYTES: usize = 64 << 10;

/// Serves connections until `stop` says so, then lets those under way end.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    while !*stop.borrow() {
        // It is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            // Of files or memory; connections that end make some.
            time::sleep(NO_ROOM).await;
            continue;
        };
        let served = serve(stream, router.clone(), limits.clone(), stop.clone());
        connections.spawn(async move {
            served.await;
            drop(permit);
        });
    }
    drop(listener);
    let _ = time::timeout(limits.ending_time, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

/// Serves one connection.
async fn serve(stream: TcpStream, router: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
    // Events are short and wanted at once.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let router = router.layer(Extension(LocalAddress(local.ip())));
    let stream = TokioIo::new(PatientStream::new(stream, limits.write_time));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(stream, TowerToHyperService::new(router));
    tokio::pin!(connection);
    // A connection that fails has nobody to be told.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
