//! Serving connections: with limits on a request's head, which a peer might otherwise send for ever.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::web::listener::{Connection, Connections};

/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The largest head, bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// How long requests may take to end once the daemon stops.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until `stopping` says so; requests that are being answered then get two seconds.
pub(super) async fn serve(mut connections: Connections, app: Router, stopping: watch::Receiver<bool>) {
    let mut told = stopping.clone();
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = told.wait_for(|stop| *stop) => break,
            (connection, _) = connections.accept() => {
                running.spawn(one(connection, app.clone(), stopping.clone()));
            }
            Some(_) = running.join_next() => {}
        }
    }
    let _ = tokio::time::timeout(GRACE, async { while running.join_next().await.is_some() {} }).await;
}

async fn one(connection: Connection, app: Router, mut stopping: watch::Receiver<bool>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(app)));
    tokio::select! {
        ended = served.as_mut() => return note(ended),
        _ = stopping.wait_for(|stop| *stop) => served.as_mut().graceful_shutdown(),
    }
    note(served.await);
}

/// Peers that go away, or send what is no HTTP, are no trouble of ours.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::trace!(%error, "A connection to the scoring endpoint ended.");
    }
}
