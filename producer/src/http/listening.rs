//! Connections: accepted, served, ended.
//!
//! HTTP/1.1 alone. Over HTTP/2 one connection has many answers under way, and the time that a client may take
//! over one ([`super::connection`]) would hold for none of them.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection::{Guarded, GuardedStream};
use crate::intake::Submissions;

/// How long it may take to tell clients what became of their uploads.
const TELLING: Duration = Duration::from_secs(1);

/// The connections that are open. Dropped, they are cut off.
pub(super) type Open = JoinSet<()>;

/// Serves until `shutdown`. What is left are connections with a request.
pub(super) async fn accept(mut listener: Guarded, router: Router, shutdown: &CancellationToken) -> Open {
    let mut open = Open::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return open,
            Some(_) = open.join_next() => {}
            (stream, _) = listener.accept() => {
                open.spawn(serve_one(stream, router.clone(), shutdown.clone()));
            }
        }
    }
}

async fn serve_one(stream: GuardedStream, router: Router, shutdown: CancellationToken) {
    let connection = stream.connection();
    let router = TowerToHyperService::new(router);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        router.call(request)
    });
    let mut serving = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Lets what is under way finish, at most `grace`. Uploads that have not ended by then are broken off, and their
/// runs cancelled, which may take `clearing`. Nothing else is waited for any longer.
pub(super) async fn end(mut open: Open, submissions: &Submissions, grace: Duration, clearing: Duration) {
    // A submission goes on when its client has left, so it may be there after the last connection.
    let finish = async {
        all_closed(&mut open).await;
        submissions.all_ended().await;
    };
    if timeout(grace, finish).await.is_ok() {
        return;
    }
    if submissions.are_under_way() {
        tracing::warn!(?grace, "uploads are broken off at the end of the grace period");
        submissions.stop();
        if timeout(clearing, submissions.all_ended()).await.is_err() {
            tracing::warn!(?clearing, "submissions are cut off; a run of an upload may still be open");
        }
        let _ = timeout(TELLING, all_closed(&mut open)).await;
    }
    if !open.is_empty() {
        let connections = open.len();
        tracing::warn!(
            connections,
            ?grace,
            "answers that were not taken within the grace period are cut off"
        );
    }
}

async fn all_closed(open: &mut Open) {
    while open.join_next().await.is_some() {}
}
