//! "Did you mean": the key that a mistyped one was probably meant to be.

use strsim::normalized_damerau_levenshtein as alike;

use super::schema::Schema;

/// Names further apart than this are not the same name mistyped.
const ALIKE_ENOUGH: f64 = 0.6;

/// The most similar key, if one is similar enough. Sections are candidates only if asked for:
/// the environment sets no sections.
pub(super) fn suggest(schema: &Schema, unknown: &str, sections_too: bool) -> Option<String> {
    let (mut candidates, sections) = schema.names();
    if sections_too {
        candidates.extend(sections);
    }
    let scored = candidates.into_iter().map(|candidate| {
        let candidate = for_same_upstream(unknown, candidate);
        (score(unknown, &candidate), candidate)
    });
    scored
        .filter(|(score, _)| *score >= ALIKE_ENOUGH)
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.len().cmp(&x.len())))
        .map(|(_, candidate)| candidate)
}

/// The keys of all upstreams are the same, and those of all tenants.
fn for_same_upstream(unknown: &str, candidate: String) -> String {
    let (unknown, key): (Vec<_>, Vec<_>) = (unknown.split('.').collect(), candidate.split('.').collect());
    match (&unknown[..], &key[..]) {
        (["upstreams", upstream, "per_model", model, _], ["upstreams", _, "per_tenant", name]) => {
            format!("upstreams.{upstream}.per_model.{model}.{name}")
        }
        (["upstreams", upstream, .., _], ["upstreams", _, name @ ..]) => {
            format!("upstreams.{upstream}.{}", name.join("."))
        }
        (["tenants", tenant, _], ["tenants", _, name]) => format!("tenants.{tenant}.{name}"),
        _ => candidate,
    }
}

/// The last step counts most: a right key in the wrong section is a common mistake. A long section
/// in common makes no likeness by itself.
fn score(unknown: &str, candidate: &str) -> f64 {
    let (section, name) = unknown.rsplit_once('.').unwrap_or(("", unknown));
    let (its_section, its_name) = candidate.rsplit_once('.').unwrap_or(("", candidate));
    let by_steps = match alike(name, its_name) {
        similar if similar >= ALIKE_ENOUGH => 0.75 * similar + 0.25 * alike(section, its_section),
        _ => 0.0,
    };
    // `worker_concurrency`: the steps run together.
    let as_a_whole = alike(&unknown.replace('.', "_"), &candidate.replace('.', "_"));
    if as_a_whole > 0.9 { by_steps.max(as_a_whole) } else { by_steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let schema = Schema::built_in();
        let table = [
            ("worker.concurency", Some("worker.concurrency")),
            ("wroker.concurrency", Some("worker.concurrency")),
            ("worker_concurrency", Some("worker.concurrency")),
            ("concurrency", Some("worker.concurrency")),
            ("worker.max_attempts", Some("jobs.max_attempts")),
            ("openai.apikey", Some("openai.api_key")),
            ("upstreams.openai.request", Some("upstreams.openai.requests")),
            ("upstreams.jira.token", Some("upstreams.jira.tokens")),
            ("logs.fields.mesage", Some("logs.fields.message")),
            ("wroker", Some("worker")),
            ("discovery.colour", None),
            ("service.host", None),
            ("x", None),
        ];
        for (unknown, meant) in table {
            assert_eq!(suggest(&schema, unknown, true).as_deref(), meant, "{unknown}");
        }
        assert_ne!(suggest(&schema, "wroker", false).as_deref(), Some("worker"));
    }
}
