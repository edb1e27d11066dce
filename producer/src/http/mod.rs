//! The HTTP intake: services submit files and jobs, look at runs, and fetch results.
//!
//! A request's way: [`listening`] accepts its connection, [`connection`] ends what is too slow, [`around`] gives it an id and catches
//! panics, [`caller`] says whose it is, a handler ([`jobs`], [`runs`], [`upload`], [`results`],
//! [`events`], [`insight`]) does it. Whatever goes wrong is a [`problem::Problem`]. `docs/http.md` is the page
//! for users; `GET /openapi.json` is made of the handlers.

mod around;
mod body;
mod caller;
mod connection;
mod cursor;
mod events;
mod form;
mod health;
mod insight;
mod jobs;
pub mod keys;
mod listening;
mod openapi;
mod options;
mod params;
mod places;
mod problem;
mod results;
mod runs;
mod upload;
mod views;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::middleware::from_fn;
use fleetline_shared::domain::Registry;
use fleetline_shared::ports::Ledger;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::insight::Insight;
use crate::intake::{Pipelines, Submissions};
use caller::{Callers, Keys};
use connection::{Guarded, Times};
use places::Places;
use problem::Problem;

pub use options::{Access, HttpOptions};

/// What the intake works with.
#[derive(Clone)]
pub struct HttpParts {
    /// Where everything goes, and comes from.
    pub ledger: Arc<dyn Ledger>,
    /// The kinds that may be submitted.
    pub kinds: Registry,
    /// How files become jobs.
    pub pipelines: Pipelines,
    /// How upstreams stand, and what jobs wait for.
    pub insight: Insight,
    /// Who may call.
    pub access: Access,
    /// Limits and times.
    pub options: HttpOptions,
}

/// What the handlers share.
struct App {
    ledger: Arc<dyn Ledger>,
    kinds: Registry,
    pipelines: Arc<Pipelines>,
    insight: Insight,
    callers: Callers,
    options: HttpOptions,
    submissions: Submissions,
    /// A place for each file that is taken.
    uploads: Places,
    shutdown: CancellationToken,
    openapi: Bytes,
}

type Shared = Arc<App>;

/// Serves until `shutdown`, then lets what is under way finish, at most [`HttpOptions::grace`].
/// Uploads that have not ended by then are broken off, and their runs cancelled, which may take
/// [`HttpOptions::clearing`]; answers that were not taken by then are cut off.
///
/// Without keys it serves on loopback addresses only: anything else is an error.
pub async fn serve(listener: TcpListener, parts: HttpParts, shutdown: CancellationToken) -> io::Result<()> {
    if matches!(parts.access, Access::Open(_)) && !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "without API keys the HTTP intake listens on loopback only: give a 127.0.0.1 address, or make keys \
             with `fleetline keys create`",
        ));
    }
    let HttpOptions { grace, clearing, header_timeout, idle_timeout, write_timeout, .. } = parts.options;
    let submissions = Submissions::default();
    let times = Times { head: header_timeout, idle: idle_timeout, write: write_timeout };
    let router = router(parts, submissions.clone(), shutdown.clone());
    let open = listening::accept(Guarded::new(listener, times), router, &shutdown).await;
    listening::end(open, &submissions, grace, clearing).await;
    Ok(())
}

fn router(parts: HttpParts, submissions: Submissions, shutdown: CancellationToken) -> Router {
    let (router, openapi) = routes().split_for_parts();
    let openapi = openapi::completed(openapi).to_json().expect("an OpenAPI document is plain JSON");
    let has_tenants = matches!(parts.access, Access::Keys(_));
    let callers = match parts.access {
        Access::Open(tenant) => Callers::All(tenant),
        Access::Keys(ledger) => Callers::WithKeys(Keys::new(ledger, parts.options.key_cache)),
    };
    let app = Arc::new(App {
        ledger: parts.ledger,
        kinds: parts.kinds,
        pipelines: Arc::new(parts.pipelines),
        insight: parts.insight,
        callers,
        uploads: Places::new(parts.options.uploads, has_tenants),
        options: parts.options,
        submissions,
        shutdown,
        openapi: openapi.into(),
    });
    router
        .fallback(|| async { Problem::no_route() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn(around::around))
        .with_state(app)
}

/// All routes with their documentation.
fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::document())
        .routes(routes!(upload::create_run, runs::list_runs))
        .routes(routes!(runs::get_run))
        .routes(routes!(runs::list_jobs))
        .routes(routes!(runs::cancel_run))
        .routes(routes!(results::get_results))
        .routes(routes!(results::get_facts))
        .routes(routes!(events::get_events))
        .routes(routes!(jobs::create_jobs))
        .routes(routes!(jobs::get_job))
        .routes(routes!(jobs::cancel_job))
        .routes(routes!(insight::explain_job))
        .routes(routes!(insight::get_upstreams))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(openapi::get_openapi))
}
