//! Compares a broker with the topology.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::Value;
use tokio::time::Instant;

use super::declare::kind_of;
use super::definitions::PRIORITY;
use super::management::{Management, segment};
use super::policies::is_ours;
use super::{EXCHANGES, Queue, Topology};
use crate::domain::{Finding, PortError};
use crate::rabbitmq::RabbitOptions;
use crate::rabbitmq::error::{NOT_FOUND, PRECONDITION_FAILED, answered};
use crate::rabbitmq::link::{Link, Live};

/// What to do about whatever differs because nobody set it.
pub const APPLY: &str = "run `fleetline topology apply`";

/// What differs from the topology; empty if nothing does. Changes nothing, and needs no permission
/// to configure. Without the management API only the existence of exchanges and queues is checked.
pub async fn check(
    options: &RabbitOptions,
    management: Option<&Management>,
    topology: &Topology,
) -> Result<Vec<Finding>, PortError> {
    let link = Link::start(options, "topology")?;
    let live = link.connection(Instant::now() + link.patience).await?;
    let mut checker =
        Checker { link: &link, live, vhost: segment(&options.uri()?.vhost), findings: Vec::new() };
    for (name, kind) in EXCHANGES {
        checker.exchange(name, kind).await?;
    }
    let seen = match management {
        Some(management) => Some((management, Seen::load(management, &checker.vhost).await?)),
        None => None,
    };
    for queue in topology.queues() {
        if checker.queue(&queue).await?
            && let Some((management, seen)) = &seen
        {
            checker.properties(seen, &queue, topology);
            checker.binding(management, &queue).await?;
        }
    }
    if management.is_none() {
        let problem = "no management URL: limits, dead-lettering and bindings were not checked";
        checker.find("policies", problem, "give the URL of the management API");
    }
    let findings = checker.findings;
    link.close().await;
    Ok(findings)
}

/// Queues and policies of the virtual host as the management API shows them.
struct Seen {
    queues: Value,
    policies: Value,
}

impl Seen {
    async fn load(management: &Management, vhost: &str) -> Result<Self, PortError> {
        // Without statistics, which lag some seconds behind, the answer is of this moment.
        let queues = format!("queues/{vhost}?disable_stats=true&enable_queue_totals=true");
        Ok(Self {
            queues: management.get(&queues).await?.unwrap_or_default(),
            policies: management.get(&format!("policies/{vhost}")).await?.unwrap_or_default(),
        })
    }

    fn queue(&self, name: &str) -> Option<&Value> {
        self.queues.as_array()?.iter().find(|queue| queue["name"] == name)
    }

    fn policy(&self, name: &str) -> Option<&Value> {
        self.policies.as_array()?.iter().find(|policy| policy["name"] == name)
    }
}

/// Whether a policy of someone else hides ours, however often that is set.
fn is_stronger(policy: &Value) -> bool {
    !policy["name"].as_str().is_some_and(is_ours)
        && policy["priority"].as_i64().unwrap_or_default() >= i64::from(PRIORITY)
}

struct Checker<'a> {
    link: &'a Link,
    live: Live,
    vhost: String,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn find(&mut self, subject: &str, problem: impl Into<String>, remedy: &str) {
        self.findings.push(Finding {
            subject: subject.to_owned(),
            problem: problem.into(),
            remedy: remedy.to_owned(),
        });
    }

    async fn exchange(&mut self, name: &str, kind: &str) -> Result<(), PortError> {
        let options = ExchangeDeclareOptions { passive: true, durable: true, ..Default::default() };
        let subject = format!("exchange `{name}`");
        let channel = self.channel().await?;
        let asked = channel.exchange_declare(name.into(), kind_of(kind), options, FieldTable::default());
        let answer = answered(self.link.patience, asked).await;
        self.existence(&subject, answer).map(drop)
    }

    async fn queue(&mut self, queue: &Queue) -> Result<bool, PortError> {
        let options = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
        let subject = format!("queue `{}`", queue.name);
        let channel = self.channel().await?;
        let asked = channel.queue_declare(queue.name.as_str().into(), options, FieldTable::default());
        let answer = answered(self.link.patience, asked).await;
        self.existence(&subject, answer)
    }

    fn existence<T>(
        &mut self,
        subject: &str,
        answer: Result<T, crate::rabbitmq::error::Failure>,
    ) -> Result<bool, PortError> {
        match answer {
            Ok(_) => return Ok(true),
            Err(failure) if failure.code() == Some(NOT_FOUND) => self.find(subject, "is missing", APPLY),
            Err(failure) if failure.code() == Some(PRECONDITION_FAILED) => {
                self.find(subject, "has another type", "empty and delete it, then apply the topology");
            }
            Err(failure) => {
                return Err(self.link.failed(&self.live, &failure, &format!("checking {subject}")));
            }
        }
        Ok(false)
    }

    /// A refusal closes its channel: one for each question.
    async fn channel(&self) -> Result<lapin::Channel, PortError> {
        let channel = answered(self.link.patience, self.live.connection.create_channel()).await;
        channel.map_err(|failure| self.link.failed(&self.live, &failure, "checking the topology"))
    }

    /// What holds for the queue, whichever policy says it: another with a higher priority may hide ours.
    fn properties(&mut self, broker: &Seen, queue: &Queue, topology: &Topology) {
        let Some(found) = broker.queue(&queue.name) else { return };
        let subject = format!("queue `{}`", queue.name);
        if found["type"] != "quorum" {
            let problem = format!("is of type {}, not quorum", found["type"]);
            self.find(&subject, problem, "empty and delete it, then apply the topology");
        }
        let policy = found["policy"].as_str().and_then(|name| broker.policy(name));
        let by = policy.map_or("no policy matches".to_owned(), |it| format!("policy {}", it["name"]));
        let wanted = topology.limits.policy_of(queue);
        let remedy = policy.filter(|it| is_stronger(it)).map_or(APPLY.to_owned(), |it| {
            format!("give policy {} a priority below {PRIORITY}, or delete it; then {APPLY}", it["name"])
        });
        for (key, wanted) in wanted.iter().flat_map(|policy| &policy.definition) {
            let said = policy.and_then(|policy| policy["definition"].get(key));
            if said != Some(wanted) {
                let said = said.map_or("not set".to_owned(), Value::to_string);
                self.find(&subject, format!("`{key}` is {said}, not {wanted} ({by})"), &remedy);
            }
        }
    }

    async fn binding(&mut self, management: &Management, queue: &Queue) -> Result<(), PortError> {
        let Some((exchange, key)) = &queue.binding else { return Ok(()) };
        let (from, to) = (segment(exchange), segment(&queue.name));
        let path = format!("bindings/{}/e/{from}/q/{to}", self.vhost);
        let bindings = management.get(&path).await?.unwrap_or(Value::Null);
        let bound = |binding: &Value| binding["routing_key"] == key.as_str();
        if !bindings.as_array().is_some_and(|bindings| bindings.iter().any(bound)) {
            let problem = format!("is not bound to exchange `{exchange}` with key `{key}`");
            self.find(&format!("queue `{}`", queue.name), problem, APPLY);
        }
        Ok(())
    }
}
