//! `http.json`: one call of an API that takes and gives JSON -> its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleetline_shared::domain::{Appraisal, CallContext, Done, Estimate, JobError, Kind, KindPolicy};
use fleetline_shared::rules::{canonical_json, dedup_key};
use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::upstream::{ApiClient, Outgoing};

/// Bytes of a result.
pub const MAX_OUTPUT: usize = 1024 * 1024;
/// Carries the job's id with calls that must not be done twice; APIs that know it do them once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Headers that are the client's or the upstream's owner's to set.
const RESERVED: [HeaderName; 11] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    IDEMPOTENCY_KEY,
];

/// Args of `http.json`. They are kept in the ledger: no place for secrets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpArgs {
    /// The API, by its name in the settings.
    pub upstream: String,
    /// What to do.
    #[serde(default)]
    pub method: Verb,
    /// Appended to the API's base URL: `/v2/things`.
    pub path: String,
    /// Added to the path.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Beside those of the API's settings.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Sent as JSON.
    #[serde(default)]
    pub body: Option<Box<RawValue>>,
    /// How many of the API's tokens the call will probably take, if it counts any.
    #[serde(default)]
    pub tokens: u64,
}

/// The methods of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are HTTP's")]
pub enum Verb {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }

    /// Whether doing it twice may be more than doing it once, as HTTP says.
    fn is_done_once(self) -> bool {
        matches!(self, Self::Post | Self::Patch)
    }
}

/// The APIs that a process can call, by name.
pub type Apis = BTreeMap<String, Arc<ApiClient>>;

/// The kind `http.json`.
pub struct HttpJson {
    apis: Apis,
    policy: KindPolicy,
}

impl HttpJson {
    /// With the APIs that may be called.
    pub fn new(apis: Apis, policy: KindPolicy) -> Self {
        Self { apis, policy }
    }

    fn api(&self, name: &str) -> Result<&ApiClient, String> {
        self.apis.get(name).map(Arc::as_ref).ok_or_else(|| {
            let here: Vec<_> = self.apis.keys().map(String::as_str).collect();
            let here = if here.is_empty() { "none".to_owned() } else { here.join(", ") };
            format!("`upstream`: there is no `{name}` to call (there is {here}): set base_url in [upstreams.{name}]")
        })
    }
}

impl Kind for HttpJson {
    const NAME: &'static str = "http.json";
    type Args = HttpArgs;
    type Output = Box<RawValue>;

    async fn perform(&self, args: HttpArgs, context: &CallContext) -> Result<Done<Box<RawValue>>, JobError> {
        let api = self.api(&args.upstream).map_err(JobError::NotHere)?;
        let (url, mut headers) = args.checked(api).map_err(JobError::Permanent)?;
        if args.method.is_done_once() {
            let id = HeaderValue::from_str(&context.job_id.to_string());
            headers.insert(IDEMPOTENCY_KEY, id.expect("an id is plain text"));
        }
        let outgoing = Outgoing { method: args.method.method(), url, headers, body: args.body.as_deref() };
        let answer = api.call(outgoing, context).await?;
        let bytes = answer.get().len();
        if bytes > MAX_OUTPUT {
            let message =
                format!("the answer has {bytes} bytes, a result {MAX_OUTPUT} at most: ask for less");
            return Err(JobError::Permanent(message));
        }
        Ok(Done::new(answer))
    }

    fn policy(&self) -> KindPolicy {
        super::lasting(self.policy, self.apis.values().map(|api| api.timeout()).max())
    }

    fn appraise(&self, args: &HttpArgs, _: &RawValue) -> Result<Appraisal, String> {
        args.checked(self.api(&args.upstream)?)?;
        Ok(Appraisal {
            dedup_key: args.dedup_key()?,
            upstream: Some(args.upstream.clone()),
            estimate: Estimate { input_tokens: args.tokens, output_tokens: 0 },
        })
    }
}

impl HttpArgs {
    /// Where the call goes and with which headers, or what is wrong.
    fn checked(&self, api: &ApiClient) -> Result<(Url, HeaderMap), String> {
        if self.method == Verb::Get && self.body.is_some() {
            return Err("`body`: a GET has none; its parameters belong to `query`".to_owned());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = |why: &str| format!("`headers`: `{name}` {why}");
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is no header's name"))?;
            if RESERVED.contains(&parsed) || api.has_header(&parsed) {
                return Err(wrong("is not for jobs to set"));
            }
            let value = HeaderValue::from_str(value)
                .map_err(|_| wrong("has a value with characters that a header must not have"))?;
            headers.insert(parsed, value);
        }
        let query = self.query.iter().map(|(name, value)| (name.clone(), value.clone()));
        Ok((api.url(&self.path, query)?, headers))
    }

    /// Calls that ask for the same: order of keys and blanks in JSON do not count.
    fn dedup_key(&self) -> Result<fleetline_shared::domain::DedupKey, String> {
        let json = |of: &BTreeMap<String, String>| serde_json::to_string(of).expect("texts are plain data");
        let (query, headers) = (json(&self.query), json(&self.headers));
        let body = self.body.as_deref().map(canonical_json).transpose()?.unwrap_or_default();
        let method = self.method.method();
        Ok(dedup_key(HttpJson::NAME, [&self.upstream, method.as_str(), &self.path, &query, &headers, &body]))
    }
}

#[cfg(test)]
mod tests {
    use fleetline_shared::domain::DynKind;

    use super::*;
    use crate::upstream::{ApiConfig, UpstreamSettings};

    fn kind() -> HttpJson {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ApiConfig {
            base_url: "https://h/v2".into(),
            auth: None,
            headers: vec![("x-key".into(), "k".into())],
            settings: UpstreamSettings::default(),
        };
        let api = ApiClient::new("jira", &config).expect("good settings");
        HttpJson::new(Apis::from([("jira".to_owned(), Arc::new(api))]), KindPolicy::default())
    }

    fn appraise(json: &str) -> Result<Appraisal, String> {
        DynKind::appraise(&kind(), &RawValue::from_string(json.to_owned()).expect("JSON"))
    }

    #[test]
    fn same_calls_have_the_same_key() {
        let of = |json: &str| appraise(json).expect("a call").dedup_key;
        let call = of(r#"{"upstream": "jira", "path": "/a", "body": {"x": 1, "y": [2]}}"#);
        let same = [
            r#"{"body": { "y": [2], "x": 1 }, "path": "/a", "upstream": "jira", "method": "POST"}"#,
            r#"{"upstream": "jira", "path": "/a", "body": {"x": 1, "y": [2]}, "tokens": 5, "query": {}}"#,
        ];
        let others = [
            r#"{"upstream": "jira", "path": "/a", "body": {"x": 1, "y": [3]}}"#,
            r#"{"upstream": "jira", "path": "/b", "body": {"x": 1, "y": [2]}}"#,
            r#"{"upstream": "jira", "path": "/a", "body": {"x": 1, "y": [2]}, "method": "PUT"}"#,
            r#"{"upstream": "jira", "path": "/a", "body": {"x": 1, "y": [2]}, "query": {"x": "1"}}"#,
            r#"{"upstream": "jira", "path": "/a", "body": {"x": 1, "y": [2]}, "headers": {"x": "1"}}"#,
            r#"{"upstream": "jira", "path": "/a"}"#,
        ];
        assert!(same.iter().all(|json| of(json) == call));
        assert!(others.iter().all(|json| of(json) != call));
    }

    #[test]
    fn the_upstream_of_a_job_is_the_one_it_names() {
        let appraisal = appraise(r#"{"upstream": "jira", "path": "/a", "tokens": 7}"#).expect("a call");
        assert_eq!(appraisal.upstream.as_deref(), Some("jira"));
        assert_eq!(appraisal.estimate, Estimate { input_tokens: 7, output_tokens: 0 });
    }

    #[test]
    fn bad_args_are_refused_before_they_are_accepted() {
        for (json, part) in [
            (r#"{"upstream": "jria", "path": "/a"}"#, "there is no `jria` to call (there is jira)"),
            (r#"{"upstream": "jira", "path": "https://other/"}"#, "`path`: begins with /"),
            (r#"{"upstream": "jira", "path": "/../x"}"#, "`path`: must not have"),
            (r#"{"upstream": "jira", "path": "/a", "method": "GET", "body": 1}"#, "`body`: a GET has none"),
            (r#"{"upstream": "jira", "path": "/a", "method": "TRACE"}"#, "unknown variant `TRACE`"),
            (r#"{"upstream": "jira", "path": "/a", "headers": {"X-Key": "v"}}"#, "`X-Key` is not for jobs"),
            (r#"{"upstream": "jira", "path": "/a", "headers": {"Host": "v"}}"#, "`Host` is not for jobs"),
            (r#"{"upstream": "jira", "path": "/a", "headers": {"a b": "v"}}"#, "is no header's name"),
            (r#"{"upstream": "jira", "path": "/a", "headers": {"a": "b\n"}}"#, "must not have"),
            (r#"{"upstream": "jira", "path": "/a", "bdy": 1}"#, "unknown field `bdy`"),
        ] {
            let problem = appraise(json).expect_err(json);
            assert!(problem.contains(part), "{problem}");
        }
    }
}
