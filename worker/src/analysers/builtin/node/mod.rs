//! Facts by rules: types of values, ids and what refers to them, parts that others of the kind have.

mod fields;
mod quality;
mod references;
mod summary;
mod values;

use std::collections::BTreeMap;

use async_trait::async_trait;
use fleetline_shared::domain::{CallContext, JobError, NodeArgs};

use self::fields::Field;
use self::quality::Findings;
use self::references::KnownIds;
use self::values::value_type;
use super::NAME;
use crate::analysers::Analyser;
use crate::analysers::xml::{self, Part, Parts, children, own_id, snippet};
use crate::kinds::node_extract::{Attribute, NodeFact, Reference, ValueType};

/// Changes whenever the same XML may give other facts.
const RULES_VERSION: &str = "node-rules-1";
/// Facts of one subtree; what is beyond belongs to the fact of the element above.
const MAX_FACTS: usize = 200;

/// The analyser `builtin` of `node.extract`.
pub struct BuiltinNodes;

#[async_trait]
impl Analyser<NodeArgs, Vec<NodeFact>> for BuiltinNodes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> &'static str {
        RULES_VERSION
    }

    async fn analyse(&self, args: &NodeArgs, _: &CallContext) -> Result<Vec<NodeFact>, JobError> {
        facts(args)
    }
}

/// A part with all that its fact is made of.
struct Draft<'d, 'a, 'input> {
    part: &'d Part<'a, 'input>,
    id: Option<String>,
    fields: Vec<Field<'a>>,
    references: Vec<Reference>,
}

fn facts(args: &NodeArgs) -> Result<Vec<NodeFact>, JobError> {
    let document = xml::parse(&args.xml)?;
    let root = document.root_element();
    let parts = Parts::of(root, MAX_FACTS);
    let known = KnownIds::of(&args.context.known_ids, root);
    let drafts: Vec<Draft> = parts.iter().map(|part| draft(part, &parts, &known)).collect();
    let mut lacking = quality::lacking(root, &parts, &args.context.usual_parts);
    let facts = (0..drafts.len()).map(|place| {
        let left_out = if place == 0 { parts.left_out } else { 0 };
        let findings = Findings::of(&drafts[place], std::mem::take(&mut lacking[place]), left_out);
        fact(place, &drafts, &args.xml, findings)
    });
    Ok(facts.collect())
}

fn draft<'d, 'a, 'input>(
    part: &'d Part<'a, 'input>,
    parts: &Parts<'a, 'input>,
    known: &KnownIds,
) -> Draft<'d, 'a, 'input> {
    let fields = fields::of(part, parts);
    let references = fields.iter().flat_map(|field| known.references(field)).collect();
    Draft { part, id: own_id(part.element), fields, references }
}

fn fact(place: usize, drafts: &[Draft], xml: &str, findings: Findings) -> NodeFact {
    let draft = &drafts[place];
    let attributes = attributes(draft);
    NodeFact {
        node_type: draft.part.element.tag_name().name().to_owned(),
        path: draft.part.path.clone(),
        summary: summary::of(place, drafts, &attributes),
        attributes,
        children: children(draft.part.element),
        references: draft.references.clone(),
        confidence: findings.confidence(draft.id.is_some()),
        quality: findings.quality(),
        snippet: snippet(draft.part.element, xml),
    }
}

fn attributes(draft: &Draft) -> BTreeMap<String, Attribute> {
    let attribute = |field: &Field| {
        let is_reference = draft.references.iter().any(|reference| reference.field == field.key);
        let value_type = match () {
            () if field.is_identity && !field.value.is_empty() => ValueType::Id,
            () if is_reference => ValueType::Reference,
            () => value_type(&field.value, field.unit.as_ref()),
        };
        let unit = field.unit.as_ref().map(|unit| unit.name.clone());
        (field.key.clone(), Attribute { value: field.value.clone(), value_type, unit })
    };
    draft.fields.iter().map(attribute).collect()
}

#[cfg(test)]
mod tests;
