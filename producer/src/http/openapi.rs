//! `GET /openapi.json`: the document that utoipa makes of the handlers.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Responses};
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
        (name = "insight", description = "How things stand, and what a job waits for"),
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

/// Adds what every path under `/v1/` may answer, and describes what the handlers leave undescribed.
pub(super) fn completed(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            if path.starts_with("/v1/") {
                add_common_answers(&mut operation.responses);
            }
            describe(&mut operation.responses);
        }
    }
    document
}

fn add_common_answers(answers: &mut Responses) {
    let (status, description) = UNKNOWN_PARAMETER;
    answers.responses.entry(status.to_owned()).or_insert_with(|| problem(description));
    for (status, description) in COMMON {
        answers.responses.insert(status.to_owned(), problem(description));
    }
}

fn problem(description: &str) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
        .into()
}

/// `OpenAPI` wants a description of every answer; often the status says it all.
fn describe(answers: &mut Responses) {
    for (status, answer) in &mut answers.responses {
        let reason = status.parse().ok().and_then(|status: StatusCode| status.canonical_reason());
        if let (RefOr::T(answer), Some(reason)) = (answer, reason)
            && answer.description.is_empty()
        {
            reason.clone_into(&mut answer.description);
        }
    }
}

/// Handlers that can answer it for other reasons describe it themselves.
const UNKNOWN_PARAMETER: (&str, &str) = ("400", "A query parameter that the path does not know.");

const COMMON: [(&str, &str); 4] = [
    ("401", "No API key, or one that is unknown or revoked."),
    ("403", "The role of the key does not allow this."),
    ("500", "Something broke; the log has more under the id in the header `x-request-id`."),
    ("503", "The ledger cannot be reached; the header `Retry-After` says when to try again."),
];

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
