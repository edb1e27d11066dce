//! `RateLimit` and `RateLimit-Policy`, the draft of the IETF's HTTPAPI group, and its older spellings.

use std::collections::HashMap;

use fleetline_shared::domain::{Dimension, Feedback};

use super::reading::{Headers, window};
use super::standings::{Written, note};

/// `RateLimit: "default";r=50;t=30` with `RateLimit-Policy: "default";q=100;w=60`; before 2024
/// `RateLimit: limit=100, remaining=50, reset=30`, and before 2023 one header for each.
pub(super) fn ietf(headers: &Headers, feedback: &mut Feedback) {
    let Some(text) = headers.text("ratelimit") else {
        return plain(headers, feedback, |name| headers.text(&format!("ratelimit-{name}")));
    };
    let policies: HashMap<&str, Item> =
        items(headers.text("ratelimit-policy").unwrap_or_default()).map(|item| (item.name, item)).collect();
    let standing: Vec<Item> = items(text).collect();
    if standing.iter().any(|item| item.name.starts_with("remaining=")) {
        let value =
            |name: &str| standing.iter().find_map(|item| item.name.strip_prefix(name)?.strip_prefix('='));
        return plain(headers, feedback, value);
    }
    for item in standing {
        let policy = policies.get(item.name);
        let of_policy = |key: &str| policy.and_then(|policy| policy.get(key));
        let dimension = match of_policy("qu") {
            None | Some("requests") => Dimension::Requests,
            Some("concurrent-requests") => Dimension::Concurrency,
            Some(_) => continue,
        };
        let written = Written {
            limit: of_policy("q"),
            remaining: item.get("r"),
            reset: item.get("t").and_then(|reset| headers.reset(reset)),
            window: of_policy("w").and_then(window),
        };
        note(feedback, dimension, written);
    }
}

fn plain<'a>(headers: &Headers, feedback: &mut Feedback, value: impl Fn(&str) -> Option<&'a str>) {
    let reset = value("reset").and_then(|reset| headers.reset(reset));
    let written = Written { limit: value("limit"), remaining: value("remaining"), reset, window: None };
    note(feedback, Dimension::Requests, written);
}

/// One element of a list, with its parameters.
struct Item<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Item<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }
}

/// Names of policies hold neither commas nor semicolons in practice; one that does is not found.
fn items(list: &str) -> impl Iterator<Item = Item<'_>> {
    list.split(',').map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().trim_matches('"');
        let parameters = parts
            .filter_map(|part| part.split_once('='))
            .map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
            .collect();
        Item { name, parameters }
    })
}
