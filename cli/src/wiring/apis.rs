//! The APIs that `http.json` calls, with their secrets read from where they are.

use std::path::Path;
use std::sync::Arc;

use fleetline_shared::tls::CaFile;
use fleetline_worker::kinds::Apis;
use fleetline_worker::upstream::feedback::Vendor;
use fleetline_worker::upstream::{ApiClient, ApiConfig, UpstreamSettings};
use secrecy::SecretString;

use crate::config::{self, Config, HeaderSource, Upstream};
use crate::exit::CliError;

/// One for each upstream that says where it is.
pub(super) fn of(config: &Config) -> Result<Apis, CliError> {
    let upstreams = config.upstreams.iter();
    let with_base =
        upstreams.filter_map(|(name, upstream)| Some((name, upstream, upstream.base_url.as_ref()?)));
    with_base
        .map(|(name, upstream, base_url)| {
            let api = api_config(upstream, base_url).and_then(|config| ApiClient::new(name, &config));
            let api = api.map_err(|problem| CliError::Usage(format!("[upstreams.{name}]: {problem}")))?;
            Ok((name.clone(), Arc::new(api)))
        })
        .collect()
}

fn api_config(upstream: &Upstream, base_url: &str) -> Result<ApiConfig, String> {
    let headers = upstream.headers.iter();
    let headers = headers.map(|(name, source)| {
        Ok((name.clone(), value(source).map_err(|problem| format!("headers.{name}: {problem}"))?))
    });
    let auth = match &upstream.auth_file {
        Some(path) => Some(in_file(path).map_err(|problem| format!("auth_file: {problem}"))?),
        None => upstream.auth.clone(),
    };
    Ok(ApiConfig {
        base_url: base_url.to_owned(),
        auth,
        headers: headers.collect::<Result<_, String>>()?,
        settings: UpstreamSettings {
            connect_timeout: upstream.connect_timeout,
            read_timeout: upstream.read_timeout,
            timeout: upstream.timeout,
            idle_connections: upstream.idle_connections,
            idle_timeout: upstream.idle_timeout,
            ca: upstream
                .ca_file
                .as_deref()
                .map(CaFile::read)
                .transpose()
                .map_err(|problem| format!("ca_file: {problem}"))?,
            vendor: vendor(upstream.vendor),
        },
    })
}

fn value(source: &HeaderSource) -> Result<SecretString, String> {
    match source {
        HeaderSource::Text(text) => Ok(text.clone()),
        HeaderSource::File(path) => in_file(path),
        HeaderSource::Env(name) => match std::env::var(name) {
            Ok(text) if !text.trim().is_empty() => Ok(text.trim().into()),
            _ => Err(format!("set {name} in the environment: it is empty or no text")),
        },
    }
}

fn in_file(path: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("{} is empty: put the secret into it", path.display())),
        secret => Ok(secret.into()),
    }
}

fn vendor(vendor: config::Vendor) -> Vendor {
    match vendor {
        config::Vendor::Plain => Vendor::Plain,
        config::Vendor::OpenAi => Vendor::OpenAi,
        config::Vendor::Azure => Vendor::Azure,
        config::Vendor::Jira => Vendor::Jira,
        config::Vendor::Datadog => Vendor::Datadog,
        config::Vendor::Ga4 => Vendor::Ga4,
    }
}
