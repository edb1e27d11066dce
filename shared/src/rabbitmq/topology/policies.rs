//! Limits and dead-lettering of the queues.

use serde_json::{Map, Value, json};

use super::{CRASHED_KEY, DEAD_EXCHANGE, Queue, REJECTED_KEY};

/// What the policies limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often a message is handed over again before it is a dead letter. 5.
    pub delivery_limit: u32,
    /// The same for submissions, behind which there is no job yet: who was told that one is confirmed counts on
    /// it, so restarts of `serve` that it meets are no reason to give it up. 100.
    pub submit_delivery_limit: u32,
    /// Most messages on one line; then publishes to it are refused. 1,000,000: far above the window
    /// that dispatchers keep there.
    pub line_length: u64,
    /// Most messages in the intake; then senders get a negative confirm. 1,000,000.
    pub submit_length: u64,
    /// How many rejected messages are kept for people; the oldest go first. 100,000.
    pub rejected_length: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            delivery_limit: 5,
            submit_delivery_limit: 100,
            line_length: 1_000_000,
            submit_length: 1_000_000,
            rejected_length: 100_000,
        }
    }
}

/// A policy of the broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: &'static str,
    /// Which queues it is for: a regular expression.
    pub pattern: &'static str,
    /// What it says, in the broker's words.
    pub definition: Map<String, Value>,
}

const LINES: &str = "fleetline-lines";
const SUBMIT: &str = "fleetline-submit";
const CRASHED: &str = "fleetline-crashed";
const REJECTED: &str = "fleetline-rejected";

/// Whether a policy of this name is one of Fleetline's.
pub(super) fn is_ours(name: &str) -> bool {
    [LINES, SUBMIT, CRASHED, REJECTED].contains(&name)
}

impl Limits {
    /// The policies that say so.
    pub fn policies(&self) -> Vec<Policy> {
        // Whoever looks at a message on the management page hands it over once more. People may look.
        const LOOKS: u64 = 1_000_000;
        // Dead letters of crash loops are few, but none may be lost: at-least-once dead-lettering keeps
        // them in their line while this is full.
        const CRASHED_LENGTH: u64 = 1_000_000;
        let limit = u64::from(self.delivery_limit);
        let submit = limit.max(u64::from(self.submit_delivery_limit));
        vec![
            policy(LINES, r"^fleetline\.jobs\.", keeping(limit, self.line_length, CRASHED_KEY)),
            policy(SUBMIT, r"^fleetline\.submit$", keeping(submit, self.submit_length, REJECTED_KEY)),
            policy(CRASHED, r"^fleetline\.dead\.crashed$", keeping(limit, CRASHED_LENGTH, REJECTED_KEY)),
            policy(
                REJECTED,
                r"^fleetline\.dead$",
                json!({ "delivery-limit": LOOKS, "max-length": self.rejected_length, "overflow": "drop-head" }),
            ),
        ]
    }

    /// The policy for a queue of the topology.
    pub(super) fn policy_of(&self, queue: &Queue) -> Option<Policy> {
        let name = match queue.name.as_str() {
            super::SUBMIT_QUEUE => SUBMIT,
            super::CRASHED_QUEUE => CRASHED,
            super::REJECTED_QUEUE => REJECTED,
            _ => LINES,
        };
        self.policies().into_iter().find(|policy| policy.name == name)
    }
}

/// Loses nothing: what is too much is refused, what comes back too often is dead-lettered with a
/// confirm. At-least-once dead-lettering needs `reject-publish`.
fn keeping(delivery_limit: u64, max_length: u64, dead_letter_key: &str) -> Value {
    json!({
        "delivery-limit": delivery_limit,
        "max-length": max_length,
        "overflow": "reject-publish",
        "dead-letter-exchange": DEAD_EXCHANGE,
        "dead-letter-routing-key": dead_letter_key,
        "dead-letter-strategy": "at-least-once",
    })
}

fn policy(name: &'static str, pattern: &'static str, definition: Value) -> Policy {
    let Value::Object(definition) = definition else { unreachable!("a definition is an object") };
    Policy { name, pattern, definition }
}
