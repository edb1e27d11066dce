//! An API that takes and gives JSON: where it is, how to call it, and what its answers mean.

use std::time::Duration;

use fleetline_shared::domain::{CallContext, JobError};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use super::feedback::{Vendor, property_quota, tokens_consumed};
use super::said::said;
use super::{Answer, Outgoing, REDIRECT, UpstreamClient, UpstreamSettings};

/// Where an API is, and what every call of it carries.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// `https://api.example.com/v2`: paths of calls are appended.
    pub base_url: String,
    /// The value of `Authorization`: `Bearer ...`, `Basic ...`.
    pub auth: Option<SecretString>,
    /// Further headers. Treated as secret.
    pub headers: Vec<(String, SecretString)>,
    /// Limits of the connections, and who tells of quota in which way.
    pub settings: UpstreamSettings,
}

/// One API, ready to be called.
pub struct ApiClient {
    base: Url,
    own_headers: Vec<HeaderName>,
    settings: UpstreamSettings,
    upstream: UpstreamClient,
}

impl ApiClient {
    /// Checks the settings; sends nothing. The error says what is wrong with them, without secrets.
    ///
    /// A process-wide TLS provider must be installed (`rustls::crypto`).
    pub fn new(name: &str, config: &ApiConfig) -> Result<Self, String> {
        let base = base(&config.base_url)?;
        let mut headers = HeaderMap::new();
        let auth = config.auth.iter().map(|value| (AUTHORIZATION.as_str(), value));
        for (name, value) in auth.chain(config.headers.iter().map(|(name, value)| (name.as_str(), value))) {
            let (name, value) = header(name, value.expose_secret())?;
            headers.insert(name, value);
        }
        let secrets = config.auth.iter().chain(config.headers.iter().map(|(_, value)| value)).cloned();
        let own_headers = headers.keys().cloned().collect();
        let upstream = UpstreamClient::new(name, &config.settings, headers, secrets.collect())?;
        Ok(Self { base, own_headers, settings: config.settings.clone(), upstream })
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// The address of a path below the base URL, or why it is none.
    pub fn url(&self, path: &str, query: impl Iterator<Item = (String, String)>) -> Result<Url, String> {
        let wrong = |why: &str| format!("`path`: {why}; it is appended to the upstream's base_url");
        if !path.starts_with('/') || path.contains(['?', '#', '\\']) || path.chars().any(char::is_control) {
            return Err(wrong("begins with / and has no query: that belongs to `query`"));
        }
        // They lead up and out of what the owner allowed, also when they are written as %2e.
        let is_dots = |step: &str| matches!(&*step.to_ascii_lowercase().replace("%2e", "."), "." | "..");
        if path.split('/').any(is_dots) {
            return Err(wrong("must not have `.` and `..` as steps"));
        }
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let pairs: Vec<_> = query.collect();
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }

    /// Whether every call carries this header by the owner's will.
    pub fn has_header(&self, name: &HeaderName) -> bool {
        self.own_headers.contains(name)
    }

    /// One call; gives back the answer's JSON, or null if it is empty.
    pub async fn call(
        &self,
        outgoing: Outgoing<'_>,
        context: &CallContext,
    ) -> Result<Box<RawValue>, JobError> {
        let answer = self.upstream.call(outgoing, context).await?;
        let read =
            if answer.status.is_success() { self.read(&answer, context) } else { Err(failure(&answer)) };
        read.map_err(|error| self.upstream.error(error, &answer))
    }

    fn read(&self, answer: &Answer, context: &CallContext) -> Result<Box<RawValue>, JobError> {
        if answer.body.is_empty() {
            return Ok(RawValue::NULL.to_owned());
        }
        let json: Box<RawValue> = serde_json::from_slice(&answer.body)
            .map_err(|error| JobError::Retryable(format!("HTTP {}: no JSON: {error}", answer.status)))?;
        if self.settings.vendor == Vendor::Ga4 {
            let report = serde_json::from_str(json.get()).unwrap_or_default();
            context.heard(property_quota(&report));
            context.tokens_used(tokens_consumed(&report).unwrap_or_default(), 0);
        }
        Ok(json)
    }
}

fn base(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("base_url: {why}; write it like https://api.example.com/v2");
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    let is_plain =
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if !is_plain || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("is http:// or https:// without user, password and query"));
    }
    Ok(url)
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header's name"))?;
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| format!("the value for header {name} has characters that a header must not have"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

/// What a status that is no success means for the job.
fn failure(answer: &Answer) -> JobError {
    let message = format!("HTTP {}: {}", answer.status, said(&answer.body).message);
    match answer.status.as_u16() {
        429 => JobError::RateLimited { retry_after: answer.feedback.retry_after, message },
        408 | 425 | 500.. => JobError::Retryable(message),
        300..=399 => JobError::Permanent(message + REDIRECT),
        401 | 403 => JobError::Permanent(format!("{message}; are auth and headers of the upstream right?")),
        _ => JobError::Permanent(message),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn client(base_url: &str) -> ApiClient {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let headers = vec![("DD-API-KEY".to_owned(), "dd-secret".into())];
        let settings = UpstreamSettings::default();
        let config =
            ApiConfig { base_url: base_url.into(), auth: Some("Bearer a-secret".into()), headers, settings };
        ApiClient::new("api", &config).expect("good settings")
    }

    #[test]
    fn paths_stay_below_the_base() {
        let client = client("https://h/v2/");
        let url = |path: &str| client.url(path, std::iter::empty());
        for (path, expected) in [
            ("/issue", "https://h/v2/issue"),
            ("/a b/ü/%2F", "https://h/v2/a%20b/%C3%BC/%2F"),
            ("//x", "https://h/v2//x"),
            ("/", "https://h/v2/"),
            ("/p:run", "https://h/v2/p:run"),
            ("/a..b/...", "https://h/v2/a..b/..."),
        ] {
            assert_eq!(url(path).as_ref().map(Url::as_str), Ok(expected), "{path}");
        }
        let bad = ["", "issue", "https://other/", "/a?b=c", "/a#b", "\\a", "/a\nb"];
        let up = ["/../admin", "/a/%2e%2E/b", "/./a", "/ü/.%2e/..", "/üüü/../../ü"];
        for path in bad.into_iter().chain(up) {
            let problem = url(path).expect_err(path);
            assert!(problem.starts_with("`path`: ") && !problem.contains("https://h"), "{problem}");
        }
        let pairs = [("a b".to_owned(), "c&d".to_owned())];
        let with_query = client.url("/x", pairs.into_iter()).expect("an address");
        assert_eq!(with_query.as_str(), "https://h/v2/x?a+b=c%26d");
    }

    #[test]
    fn statuses() {
        for (status, sort) in [
            (400, "permanent"),
            (401, "permanent"),
            (404, "permanent"),
            (409, "permanent"),
            (307, "permanent"),
            (408, "retryable"),
            (425, "retryable"),
            (429, "limited"),
            (500, "retryable"),
            (503, "retryable"),
            (599, "retryable"),
        ] {
            let answer = Answer {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: HeaderMap::new(),
                body: br#"{"errors": ["because"]}"#.to_vec(),
                feedback: fleetline_shared::domain::Feedback::default(),
                request_id: None,
            };
            let (found, message) = match failure(&answer) {
                JobError::Retryable(message) => ("retryable", message),
                JobError::Permanent(message) => ("permanent", message),
                JobError::RateLimited { message, .. } => ("limited", message),
                JobError::Snooze { why, .. } => ("snooze", why),
            };
            assert_eq!(found, sort, "{status}");
            assert!(message.contains("because") && message.contains(&status.to_string()), "{message}");
        }
    }

    #[test]
    fn bad_settings_are_told_without_secrets() {
        let of = |base_url: &str, name: &str, value: &str| {
            let headers = vec![(name.to_owned(), value.into())];
            let settings = UpstreamSettings::default();
            ApiClient::new("api", &ApiConfig { base_url: base_url.into(), auth: None, headers, settings })
                .err()
        };
        for (base_url, name, value, part) in [
            ("ftp://h", "a", "b", "base_url: is http:// or https://"),
            ("https://me:s3cret@h", "a", "b", "without user"),
            ("h", "a", "b", "write it like"),
            ("https://h", "a b", "s3cret", "`a b` is no header's name"),
            ("https://h", "a", "s3cret\n", "must not have"),
        ] {
            let problem = of(base_url, name, value).expect("a problem");
            assert!(problem.contains(part) && !problem.contains("s3cret"), "{problem}");
        }
    }
}
