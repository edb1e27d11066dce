//! Errors in OpenAI's form.

use std::fmt::Display;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::limiter::{Dimension, Limited};

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    sort: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn to_body(&self) -> Vec<u8> {
        let Self { message, sort, param, code, .. } = self;
        let error = json!({ "message": message, "type": sort, "param": param, "code": code });
        json!({ "error": error }).to_string().into_bytes()
    }

    pub(super) fn invalid(message: String, param: Option<&'static str>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message, sort: "invalid_request_error", param, code: None }
    }

    pub(super) fn no_json() -> Self {
        let message = "We could not parse the JSON body of your request. (HINT: This likely means you aren't \
            using your HTTP library correctly. The API expects a JSON payload, but what was sent was not \
            valid JSON.)";
        Self::invalid(message.into(), None)
    }

    pub(super) fn missing(param: &'static str) -> Self {
        let code = Some("missing_required_parameter");
        Self { code, ..Self::invalid(format!("Missing required parameter: '{param}'."), Some(param)) }
    }

    pub(super) fn wrong_type(param: &'static str, expected: &str) -> Self {
        let message = format!("Invalid type for '{param}': expected {expected}.");
        Self { code: Some("invalid_type"), ..Self::invalid(message, Some(param)) }
    }

    pub(super) fn out_of_range(param: &'static str, value: &dyn Display, least: u64, most: u64) -> Self {
        let message = format!("Invalid '{param}': expected a value from {least} to {most}, but got {value}.");
        Self { code: Some("invalid_value"), ..Self::invalid(message, Some(param)) }
    }

    pub(crate) fn unknown_url(method: &str, path: &str) -> Self {
        let message = format!(
            "Unknown request URL: {method} {path}. The simulator has POST .../chat/completions, \
             POST .../embeddings and POST /v1/echo."
        );
        Self { status: StatusCode::NOT_FOUND, code: Some("unknown_url"), ..Self::invalid(message, None) }
    }

    pub(crate) fn limited(limited: &Limited, wait: Option<Duration>) -> Self {
        let Limited { dimension, limit, used, asked, .. } = limited;
        let name = match dimension {
            Dimension::Requests => "requests per window",
            Dimension::Tokens => "tokens per window",
            Dimension::Concurrency => "requests at the same time",
        };
        let advice = match wait {
            Some(wait) => format!("Please try again in {}ms.", wait.as_nanos().div_ceil(1_000_000)),
            None => "The request is larger than the whole limit: it must be made smaller.".to_owned(),
        };
        let message =
            format!("Rate limit reached on {name}: Limit {limit}, Used {used}, Requested {asked}. {advice}");
        Self::too_many(message, dimension.as_str())
    }

    pub(crate) fn storm() -> Self {
        Self::too_many("Rate limit reached, as the fault says.".into(), "requests")
    }

    fn too_many(message: String, sort: &'static str) -> Self {
        let code = Some("rate_limit_exceeded");
        Self { status: StatusCode::TOO_MANY_REQUESTS, message, sort, param: None, code }
    }

    pub(crate) fn failed(status: StatusCode) -> Self {
        let message = "The server had an error while processing your request, as the fault says.";
        Self { status, message: message.into(), sort: "server_error", param: None, code: None }
    }
}
