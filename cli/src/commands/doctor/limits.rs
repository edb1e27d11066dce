//! Limits of this process that are not those in force.

use std::collections::BTreeMap;

use fleetline_shared::domain::Finding;
use fleetline_shared::ports::{Limits, Rates};
use fleetline_shared::redis::quotas::as_kept;

/// What differs, of upstreams that the fleet knows.
pub(super) fn differences(
    here: &BTreeMap<String, Limits>,
    in_force: &BTreeMap<String, Limits>,
) -> Vec<Finding> {
    let both = here.iter().filter_map(|(name, here)| Some((name, here, in_force.get(name)?)));
    both.filter_map(|(name, here, in_force)| difference(name, here, in_force)).collect()
}

/// Whether nothing here keeps the fleet from calling as fast as its workers can: neither a rate nor a budget nor
/// places, and not that this is meant.
pub(super) fn has_no_quota(limits: &Limits) -> bool {
    !limits.discover && !limits.lifted && !limits.has_places() && limits.rates() == Rates::default()
}

fn difference(name: &str, here: &Limits, in_force: &Limits) -> Option<Finding> {
    let subject = format!("upstreams.{name}");
    if here.are_open() {
        return (!in_force.are_open()).then(|| {
            Finding::new(
                subject,
                "no limit is set here: those in force are other processes'",
                "set the same here; if no process has them any more, lift them with quota = \"unlimited\"",
            )
        });
    }
    let keys = keys(&as_kept(here), in_force);
    (!keys.is_empty()).then(|| {
        Finding::new(
            subject,
            format!("not as in force: {}", keys.join(", ")),
            "give all processes the same section and restart them: who starts last says what holds; \
             `fleetline upstreams --fleet` shows the limits in force",
        )
    })
}

/// The settings that differ.
fn keys(here: &Limits, in_force: &Limits) -> Vec<&'static str> {
    let differ = [
        ("requests", here.requests != in_force.requests),
        ("input_tokens", here.input_tokens != in_force.input_tokens),
        ("output_tokens", here.output_tokens != in_force.output_tokens),
        ("tokens", here.tokens != in_force.tokens),
        ("budget", here.budget != in_force.budget),
        ("concurrency", here.concurrency != in_force.concurrency),
        ("per_tenant", here.per_tenant != in_force.per_tenant),
        ("per_model", here.per_model != in_force.per_model),
        ("breaker", here.breaker != in_force.breaker),
        ("quota", here.discover != in_force.discover),
        ("adaptive", here.adaptive != in_force.adaptive),
    ];
    differ.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::Sources;

    fn limits(toml: &str) -> Limits {
        Sources::new(&format!("[upstreams.openai]\n{toml}")).load().config.upstreams["openai"].limits()
    }

    #[test]
    fn any_limit_is_a_quota() {
        for (toml, expected) in [
            ("", true),
            ("breaker = { failures = 9 }", true),
            ("requests = '5/s'", false),
            ("input_tokens = '1k/s'", false),
            ("output_tokens = '1k/s'", false),
            ("tokens = '1k/s'", false),
            ("budget = '20 USD/day'\nprices = { gpt-4o-mini = { input = 1, output = 2 } }", false),
            ("concurrency = 8", false),
            ("adaptive = { max = 64 }", false),
            ("quota = 'discover'", false),
            ("quota = 'unlimited'", false),
        ] {
            assert_eq!(has_no_quota(&limits(toml)), expected, "{toml}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        for (here, in_force, expected) in [
            ("", "", None),
            ("requests = '5/s'", "requests = '5/s'", None),
            ("concurrency = 4\nadaptive = { max = 9 }", "concurrency = 4\nadaptive = { max = 9 }", None),
            ("quota = 'unlimited'", "", None),
            ("", "breaker = { failures = 9 }", None),
            ("", "tokens = '1k/s'", Some("no limit is set here")),
            (
                "requests = '5/s'",
                "requests = '6/s'\nconcurrency = 3",
                Some("in force: requests, concurrency"),
            ),
            (
                "quota = 'unlimited'",
                "budget = '1 USD/h'\nprices = { gpt-4o-mini = { input = 1, output = 1 } }",
                Some("in force: budget"),
            ),
            ("concurrency = 1\nbreaker = { failures = 9 }", "concurrency = 1", Some("in force: breaker")),
        ] {
            let found = difference("openai", &limits(here), &as_kept(&limits(in_force)));
            let problem = found.as_ref().map(|found| found.problem.as_str());
            match (problem, expected) {
                (None, None) => {}
                (Some(problem), Some(part)) => assert!(problem.contains(part), "{here}: {problem}"),
                _ => panic!("{here}, in force {in_force}: {found:?}"),
            }
        }
    }
}
