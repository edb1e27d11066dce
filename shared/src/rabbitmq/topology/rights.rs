//! Whether the user may do what `serve` and `work` do.

use regex::Regex;
use serde_json::Value;

use super::management::{Management, segment};
use super::{EXCHANGES, REJECTED_QUEUE, Topology};
use crate::domain::{Finding, PortError};
use crate::rabbitmq::RabbitOptions;

/// What the user of the AMQP URL may not do, and must; `None`: the management API does not show it. Its own user has
/// to be an administrator, and the rights in the broker itself. To configure is not looked at: who may not only looks
/// whether everything is there.
pub async fn rights(
    options: &RabbitOptions,
    management: &Management,
    topology: &Topology,
) -> Result<Option<Vec<Finding>>, PortError> {
    let uri = options.uri()?;
    let (vhost, user) = (segment(&uri.vhost), segment(&uri.authority.userinfo.username));
    let shown = management.get_if_shown(&format!("permissions/{vhost}/{user}")).await?;
    Ok(shown.map(|rights| findings(&rights, &uri.vhost, topology)))
}

fn findings(rights: &Value, vhost: &str, topology: &Topology) -> Vec<Finding> {
    let exchanges = EXCHANGES.iter().map(|(name, _)| (*name).to_owned());
    // That one is for people.
    let queues = topology.queues().map(|queue| queue.name).filter(|name| name != REJECTED_QUEUE);
    let remedy = format!(
        "let it: `rabbitmqctl set_permissions -p {vhost} USER '{}' '^(fleetline\\.|amq\\.default$)' '^fleetline\\.'`",
        pattern(rights, "configure")
    );
    let mut findings = Vec::new();
    let mut look = |right: &str, names: Vec<String>| {
        let refused = refused(pattern(rights, right), names);
        if !refused.is_empty() {
            let problem = format!("the user may not {right} {}", refused.join(", "));
            findings.push(Finding::new("permissions", problem, remedy.as_str()));
        }
    };
    look("write", exchanges.collect());
    look("read", queues.collect());
    findings
}

fn pattern<'r>(rights: &'r Value, right: &str) -> &'r str {
    rights[right].as_str().unwrap_or_default()
}

/// The broker takes an empty pattern for `^$`. What only its own dialect of patterns can say is left to it.
fn refused(pattern: &str, names: Vec<String>) -> Vec<String> {
    let Ok(allowed) = Regex::new(if pattern.is_empty() { "^$" } else { pattern }) else { return Vec::new() };
    names.into_iter().filter(|name| !allowed.is_match(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_patterns_of_names() {
        let names = || vec!["fleetline.jobs".to_owned(), "fleetline.dead".to_owned()];
        for (pattern, lacking) in [
            (".*", &[][..]),
            ("^fleetline\\.", &[]),
            ("jobs", &["fleetline.dead"]),
            ("^$", &["fleetline.jobs", "fleetline.dead"]),
            ("", &["fleetline.jobs", "fleetline.dead"]),
            ("^(?!other)", &[]),
        ] {
            assert_eq!(refused(pattern, names()), lacking, "{pattern}");
        }
    }
}
