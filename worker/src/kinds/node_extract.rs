//! `node.extract`: one subtree of an XML document -> facts about its elements.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleetline_shared::domain::{
    AnalyserRef, Appraisal, CallContext, Done, JobError, Kind, KindPolicy, NodeArgs, Source,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Analysed;
use crate::analysers::builtin::BuiltinNodes;
use crate::analysers::openai::{ChatClient, OpenAiNodes};
use crate::analysers::{Analysers, capped, one_line};

/// Characters of a summary.
pub const MAX_SUMMARY: usize = 300;
/// Characters of a snippet.
pub const MAX_SNIPPET: usize = 500;
/// Characters of an attribute's value, and of a reference's.
pub const MAX_VALUE: usize = 300;
/// Characters of a name, a path's step excepted.
pub const MAX_NAME: usize = 200;
/// Attributes of one fact.
pub const MAX_ATTRIBUTES: usize = 100;
/// References of one fact.
pub const MAX_REFERENCES: usize = 100;
/// Different children of one fact.
pub const MAX_CHILDREN: usize = 50;
/// Missing parts of one fact.
pub const MAX_MISSING: usize = 20;

/// What is known about one element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFact {
    /// Local name of the element.
    pub node_type: String,
    /// Path from the subtree's root, which is `.`: `Price[1]/Total`. [`Kind::locate`] makes it
    /// absolute and adds `ordinal`, the number of the subtree in its document.
    pub path: String,
    /// Its values by their place in the element: `@OrderID`, `Price/Total`, `Note[2]`.
    pub attributes: BTreeMap<String, Attribute>,
    /// Its child elements by name, those included that are jobs of their own.
    pub children: Vec<Child>,
    /// The elements it refers to.
    pub references: Vec<Reference>,
    /// What is wrong with it.
    pub quality: Quality,
    /// One sentence for people.
    pub summary: String,
    /// From 0 to 1.
    pub confidence: f64,
    /// Where its XML begins.
    pub snippet: String,
}

/// A value in an element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// As written.
    pub value: String,
    /// What it looks like.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// Currency or unit, where one is given beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// What a value looks like, or is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ValueType {
    Id,
    Reference,
    Integer,
    Decimal,
    /// A number with a currency.
    Amount,
    /// A number with another unit.
    Quantity,
    Boolean,
    Date,
    DateTime,
    Time,
    Duration,
    Uuid,
    Email,
    Url,
    /// A short code in capitals: an airport, a country, a currency.
    Code,
    Text,
    Empty,
}

/// Children of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Their local name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// How many of these are jobs of their own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Another element that this one names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Local name of the other element; guessed from the field if it is not in the document.
    pub kind: String,
    /// Which attribute or child names it.
    pub field: String,
    /// The other's id.
    pub value: String,
    /// Whether the document defines that id.
    pub resolved: bool,
}

/// How whole an element is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// In one word.
    pub status: QualityStatus,
    /// What is missing, each with the reason in brackets: `Gender (95 % of its kind have it)`.
    pub missing: Vec<String>,
}

/// See [`Quality::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QualityStatus {
    /// Nothing is missing.
    Complete,
    /// Something is.
    Partial,
    /// It has no value and no child.
    Empty,
}

/// The subtree in short: what its root's fact says. The facts have rows of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeOutput {
    /// Local name of the subtree's root.
    pub node_type: String,
    /// One sentence for people.
    pub summary: String,
    /// How whole the root is.
    pub quality: Quality,
    /// From 0 to 1.
    pub confidence: f64,
}

/// The kind `node.extract`.
pub struct NodeExtract {
    analysers: Analysers<NodeArgs, Vec<NodeFact>>,
    policy: KindPolicy,
}

impl NodeExtract {
    /// With `builtin`, and `openai` if there is a client for it.
    pub fn new(chat: Option<&Arc<ChatClient>>, policy: KindPolicy) -> Self {
        Self { analysers: Analysers::new(BuiltinNodes).and(chat.map(OpenAiNodes::new)), policy }
    }
}

impl Analysed for NodeExtract {
    fn analysers(&self) -> Vec<AnalyserRef> {
        self.analysers.references()
    }
}

impl Kind for NodeExtract {
    const NAME: &'static str = NodeArgs::KIND;
    type Args = NodeArgs;
    type Output = NodeOutput;

    async fn perform(&self, args: NodeArgs, context: &CallContext) -> Result<Done<NodeOutput>, JobError> {
        let analyser = self.analysers.get(&args.analyser)?;
        let facts: Vec<NodeFact> =
            analyser.analyse(&args, context).await?.into_iter().map(NodeFact::capped).collect();
        let root = facts
            .first()
            .ok_or_else(|| JobError::Retryable(format!("analyser {} brought no fact", args.analyser.name)))?;
        let output = NodeOutput {
            node_type: root.node_type.clone(),
            summary: root.summary.clone(),
            quality: root.quality.clone(),
            confidence: root.confidence,
        };
        let rows = facts.iter().map(|fact| serde_json::to_value(fact).expect("a fact is plain JSON"));
        Ok(Done {
            facts: rows.collect(),
            analyser: args.analyser.name,
            model: args.analyser.model,
            ..Done::new(output)
        })
    }

    fn stand_in(&self, args: NodeArgs) -> Option<NodeArgs> {
        let analyser = self.analysers.stand_in(&args.analyser)?;
        Some(NodeArgs { analyser, ..args })
    }

    fn model(&self, args: &RawValue) -> Option<String> {
        super::model_of(args)
    }

    fn policy(&self) -> KindPolicy {
        super::lasting(self.policy, self.analysers.longest_call())
    }

    /// Also refuses an analyser that is not configured here: only its work may carry the key.
    fn appraise(&self, args: &NodeArgs, _: &RawValue) -> Result<Appraisal, String> {
        Ok(args.appraise(self.analysers.estimate(&args.analyser, args)?))
    }

    /// Facts get their absolute `path`, and `ordinal`. An output has no path and stays as it is.
    fn locate(&self, value: &mut Value, source: &Source) -> bool {
        let (Source::Node { path: root, ordinal, .. }, Some(fact)) = (source, value.as_object_mut()) else {
            return false;
        };
        let Some(path) = fact.get("path").and_then(Value::as_str) else { return false };
        let absolute = match path {
            "." => root.clone(),
            // Twice located is located once.
            path if path.starts_with('/') => return false,
            path => format!("{root}/{path}"),
        };
        fact.insert("path".to_owned(), absolute.into());
        fact.insert("ordinal".to_owned(), (*ordinal).into());
        true
    }
}

impl NodeFact {
    /// Within the limits of this file, whatever the analyser brought.
    fn capped(mut self) -> Self {
        self.summary = capped(&one_line(&self.summary), MAX_SUMMARY);
        self.snippet = capped(&self.snippet, MAX_SNIPPET);
        self.confidence = self.confidence.clamp(0.0, 1.0);
        self.cap_attributes();
        self.references.truncate(MAX_REFERENCES);
        for Reference { kind, field, value, .. } in &mut self.references {
            (*kind, *field) = (capped(kind, MAX_NAME), capped(field, MAX_NAME));
            *value = capped(value, MAX_VALUE);
        }
        self.children.truncate(MAX_CHILDREN);
        let missing = &mut self.quality.missing;
        for part in missing.iter_mut() {
            *part = capped(&one_line(part), MAX_NAME);
        }
        if missing.len() > MAX_MISSING {
            let more = missing.len() - (MAX_MISSING - 1);
            missing.truncate(MAX_MISSING - 1);
            missing.push(format!("({more} more)"));
        }
        self
    }

    fn cap_attributes(&mut self) {
        let all = std::mem::take(&mut self.attributes);
        let over = all.len().saturating_sub(MAX_ATTRIBUTES);
        if over > 0 {
            self.quality.missing.insert(0, format!("({over} attributes over the limit of {MAX_ATTRIBUTES})"));
        }
        let cap = |(name, attribute): (String, Attribute)| {
            let value = capped(&attribute.value, MAX_VALUE);
            let unit = attribute.unit.map(|unit| capped(&unit, MAX_NAME));
            (capped(&name, MAX_NAME), Attribute { value, unit, ..attribute })
        };
        self.attributes = all.into_iter().take(MAX_ATTRIBUTES).map(cap).collect();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_learn_their_place_once() {
        let kind = NodeExtract::new(None, KindPolicy::default());
        let source = Source::Node { input: "a.xml".into(), path: "/Order/Items/Item[3]".into(), ordinal: 7 };
        for (path, expected) in
            [(".", "/Order/Items/Item[3]"), ("Price[1]/Total", "/Order/Items/Item[3]/Price[1]/Total")]
        {
            let mut fact = json!({ "path": path });
            for _ in 0..2 {
                kind.locate(&mut fact, &source);
                assert_eq!(fact, json!({ "path": expected, "ordinal": 7 }));
            }
        }
        let mut output = json!({ "summary": "s" });
        kind.locate(&mut output, &source);
        assert_eq!(output, json!({ "summary": "s" }));
    }

    #[test]
    fn every_text_is_capped() {
        let long = "ü".repeat(1_000);
        let attribute =
            Attribute { value: long.clone(), value_type: ValueType::Text, unit: Some(long.clone()) };
        let reference =
            Reference { kind: long.clone(), field: long.clone(), value: long.clone(), resolved: false };
        let fact = NodeFact {
            node_type: "Item".into(),
            path: ".".into(),
            attributes: (0..150).map(|n| (format!("{n}{long}"), attribute.clone())).collect(),
            children: vec![Child { name: "c".into(), count: 1, cut_out: 0 }; 80],
            references: vec![reference; 150],
            quality: Quality { status: QualityStatus::Partial, missing: vec![long.clone(); 50] },
            summary: long.clone(),
            confidence: 7.0,
            snippet: long.clone(),
        }
        .capped();
        let chars = |text: &str| text.chars().count();
        assert_eq!((chars(&fact.summary), chars(&fact.snippet)), (MAX_SUMMARY, MAX_SNIPPET));
        assert_eq!((fact.attributes.len(), fact.references.len()), (MAX_ATTRIBUTES, MAX_REFERENCES));
        assert_eq!((fact.children.len(), fact.quality.missing.len()), (MAX_CHILDREN, MAX_MISSING));
        assert_eq!(fact.quality.missing[0], "(50 attributes over the limit of 100)");
        assert_eq!(fact.quality.missing[MAX_MISSING - 1], "(32 more)");
        assert!(
            fact.attributes
                .iter()
                .all(|(name, attribute)| chars(name) <= MAX_NAME && chars(&attribute.value) <= MAX_VALUE)
        );
        assert!((fact.confidence - 1.0).abs() < f64::EPSILON);
    }
}
