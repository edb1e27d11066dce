//! The same topology as a file that the broker imports.

use serde_json::{Value, json};

use super::{EXCHANGES, Policy, Queue, Topology};

/// Priority of the policies. Of all that match a queue, the broker takes the highest.
pub(super) const PRIORITY: u8 = 10;

/// What [`super::apply`] makes in this virtual host, in the broker's definitions format.
pub fn definitions(topology: &Topology, vhost: &str) -> Value {
    let exchanges = EXCHANGES.map(|(name, kind)| {
        json!({ "name": name, "vhost": vhost, "type": kind, "durable": true, "auto_delete": false,
                "internal": false, "arguments": {} })
    });
    let queues: Vec<_> = topology.queues().collect();
    let policies: Vec<_> = topology
        .limits
        .policies()
        .iter()
        .map(|policy| {
            let mut body = body(policy);
            body["name"] = json!(policy.name);
            body["vhost"] = json!(vhost);
            body
        })
        .collect();
    json!({
        "exchanges": exchanges,
        "queues": queues.iter().map(|queue| json!({
            "name": queue.name, "vhost": vhost, "durable": true, "auto_delete": false,
            "arguments": { "x-queue-type": "quorum" },
        })).collect::<Vec<_>>(),
        "bindings": queues.iter().filter_map(|queue| binding(queue, vhost)).collect::<Vec<_>>(),
        "policies": policies,
    })
}

/// What the management API wants of a policy.
pub(super) fn body(policy: &Policy) -> Value {
    json!({ "pattern": policy.pattern, "definition": policy.definition, "priority": PRIORITY,
            "apply-to": "queues" })
}

fn binding(queue: &Queue, vhost: &str) -> Option<Value> {
    let (source, key) = queue.binding.as_ref()?;
    Some(json!({ "source": source, "vhost": vhost, "destination": queue.name,
                 "destination_type": "queue", "routing_key": key, "arguments": {} }))
}
