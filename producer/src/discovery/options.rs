//! How documents are split: the config section `[discovery]`.

use serde::{Deserialize, Serialize};

use super::pattern::PathPattern;

/// Options of the `discovery` pipeline. Sizes are those of canonical XML, see `docs/discovery.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoveryOptions {
    /// A node above this is split further. In KiB in the config (20), in bytes here.
    #[serde(rename = "max_subtree_kb", with = "kib")]
    pub max_subtree: u64,
    /// What cannot be split (one tag, one text) may be this large. In MiB in the config (8), in
    /// bytes here.
    #[serde(rename = "max_node_mb", with = "mib")]
    pub max_node: u64,
    /// Elements may nest this deep.
    pub max_depth: u32,
    /// An element may have this many attributes.
    pub max_attributes: u32,
    /// Distinct paths of elements and attributes; each takes about 200 bytes of memory.
    pub max_paths: u32,
    /// Ids remembered to resolve references; each takes about 30 bytes of memory. Those beyond are
    /// left out, and the report says so.
    pub max_ids: u32,
    /// Ids and usual parts told to one job, each.
    pub max_context: u32,
    /// A part is usual if this share of the elements of a path has it, in percent.
    pub usual_percent: u8,
    /// A path with fewer elements than this has no usual parts.
    pub usual_min_elements: u32,
    /// What to do with a document that is not well-formed.
    pub on_malformed: OnMalformed,
    /// Whether repeated elements become nodes by themselves. Unset: only if no node is configured
    /// and enabled.
    pub automatic: Option<bool>,
    /// Which elements are nodes. The first entry whose pattern fits decides.
    pub node: Vec<NodeRule>,
}

/// What to do with a document that is not well-formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMalformed {
    /// Send nothing.
    #[default]
    Refuse,
    /// Send what was complete before the error; the report carries the error.
    Keep,
}

/// One entry of the node configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRule {
    /// Which elements: `/Order/**/OrderItem`.
    pub pattern: PathPattern,
    /// `false`: these elements, with all in them, are left out and counted as such.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// A label for the report. Says nothing to the analyser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

fn yes() -> bool {
    true
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        Self {
            max_subtree: 20 * kib::UNIT,
            max_node: 8 * mib::UNIT,
            max_depth: 256,
            max_attributes: 256,
            max_paths: 100_000,
            max_ids: 300_000,
            max_context: 64,
            usual_percent: 60,
            usual_min_elements: 3,
            on_malformed: OnMalformed::Refuse,
            automatic: None,
            node: Vec::new(),
        }
    }
}

impl DiscoveryOptions {
    /// All that makes no sense, each as a sentence with the setting's name.
    pub fn problems(&self) -> Vec<String> {
        let checks = [
            (self.max_subtree > 0, "max_subtree_kb must be above 0"),
            (self.max_node >= self.max_subtree, "max_node_mb must not be below max_subtree_kb"),
            (self.max_node <= 1024 * mib::UNIT, "max_node_mb must be at most 1024"),
            ((1..=10_000).contains(&self.max_depth), "max_depth must be from 1 to 10000"),
            (self.max_paths > 0, "max_paths must be above 0"),
            ((1..=100).contains(&self.usual_percent), "usual_percent must be from 1 to 100"),
            (self.usual_min_elements >= 2, "usual_min_elements must be at least 2"),
        ];
        checks.iter().filter(|(good, _)| !good).map(|(_, problem)| (*problem).to_owned()).collect()
    }

    /// Whether repeated elements become nodes by themselves.
    pub(super) fn is_automatic(&self) -> bool {
        self.automatic.unwrap_or_else(|| !self.node.iter().any(|rule| rule.enabled))
    }
}

macro_rules! unit {
    ($module:ident, $bytes:expr) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

            pub(super) const UNIT: u64 = $bytes;

            pub(super) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
                if bytes % UNIT == 0 {
                    (bytes / UNIT).serialize(serializer)
                } else {
                    (*bytes as f64 / UNIT as f64).serialize(serializer)
                }
            }

            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range is checked before"
            )]
            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
                let bytes = f64::deserialize(deserializer)? * UNIT as f64;
                if !(0.0..1e15).contains(&bytes) {
                    return Err(Error::custom("a size must be a number from 0 up"));
                }
                Ok(bytes.round() as u64)
            }
        }
    };
}
unit!(kib, 1024);
unit!(mib, 1024 * 1024);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_and_nodes() {
        let options: DiscoveryOptions = serde_json::from_str(
            r#"{"max_subtree_kb": 0.5, "max_node_mb": 1, "node": [{"pattern": "/a/*", "enabled": false}]}"#,
        )
        .unwrap();
        assert_eq!((options.max_subtree, options.max_node), (512, 1024 * 1024));
        assert!(options.is_automatic(), "a disabled node leaves the rest automatic");
        let round = serde_json::to_value(&options).unwrap();
        assert_eq!(round["max_subtree_kb"], 0.5);
        assert_eq!(serde_json::from_value::<DiscoveryOptions>(round).unwrap(), options);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for json in [r#"{"max_subtre_kb": 1}"#, r#"{"node": [{"pattern": "a"}]}"#, r#"{"max_node_mb": -1}"#] {
            assert!(serde_json::from_str::<DiscoveryOptions>(json).is_err(), "{json}");
        }
        let bad = DiscoveryOptions { max_subtree: 0, usual_percent: 0, ..DiscoveryOptions::default() };
        assert_eq!(bad.problems().len(), 2);
        assert!(DiscoveryOptions::default().problems().is_empty());
    }
}
