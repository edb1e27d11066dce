//! Errors as RFC 9457 tells them: `application/problem+json`.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use fleetline_shared::domain::PortError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::intake::{JobProblem, Left, MOST_PROBLEMS, Rejected, Unreadable};

/// Seconds after which a client may try again what the ledger could not do.
const RETRY_SECONDS: &str = "5";

/// Why a request was not carried out. Boxed: most requests are.
#[derive(Debug)]
pub(super) struct Problem(Box<ProblemBody>);

/// A [`Problem`] as it is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:fleetline:problem:not-found", "title": "Not found", "status": 404,
    "detail": "there is no run 0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
}))]
pub(super) struct ProblemBody {
    /// Stable name of the class of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The class in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This error in words, and what to do.
    detail: String,
    /// Of jobs that were refused: the problems; behind the first 100 one that says how many more there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<JobProblem>,
    /// Of malformed JSON: the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// Of malformed JSON: the column, from 1; 0 if the line has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    column: Option<usize>,
    /// Of a refused file: the run that was cancelled for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_run: Option<String>,
    #[serde(skip)]
    header: Option<(HeaderName, &'static str)>,
}

macro_rules! kind {
    ($name:literal) => {
        concat!("urn:fleetline:problem:", $name)
    };
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let (status, detail) = (status.as_u16(), detail.into());
        Self(Box::new(ProblemBody {
            kind,
            title,
            status,
            detail,
            errors: Vec::new(),
            line: None,
            column: None,
            cancelled_run: None,
            header: None,
        }))
    }

    /// A parameter or header that makes no sense.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind!("bad-request"), "Bad request", detail)
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        let mut problem = Self::new(status, kind!("unauthorized"), "No valid API key", detail);
        problem.0.header = Some((WWW_AUTHENTICATE, "Bearer"));
        problem
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind!("forbidden"), "The API key may not do this", detail)
    }

    pub(super) fn not_local() -> Self {
        let detail = "without API keys only programs and pages of this machine are served, under the name localhost, \
                      127.0.0.1 or [::1]";
        Self::new(StatusCode::FORBIDDEN, kind!("forbidden"), "Not from this machine", detail)
    }

    /// What is not there, or is somebody else's: the answer does not tell which.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind!("not-found"), "Not found", detail)
    }

    pub(super) fn no_route() -> Self {
        Self::not_found("there is no such path; GET /openapi.json lists all")
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "the path has other methods; see the header `Allow` and GET /openapi.json";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, kind!("method-not-allowed"), "Method not allowed", detail)
    }

    pub(super) fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, kind!("too-slow"), "The body came too slowly", detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind!("conflict"), "Conflict", detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, kind!("too-large"), "The body is too large", detail)
    }

    pub(super) fn unsupported(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, kind!("unsupported-media-type"), "Unsupported media type", detail)
    }

    pub(super) fn unreadable_file(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, kind!("unreadable-file"), "The file cannot be read", detail)
    }

    pub(super) fn invalid_jobs(errors: Vec<JobProblem>) -> Self {
        let found = match errors.len() {
            1 => "a problem was".to_owned(),
            // The last one only says that there are others.
            more if more > MOST_PROBLEMS => format!("more than {MOST_PROBLEMS} problems were"),
            few => format!("{few} problems were"),
        };
        let detail = format!("{found} found, see `errors`; no job was accepted");
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let mut problem = Self::new(status, kind!("invalid-jobs"), "Jobs that cannot be", detail);
        problem.0.errors = errors;
        problem
    }

    /// Details are for the log: they may tell of other tenants, or of the servers behind.
    pub(super) fn internal() -> Self {
        let detail = "something broke here; the log has more under the id in the header `x-request-id`";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, kind!("internal"), "Internal error", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut problem = Self::new(status, kind!("unavailable"), "Unavailable for now", detail);
        problem.0.header = Some((RETRY_AFTER, RETRY_SECONDS));
        problem
    }

    /// The end of the process came before the end of a file.
    pub(super) fn ending() -> Self {
        Self::unavailable("the server ended before the file did: send it again")
    }

    /// Also names the run that was cancelled, or is to be.
    pub(super) fn leaving(mut self, left: Left) -> Self {
        match left {
            Left::Nothing => {}
            Left::Cancelled(run) => self.0.cancelled_run = Some(run.to_string()),
            Left::Open(run) => {
                let still = "is still open: look when the ledger is back, and cancel it if it still is";
                self.0.detail = format!("{}; run {run} {still}", self.0.detail);
            }
        }
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).expect("a problem is plain JSON");
        let mut response = (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some((name, value)) = problem.header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        match &error {
            PortError::Unavailable { .. } => {
                tracing::warn!(%error, "a request found the ledger unavailable");
                Self::unavailable("the ledger cannot be reached now: send the same request again later")
            }
            PortError::Invalid { .. } | PortError::Broken { .. } => {
                tracing::error!(%error, "a request failed");
                Self::internal()
            }
        }
    }
}

impl Problem {
    /// Of jobs. Where the ledger did not answer they may be in it: only with an idempotency key does the same request
    /// make no second run.
    pub(super) fn of_jobs(rejected: Rejected, has_key: bool) -> Self {
        match rejected {
            Rejected::Invalid(problems) => Self::invalid_jobs(problems),
            Rejected::Conflict(detail) => Self::conflict(detail),
            Rejected::Ledger(error @ PortError::Unavailable { .. }) if !has_key => {
                tracing::warn!(%error, "jobs found the ledger unavailable");
                Self::unavailable(
                    "the ledger cannot be reached now, and may have accepted the jobs: look at GET /v1/runs before you \
                     send them again, for that would be a second run; with the header `Idempotency-Key` the same \
                     request may be sent again at any time",
                )
            }
            Rejected::Ledger(error) => error.into(),
        }
    }
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Invalid(problems) => Self::invalid_jobs(problems),
            Unreadable::Malformed { line, column, what } => {
                let detail = format!("the body is no JSON: {what} at line {line}, column {column}");
                let status = StatusCode::BAD_REQUEST;
                let mut problem = Self::new(status, kind!("malformed-json"), "Malformed JSON", detail);
                (problem.0.line, problem.0.column) = (Some(line), Some(column));
                problem
            }
        }
    }
}
