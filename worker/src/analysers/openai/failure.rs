//! What a failed call means for its job. Pure, table-tested.

use std::error::Error;
use std::time::{Duration, SystemTime};

use fleetline_shared::domain::JobError;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::settings::OpenAiSettings;
use crate::answers::capped;

/// Characters of a server's message that are kept.
const MESSAGE_CHARS: usize = 1_000;
/// A server that asks for a longer wait than this is not believed.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A request that got no answer: it may work next time.
pub(super) fn of_transport(error: &reqwest::Error, settings: &OpenAiSettings) -> JobError {
    let what = if error.is_timeout() {
        format!("no answer within {} s", settings.timeout.as_secs_f64())
    } else if error.is_connect() {
        format!("cannot connect to {}", settings.base_url)
    } else {
        "the connection broke".to_owned()
    };
    JobError::Retryable(format!("{what}: {}", whole(error)))
}

/// An error with its causes, without the URL, which may hold what nobody else should see.
pub(super) fn whole(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = if text.is_empty() { error.to_string() } else { format!("{text}: {error}") };
        cause = error.source();
    }
    if text.is_empty() { "no details".into() } else { text }
}

/// An answer that is no success.
pub(super) fn of_status(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    settings: &OpenAiSettings,
) -> JobError {
    let (message, code) = message_of(body);
    let says = format!("{} says {status}: {message}", settings.base_url);
    match status.as_u16() {
        429 if code == "insufficient_quota" => JobError::Permanent(format!(
            "{says}; the account has no credit left: add some, then redrive the job"
        )),
        429 => JobError::RateLimited { retry_after: retry_after(headers, SystemTime::now()), message: says },
        408 | 409 | 425 | 500..=599 => JobError::Retryable(says),
        401 | 403 => JobError::Permanent(format!("{says}; check the key (openai.api_key or OPENAI_API_KEY)")),
        404 => JobError::Permanent(format!(
            "{says}; check openai.base_url and openai.model (now `{}`)",
            settings.model
        )),
        _ => JobError::Permanent(says),
    }
}

fn message_of(body: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(body);
    let Ok(json) = serde_json::from_str::<Value>(&text) else {
        return (capped(text.trim(), MESSAGE_CHARS), String::new());
    };
    let error = &json["error"];
    let message =
        error["message"].as_str().or(error.as_str()).map_or_else(|| json.to_string(), str::to_owned);
    let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or_default();
    (capped(&message, MESSAGE_CHARS), code.to_owned())
}

/// How long the server asks to wait. Values that make no sense (-1, a day) count as not said:
/// Azure has been seen to send them.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()).map(|ms| ms / 1000.0);
    let seconds = || text("retry-after")?.parse::<f64>().ok();
    let date = || {
        let date = httpdate::parse_http_date(text("retry-after")?).ok()?;
        date.duration_since(now).ok().map(|wait| wait.as_secs_f64())
    };
    let wait = millis.or_else(seconds).or_else(date)?;
    (wait > 0.0 && wait <= LONGEST_WAIT.as_secs_f64()).then(|| Duration::from_secs_f64(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> OpenAiSettings {
        OpenAiSettings {
            base_url: "http://127.0.0.1:1/v1".into(),
            api_key: Some("sk-secret".into()),
            model: "some-model".into(),
            azure: None,
            structured_output: true,
            max_output_tokens: 100,
            temperature: None,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn statuses_mean_what_they_should() {
        let error = |code: &str| format!(r#"{{"error":{{"message":"it says so","code":"{code}"}}}}"#);
        let table: [(u16, String, &str); 11] = [
            (429, error("rate_limit_exceeded"), "rate limited"),
            (429, error("insufficient_quota"), "permanent"),
            (500, "<html>oops</html>".into(), "retryable"),
            (502, String::new(), "retryable"),
            (503, error("overloaded"), "retryable"),
            (408, error("timeout"), "retryable"),
            (409, error("conflict"), "retryable"),
            (401, error("invalid_api_key"), "permanent"),
            (404, error("model_not_found"), "permanent"),
            (400, error("bad"), "permanent"),
            (302, String::new(), "permanent"),
        ];
        for (status, body, expected) in table {
            let status = StatusCode::from_u16(status).unwrap();
            let error = of_status(status, &HeaderMap::new(), body.as_bytes(), &settings());
            let found = match &error {
                JobError::RateLimited { .. } => "rate limited",
                JobError::Permanent(_) => "permanent",
                JobError::Retryable(_) => "retryable",
                JobError::Snooze { .. } => "snooze",
            };
            assert_eq!(found, expected, "{status} {body}");
            assert!(!error.to_string().contains("sk-secret"));
        }
    }

    #[test]
    fn messages_say_what_to_do_and_are_capped() {
        let not_found = of_status(StatusCode::NOT_FOUND, &HeaderMap::new(), b"", &settings());
        assert!(not_found.to_string().contains("some-model"), "{not_found}");
        let long = vec![b'x'; 100_000];
        let error = of_status(StatusCode::BAD_REQUEST, &HeaderMap::new(), &long, &settings());
        assert!(error.to_string().len() < 2_000);
    }

    #[test]
    fn waits_are_read_in_all_their_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let date = httpdate::fmt_http_date(now + Duration::from_secs(30));
        let table: [(&str, &str, Option<f64>); 10] = [
            ("retry-after", "7", Some(7.0)),
            ("retry-after", "0.5", Some(0.5)),
            ("retry-after-ms", "1500", Some(1.5)),
            ("retry-after", &date, Some(30.0)),
            ("retry-after", "-1", None),
            ("retry-after", "0", None),
            ("retry-after", "86400", None),
            ("retry-after", "soon", None),
            ("retry-after-ms", "NaN", None),
            ("x-other", "7", None),
        ];
        for (name, value, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(
                reqwest::header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
            let found = retry_after(&headers, now).map(|wait| wait.as_secs_f64());
            assert_eq!(found, expected, "{name}: {value}");
        }
    }
}
