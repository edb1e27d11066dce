//! `GET /openapi.json`: the document that utoipa makes of the handlers.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use super::Shared;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Fleetline",
        description = "Submit files and jobs, follow runs, fetch results. Accepted (202) means: every job \
                       will reach exactly one terminal state. Execution is at least once, the recorded \
                       result exactly one. Errors are application/problem+json.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Security),
    security(("bearer" = []), ("api_key" = [])),
    tags(
        (name = "runs", description = "One submission and its counters"),
        (name = "jobs", description = "Single jobs"),
        (name = "results", description = "What a run brought"),
        (name = "health", description = "For probes; no key needed"),
    )
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("flk_<id>_<secret>");
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        let header = ApiKey::Header(ApiKeyValue::new("X-Api-Key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(header));
    }
}

/// The document without its paths.
pub(super) fn document() -> OpenApi {
    Document::openapi()
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "health", security(()),
    responses((status = 200, body = serde_json::Value))
)]
pub(super) async fn get_openapi(
    State(app): State<Shared>,
) -> ([(axum::http::HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], app.openapi.clone())
}
