//! The broker's management API: policies, and what people see of queues.

use std::time::Duration;

use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::Value;

use crate::domain::PortError;
use crate::rabbitmq::SecretUrl;
use crate::rabbitmq::error::{broken, invalid, unavailable};
use crate::tls::{CaFile, trouble};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A client of the management API.
#[derive(Clone, Debug)]
pub struct Management {
    url: SecretUrl,
    client: Client,
}

impl Management {
    /// A client; the URL is `http://user:password@host:15672`. `ca`: who may have signed the
    /// certificate, beside the system's authorities.
    pub fn new(url: impl Into<SecretUrl>, ca: Option<&CaFile>) -> Result<Self, PortError> {
        // Whoever comes first installs it; it is the same everywhere.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let no_client = |error: reqwest::Error| broken(format!("no HTTP client: {}", error.without_url()));
        let own = ca.map(|ca| Certificate::from_pem_bundle(ca.pem().as_bytes())).transpose();
        let own = own.map_err(no_client)?.unwrap_or_default();
        let client = Client::builder().timeout(PATIENCE).tls_certs_merge(own).build().map_err(no_client)?;
        Ok(Self { url: url.into(), client })
    }

    /// What is at this path; `None` if it does not exist.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>, PortError> {
        self.call(Method::GET, path, None).await
    }

    /// The same; also `None` if the user of the API may not see it.
    pub(super) async fn get_if_shown(&self, path: &str) -> Result<Option<Value>, PortError> {
        match self.get(path).await {
            Err(PortError::Invalid { .. }) => Ok(None),
            shown => shown,
        }
    }

    /// `false`: what it would be part of does not exist.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<bool, PortError> {
        Ok(self.call(Method::PUT, path, Some(body)).await?.is_some())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Value>, PortError> {
        let url = format!("{}/api/{path}", self.url.expose().trim_end_matches('/'));
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = |error: reqwest::Error| {
            // The URL may hold a password.
            let error = error.without_url();
            let why = trouble(&error, "rabbitmq.ca_file")
                .unwrap_or_else(|| format!("{error}; is the plugin on, and the URL right?"));
            unavailable(format!("management API {}: {why}", self.url))
        };
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(invalid(format!(
                "management API {}: {status}; check user and password, and give the user the tag \
                 `management` to look, `policymaker` to set policies",
                self.url
            ))),
            status if status.is_success() => Ok(Some(serde_json::from_str(&text).unwrap_or_default())),
            status => Err(broken(format!("management API {}: {path}: {status}: {text:.300}", self.url))),
        }
    }
}

/// A part of a path.
pub(super) fn segment(name: &str) -> String {
    use std::fmt::Write;
    name.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}
