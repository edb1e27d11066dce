//! Facts of an XML subtree: typed values, references, what is missing.

mod draft;
mod element;
mod quality;
mod references;
mod summary;
#[cfg(test)]
mod tests;
mod types;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use fleetline_shared::domain::args::NodeArgs;
use roxmltree::{Document, ParsingOptions};

use self::draft::Draft;
use self::references::{Found, Ids};
use self::values::Field;
use crate::answers::{Fact, MAX_FACTS, NodeAnswer, Reference, SNIPPET_CHARS, capped};

/// XML nodes that one subtree may have; a guard for memory, far above what a split job holds.
const NODES_LIMIT: u32 = 1_000_000;

/// Distinct values referred to, by kind.
type ReferredTo = BTreeMap<String, BTreeSet<String>>;

/// Reads the subtree and tells what is in it.
///
/// The root and every descendant that stands for a thing of its own gives a fact, in document
/// order. Each value belongs to exactly one fact: that of its nearest such ancestor.
///
/// Fails if `args.xml` is not well-formed, has a DTD, or is too large.
pub fn analyse_node(args: &NodeArgs) -> Result<NodeAnswer, String> {
    let options = ParsingOptions { nodes_limit: NODES_LIMIT, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&args.xml, options)
        .map_err(|error| format!("the XML of {} cannot be read: {error}", args.path))?;
    let drafts = draft::drafts(document.root_element());
    let ids = Ids::new(&args.context, &drafts);
    let read: Vec<Read> = drafts.iter().map(|draft| Read::new(draft, &ids)).collect();
    let referred = referred_to(&drafts, &read);
    let facts: Vec<Fact> = drafts
        .iter()
        .zip(read)
        .zip(&referred)
        .take(MAX_FACTS)
        .map(|((draft, read), referred)| fact(args, draft, read, referred))
        .collect();
    Ok(NodeAnswer { facts_dropped: drafts.len() - facts.len(), facts })
}

/// What a draft's own elements hold.
struct Read {
    fields: Vec<Field>,
    found: Found,
}

impl Read {
    fn new(draft: &Draft, ids: &Ids) -> Self {
        let fields = values::fields(draft);
        let found = references::find(draft, &fields, ids);
        Self { fields, found }
    }
}

/// What each draft refers to, with all below it.
fn referred_to(drafts: &[Draft], read: &[Read]) -> Vec<ReferredTo> {
    let mut all: Vec<ReferredTo> = read.iter().map(|read| grouped(&read.found.references)).collect();
    // Children come after their parents, so one pass from the end carries everything up.
    for (index, draft) in drafts.iter().enumerate().rev() {
        let Some(parent) = draft.parent else { continue };
        let (before, from) = all.split_at_mut(index);
        for (kind, values) in &from[0] {
            before[parent].entry(kind.clone()).or_default().extend(values.iter().cloned());
        }
    }
    all
}

fn grouped(references: &[Reference]) -> ReferredTo {
    let mut groups = ReferredTo::new();
    for reference in references {
        groups.entry(reference.kind.clone()).or_default().insert(reference.value.clone());
    }
    groups
}

fn fact(args: &NodeArgs, draft: &Draft, read: Read, referred: &ReferredTo) -> Fact {
    let node = draft.node;
    let children = element::complex_children(node);
    let quality = quality::judge(draft, &read, &args.context.usual_parts);
    let confidence = quality::confidence(&read);
    let summary = summary::sentence(node, &read.fields, &children, referred, &quality);
    let xml = &node.document().input_text()[node.range()];
    Fact {
        node_type: node.tag_name().name().to_owned(),
        path: draft.path(),
        attributes: values::attributes(read.fields),
        children,
        references: read.found.references,
        quality,
        summary,
        confidence,
        snippet: capped(xml, SNIPPET_CHARS),
    }
}
