//! `node.extract` by a model.
//!
//! The model is given the list of elements that deserve a fact. What the XML says for certain (names,
//! children, snippets, whether a reference leads somewhere) is not asked for and not paid for.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::{CallContext, Estimate, JobError, NodeArgs};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{Question, fenced};
use super::{ChatClient, NAME, answer};
use crate::analysers::Analyser;
use crate::analysers::xml::{self, Part, Parts, children, snippet};
use crate::kinds::node_extract::{Attribute, NodeFact, Quality, QualityStatus, Reference, ValueType};

const PROMPT: &str = include_str!("node_prompt.md");
/// Changes with the prompt, the schema, and the way the input is written.
const PROMPT_VERSION: &str = "node-1";
/// Facts asked for in one call: more would not fit a usual answer. What is beyond belongs to the
/// fact of the element above.
const MAX_FACTS: usize = 40;
/// Tokens of a usual answer.
const USUAL_ANSWER: u64 = 1_200;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("node_schema.json")).expect("the shipped schema parses")
});

/// The analyser `openai` of `node.extract`.
pub struct OpenAiNodes {
    chat: Arc<ChatClient>,
    fixed_tokens: OnceLock<u64>,
}

impl OpenAiNodes {
    /// With a server to ask.
    pub fn new(chat: &Arc<ChatClient>) -> Self {
        Self { chat: Arc::clone(chat), fixed_tokens: OnceLock::new() }
    }
}

#[async_trait]
impl Analyser<NodeArgs, Vec<NodeFact>> for OpenAiNodes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn model(&self) -> Option<&str> {
        Some(self.chat.model())
    }

    fn version(&self) -> &'static str {
        PROMPT_VERSION
    }

    fn estimate(&self, input: &NodeArgs) -> Estimate {
        let fixed = *self.fixed_tokens.get_or_init(|| self.chat.fixed_tokens(&question("")));
        // XML that does not parse is never sent; its job fails for nothing.
        let input = user(input).map_or(0, |user| self.chat.tokens(&user));
        let output_tokens = self.chat.answer_tokens(USUAL_ANSWER);
        Estimate { input_tokens: fixed + input, output_tokens }
    }

    fn call_timeout(&self) -> Option<Duration> {
        Some(self.chat.timeout())
    }

    async fn analyse(&self, args: &NodeArgs, context: &CallContext) -> Result<Vec<NodeFact>, JobError> {
        let user = user(args)?;
        let text = self.chat.ask(&question(&user), context).await?;
        facts(args, answer::parse(&text)?)
    }
}

fn question(user: &str) -> Question<'_> {
    Question { schema_name: "node_extract", schema: &SCHEMA, system: PROMPT, user }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    facts: Vec<AnsweredFact>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnsweredFact {
    path: String,
    attributes: Vec<AnsweredAttribute>,
    references: Vec<AnsweredReference>,
    quality: Quality,
    summary: String,
    confidence: f64,
}

/// Strict schemas know no maps, so attributes travel as a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnsweredAttribute {
    name: String,
    value: String,
    #[serde(rename = "type")]
    value_type: ValueType,
    unit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnsweredReference {
    kind: String,
    field: String,
    value: String,
}

/// The elements to describe, what the document says about them, and the XML. Nothing of the node's
/// place: results are shared by all nodes with the same XML.
fn user(args: &NodeArgs) -> Result<String, JobError> {
    let document = xml::parse(&args.xml)?;
    let parts = Parts::of(document.root_element(), MAX_FACTS);
    let line = |part: &Part| format!("- {} ({})", part.path, part.element.tag_name().name());
    let lines: Vec<String> = parts.iter().map(line).collect();
    let mut blocks = vec![format!("Elements:\n{}\n", lines.join("\n"))];
    let context = &args.context;
    if !(context.known_ids.is_empty() && context.usual_parts.is_empty()) {
        let known = json!({ "known_ids": context.known_ids, "usual_parts": context.usual_parts });
        blocks.push(fenced("DOCUMENT", &known.to_string()));
    }
    blocks.push(fenced("XML", &args.xml));
    Ok(blocks.join("\n"))
}

/// Checks that the answer is about the listed elements, all of them, and completes its facts.
fn facts(args: &NodeArgs, answer: Answer) -> Result<Vec<NodeFact>, JobError> {
    let document = xml::parse(&args.xml)?;
    let parts = Parts::of(document.root_element(), MAX_FACTS);
    let wrong = |what: String| JobError::Retryable(format!("the answer does not fit the XML: {what}"));
    let mut answered = HashMap::new();
    for fact in answer.facts {
        let path = fact.path.clone();
        if !parts.iter().any(|part| part.path == path) {
            return Err(wrong(format!("it has a fact for `{path}`, which was not asked for")));
        }
        if answered.insert(path.clone(), fact).is_some() {
            return Err(wrong(format!("it has two facts for `{path}`")));
        }
    }
    let asked = parts.len();
    let had = answered.len();
    parts
        .iter()
        .map(|part| {
            let fact = answered
                .remove(&part.path)
                .ok_or_else(|| wrong(format!("it has {had} facts of {asked}; `{}` is missing", part.path)))?;
            complete(fact, part, args, parts.left_out)
        })
        .collect()
}

fn complete(fact: AnsweredFact, part: &Part, args: &NodeArgs, left_out: usize) -> Result<NodeFact, JobError> {
    if fact.summary.trim().is_empty() {
        return Err(JobError::Retryable(format!("the answer has no summary for `{}`", fact.path)));
    }
    let confidence = answer::confidence(fact.confidence)?;
    let mut quality = fact.quality;
    if left_out > 0 && part.path == "." {
        quality.status = QualityStatus::Partial;
        quality.missing.insert(0, format!("({left_out} elements inside have no fact, over the limit)"));
    }
    let attribute = |attribute: AnsweredAttribute| {
        let AnsweredAttribute { name, value, value_type, unit } = attribute;
        (name, Attribute { value, value_type, unit })
    };
    let known = |value: &str| args.context.known_ids.iter().any(|id| id.value == value);
    let reference = |AnsweredReference { kind, field, value }: AnsweredReference| Reference {
        resolved: known(&value) || xml::defines(part.element.document(), &value),
        kind,
        field,
        value,
    };
    Ok(NodeFact {
        node_type: part.element.tag_name().name().to_owned(),
        path: fact.path,
        attributes: fact.attributes.into_iter().map(attribute).collect(),
        children: children(part.element),
        references: fact.references.into_iter().map(reference).collect(),
        quality,
        summary: fact.summary,
        confidence,
        snippet: snippet(part.element, &args.xml),
    })
}
