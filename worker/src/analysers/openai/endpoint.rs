//! Where calls go, and with which headers.

use std::fs;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::config::{OpenAiConfig, OpenAiError};

const PATH: &str = "/chat/completions";

/// The address of chat completions, or what is wrong with the base URL.
pub(super) fn url(config: &OpenAiConfig) -> Result<Url, String> {
    let base = config.base_url.trim().trim_end_matches('/');
    let base = base.strip_suffix(PATH).unwrap_or(base);
    let wrong = |why: &dyn std::fmt::Display| format!("base_url `{}`: {why}", config.base_url);
    let mut url = Url::parse(base)
        .map_err(|error| wrong(&format!("{error}; write it like https://api.openai.com/v1")))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(&"must be http:// or https:// without a query"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("base_url holds a user name or password: put the key into api_key".to_owned());
    }
    let mut path = url.path_segments_mut().map_err(|()| wrong(&"cannot have a path"))?;
    path.pop_if_empty();
    if let Some(deployment) = &config.deployment {
        if !base.ends_with("/openai") {
            path.push("openai");
        }
        path.push("deployments").push(deployment);
    }
    path.push("chat").push("completions");
    drop(path);
    if let Some(version) = &config.api_version {
        url.query_pairs_mut().append_pair("api-version", version);
    }
    Ok(url)
}

/// The key from the settings or from its file.
pub(super) fn key(config: &OpenAiConfig) -> Result<Option<SecretString>, OpenAiError> {
    let Some(path) = &config.api_key_file else { return Ok(config.api_key.clone()) };
    let failed = |message: String| OpenAiError::KeyFile { path: path.clone(), message };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    match text.trim() {
        "" => Err(failed("the file is empty: put the key into it".to_owned())),
        key => Ok(Some(key.into())),
    }
}

/// The headers of every call; those with secrets are marked so.
pub(super) fn headers(config: &OpenAiConfig, key: Option<&SecretString>) -> Result<HeaderMap, OpenAiError> {
    let mut headers = HeaderMap::new();
    let mut problems = Vec::new();
    let mut add = |name: HeaderName, value: &str| match HeaderValue::from_str(value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Err(_) => {
            problems.push(format!("the value for header {name} has characters that a header must not have"));
        }
    };
    if let Some(key) = key {
        match config.deployment {
            Some(_) => add(HeaderName::from_static("api-key"), key.expose_secret()),
            None => add(AUTHORIZATION, &format!("Bearer {}", key.expose_secret())),
        }
    }
    if let Some(organization) = &config.organization {
        add(HeaderName::from_static("openai-organization"), organization);
    }
    if let Some(project) = &config.project {
        add(HeaderName::from_static("openai-project"), project);
    }
    let mut bad_names = Vec::new();
    for (name, value) in &config.headers {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => add(name, value.expose_secret()),
            Err(_) => bad_names.push(format!("`{name}` is not a header's name")),
        }
    }
    problems.extend(bad_names);
    if problems.is_empty() { Ok(headers) } else { Err(OpenAiError::Settings(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(base_url: &str, deployment: Option<&str>) -> OpenAiConfig {
        OpenAiConfig {
            base_url: base_url.into(),
            deployment: deployment.map(Into::into),
            api_version: deployment.map(|_| "2024-10-21".into()),
            ..OpenAiConfig::default()
        }
    }

    #[test]
    fn addresses() {
        let azure =
            "https://n.openai.azure.com/openai/deployments/my%2Fgpt/chat/completions?api-version=2024-10-21";
        for (base, deployment, expected) in [
            ("https://api.openai.com/v1", None, "https://api.openai.com/v1/chat/completions"),
            ("http://localhost:11434/v1/", None, "http://localhost:11434/v1/chat/completions"),
            ("http://localhost:8000", None, "http://localhost:8000/chat/completions"),
            ("https://h/v1/chat/completions", None, "https://h/v1/chat/completions"),
            ("https://n.openai.azure.com", Some("my/gpt"), azure),
            ("https://n.openai.azure.com/openai/", Some("my/gpt"), azure),
        ] {
            assert_eq!(url(&config(base, deployment)).as_ref().map(Url::as_str), Ok(expected));
        }
        for base in
            ["", "localhost:8000", "api.openai.com/v1", "file:///etc", "https://h/?a=b", "https://me:pw@h/v1"]
        {
            let problem = url(&config(base, None)).expect_err(base);
            assert!(problem.contains("base_url") && !problem.contains("me:pw"), "{problem}");
        }
    }

    #[test]
    fn keys_travel_as_the_server_expects() {
        let key: SecretString = "sk-1".into();
        let plain = headers(&config("https://h", None), Some(&key)).expect("headers");
        assert_eq!(plain[AUTHORIZATION], "Bearer sk-1");
        let azure = headers(&config("https://h", Some("d")), Some(&key)).expect("headers");
        assert_eq!(azure["api-key"], "sk-1");
        assert!(!azure.contains_key(AUTHORIZATION) && !format!("{azure:?}").contains("sk-1"));
        let broken: SecretString = "sk\n1".into();
        let error = headers(&config("https://h", None), Some(&broken)).expect_err("a line break");
        assert!(!error.to_string().contains("sk"), "{error}");
    }
}
