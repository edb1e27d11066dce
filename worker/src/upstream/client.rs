//! One client per upstream: pooled connections, limits, and what every call has in common.

use std::error::Error as _;
use std::time::{Instant, SystemTime};

use fleetline_shared::domain::{CallContext, Feedback, JobError};
use fleetline_shared::tls::trouble;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, Request, RequestBuilder, StatusCode, Url};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::value::RawValue;

use super::body::read;
use super::feedback::{self, Vendor};
use super::secrets::{Secrets, reworded};
use super::{UpstreamSettings, request_id, trace};

/// Bytes of an answer.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Bytes of an error that are read. Less is shown.
const MAX_ERROR: usize = 64 * 1024;

/// Calls one upstream. Speaks HTTP/2 where the server offers it.
///
/// Errors and logs hold no secret, no query and no body; where it is, logs alone say.
pub struct UpstreamClient {
    name: String,
    http: Client,
    vendor: Vendor,
    secrets: Secrets,
}

/// A call with all that is its own.
pub struct Outgoing<'a> {
    /// What to do.
    pub method: Method,
    /// With what.
    pub url: Url,
    /// Beside those of every call.
    pub headers: HeaderMap,
    /// Sent as JSON, if there is any.
    pub body: Option<&'a RawValue>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, of an error only the beginning.
    pub body: Vec<u8>,
    /// What its headers say about quota.
    pub feedback: Feedback,
    /// The upstream's name for the request.
    pub request_id: Option<String>,
}

impl UpstreamClient {
    /// A client that sends `headers` with every call. `secrets` are what no error may show.
    /// The error says why there can be none.
    ///
    /// A process-wide TLS provider must be installed (`rustls::crypto`).
    pub fn new(
        name: &str,
        settings: &UpstreamSettings,
        headers: HeaderMap,
        secrets: Vec<SecretString>,
    ) -> Result<Self, String> {
        let mut builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("fleetline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_max_idle_per_host(settings.idle_connections)
            .pool_idle_timeout(settings.idle_timeout)
            .gzip(true)
            // The input and the key go to the configured server or nowhere.
            .redirect(Policy::none())
            // Every call that leaves is counted, so none leaves twice.
            .retry(reqwest::retry::never());
        if let Some(silence) = settings.read_timeout {
            builder = builder.read_timeout(silence);
        }
        if let Some(ca) = &settings.ca {
            let own = Certificate::from_pem_bundle(ca.pem().as_bytes()).map_err(|error| chain(&error))?;
            builder = builder.tls_certs_merge(own);
        }
        let http = builder.build().map_err(|error| chain(&error))?;
        let (vendor, secrets) = (settings.vendor, Secrets::new(secrets));
        Ok(Self { name: name.to_owned(), http, vendor, secrets })
    }

    /// A call with a JSON body. Any status is an answer; an error means that there was none, or
    /// that it has more than [`MAX_ANSWER`] bytes.
    ///
    /// The call and what is heard about quota are on the books of `context` whatever comes of it.
    pub async fn post(
        &self,
        url: &Url,
        body: &(impl Serialize + Sync),
        context: &CallContext,
    ) -> Result<Answer, JobError> {
        self.make(self.http.request(Method::POST, url.clone()).json(body), context).await
    }

    /// The same for any call.
    pub async fn call(&self, outgoing: Outgoing<'_>, context: &CallContext) -> Result<Answer, JobError> {
        let Outgoing { method, url, headers, body } = outgoing;
        let request = self.http.request(method, url).headers(headers);
        self.make(if let Some(body) = body { request.json(body) } else { request }, context).await
    }

    async fn make(&self, request: RequestBuilder, context: &CallContext) -> Result<Answer, JobError> {
        let request = request.header("traceparent", trace::parent(context.job_id)).build();
        let request = request.map_err(|error| JobError::Permanent(chain(&error.without_url())))?;
        let call = CallLog::of(&self.name, &request, context);
        let answer = self.send(request, context).await;
        call.end(&answer);
        answer
    }

    /// What an answer's error is to say: without secrets, and with the upstream's name for the
    /// request, which its support asks for.
    pub fn error(&self, error: JobError, answer: &Answer) -> JobError {
        self.worded(error, answer.request_id.as_deref())
    }

    async fn send(&self, request: Request, context: &CallContext) -> Result<Answer, JobError> {
        context.begin_call()?;
        let sent = self.http.execute(request).await;
        let mut response = sent.map_err(|error| self.unanswered(error, None))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let feedback = heard(self.vendor, status, &headers);
        context.heard(feedback.clone());
        context.answered(!status.is_success());
        let request_id = request_id::of(&headers).map(|id| self.secrets.hide(id));
        let most = if status.is_success() { MAX_ANSWER } else { MAX_ERROR };
        let body = match read(&mut response, most).await {
            Ok((body, cut)) if !(cut && status.is_success()) => body,
            Ok(_) => {
                let error = JobError::Retryable(format!("the answer has more than {MAX_ANSWER} bytes"));
                return Err(self.worded(error, request_id.as_deref()));
            }
            Err(error) if status.is_success() => {
                return Err(self.unanswered(error, request_id.as_deref()));
            }
            // An error whose text cannot be read is told by its status.
            Err(_) => Vec::new(),
        };
        Ok(Answer { status, headers, body, feedback, request_id })
    }

    /// Who submitted the job reads it, so it does not say where the upstream is.
    fn unanswered(&self, error: reqwest::Error, request_id: Option<&str>) -> JobError {
        let what = match () {
            () if error.is_connect() => "no connection",
            () if error.is_timeout() => "no answer in time",
            () => "the call failed",
        };
        let error = error.without_url();
        let hint = if error.is_connect() { "; is base_url right, and does the server run?" } else { "" };
        let why = trouble(&error, "its ca_file").unwrap_or_else(|| format!("{}{hint}", chain(&error)));
        let message = format!("{what} ({}): {why}", self.name);
        self.worded(JobError::Retryable(message), request_id)
    }

    fn worded(&self, error: JobError, request_id: Option<&str>) -> JobError {
        let id = request_id.map(|id| format!(" (request id {id})")).unwrap_or_default();
        reworded(error, |message| self.secrets.hide(message + &id))
    }
}

/// To a success, `retry-after` means something else: when to look for what was asked for.
fn heard(vendor: Vendor, status: StatusCode, headers: &HeaderMap) -> Feedback {
    let feedback = feedback::of_headers(vendor, headers, SystemTime::now());
    if status.is_success() { Feedback { retry_after: None, ..feedback } } else { feedback }
}

/// What the log says of one call.
struct CallLog<'a> {
    upstream: &'a str,
    context: &'a CallContext,
    method: Method,
    host: String,
    path: String,
    started: Instant,
}

impl<'a> CallLog<'a> {
    fn of(upstream: &'a str, request: &Request, context: &'a CallContext) -> Self {
        let (method, url) = (request.method().clone(), request.url());
        let (host, path) = (url.origin().ascii_serialization(), url.path().to_owned());
        Self { upstream, context, method, host, path, started: Instant::now() }
    }

    fn end(self, answer: &Result<Answer, JobError>) {
        let Self { upstream, context, method, host, path, started } = self;
        let (job, attempt) = (context.job_id, context.attempt);
        let ms = started.elapsed().as_millis();
        match answer {
            Ok(Answer { status, request_id, headers, .. }) => {
                let to = headers.get(LOCATION).filter(|_| status.is_redirection());
                if let Some(to) = to {
                    tracing::warn!(upstream, %job, host, path, ?to, "a redirect, which is not followed");
                }
                let (status, id) = (status.as_u16(), request_id.as_deref().unwrap_or("-"));
                tracing::debug!(upstream, %job, attempt, %method, host, path, status, ms, request_id = id, "called");
            }
            Err(error) => {
                tracing::debug!(upstream, %job, attempt, %method, host, path, ms, %error, "called in vain");
            }
        }
    }
}

/// An error with its causes; the outermost alone often says nothing.
fn chain(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said
}
