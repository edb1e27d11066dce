//! The id that an upstream gives a request: what its support asks for.

use reqwest::header::HeaderMap;

/// `OpenAI` and most; Anthropic; Azure's gateway and services; Datadog; Jira.
const NAMES: [&str; 8] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-ms-request-id",
    "dd-request-id",
    "x-datadog-trace-id",
    "atl-traceid",
    "x-arequestid",
];
/// Longer ones are cut.
const MAX_CHARS: usize = 128;

/// The first that is there. Only letters, digits and what ids are joined with: it goes into errors
/// and logs, and the server wrote it.
pub(super) fn of(headers: &HeaderMap) -> Option<String> {
    let clean = |text: &str| -> String {
        let allowed = |char: &char| char.is_ascii_alphanumeric() || "-_.:/+=~".contains(*char);
        text.chars().filter(allowed).take(MAX_CHARS).collect()
    };
    let mut texts = NAMES.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    texts.find_map(|text| Some(clean(text)).filter(|id| !id.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for (headers, expected) in [
            (&[][..], None),
            (&[("x-request-id", "req_1a-2")], Some("req_1a-2")),
            (&[("atl-traceid", "4f"), ("x-request-id", " ")], Some("4f")),
            (&[("apim-request-id", "bb94"), ("x-ms-request-id", "other")], Some("bb94")),
            (&[("request-id", "a) <b>\"c\"")], Some("abc")),
            (&[("x-trace", "1")], None),
        ] {
            let map = headers
                .iter()
                .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
                .collect();
            assert_eq!(of(&map).as_deref(), expected, "{headers:?}");
        }
        let long: HeaderMap =
            [("request-id".parse().expect("a name"), "x".repeat(9_000).parse().expect("a value"))]
                .into_iter()
                .collect();
        assert_eq!(of(&long).map(|id| id.len()), Some(MAX_CHARS));
    }
}
