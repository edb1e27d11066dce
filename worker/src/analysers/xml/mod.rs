//! Reading a job's subtree: which of its elements deserve a fact, and where they are.

mod children;
mod names;
mod parts;

use fleetline_shared::domain::JobError;
use roxmltree::{Document, Node, ParsingOptions};

use crate::analysers::{capped, one_line};
use crate::kinds::node_extract::MAX_SNIPPET;

pub(crate) use children::{Step, children, cut_out, steps};
pub(crate) use names::{is_identity, own_id, referred_kind};
pub(crate) use parts::{Part, Parts};

/// Elements, attributes and texts of one subtree. The splitter keeps subtrees far below this.
const MAX_NODES: u32 = 500_000;
/// Elements inside each other.
const MAX_DEPTH: u32 = 512;

/// The subtree as a tree. DTDs are refused, so no entity can grow.
pub(crate) fn parse(xml: &str) -> Result<Document<'_>, JobError> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let unreadable =
        |error| JobError::Permanent(format!("the job's XML cannot be read: {error}; submit the input again"));
    let document = Document::parse_with_options(xml, options).map_err(unreadable)?;
    if is_too_deep(&document) {
        return Err(JobError::Permanent(format!(
            "the job's XML has more than {MAX_DEPTH} elements inside each other; split it further"
        )));
    }
    Ok(document)
}

/// Everything after this may recurse.
fn is_too_deep(document: &Document) -> bool {
    let mut depths = vec![0_u32; document.root().descendants().count()];
    document.root().descendants().any(|node| {
        let depth = node.parent().map_or(0, |parent| depths[parent.id().get_usize()] + 1);
        depths[node.id().get_usize()] = depth;
        depth > MAX_DEPTH
    })
}

/// The element's own text, without that of its children, on one line.
pub(crate) fn own_text(element: Node) -> String {
    let texts = element.children().filter(Node::is_text).filter_map(|node| node.text());
    one_line(&texts.collect::<Vec<_>>().join(" "))
}

/// Whether the element has element children, or had some that were cut out.
pub(crate) fn has_children(element: Node) -> bool {
    element.children().any(|node| node.is_element() || cut_out(node).is_some())
}

/// Where the element's XML begins. The rest of a long one is not read.
pub(crate) fn snippet(element: Node, xml: &str) -> String {
    let text = &xml[element.range()];
    let end = text.floor_char_boundary(text.len().min(8 * MAX_SNIPPET));
    capped(&one_line(&text[..end]).replace("> <", "><"), MAX_SNIPPET)
}

/// Whether an element of the subtree has that id.
pub(crate) fn defines(document: &Document, id: &str) -> bool {
    document.descendants().filter(Node::is_element).any(|element| own_id(element).as_deref() == Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_xml_is_a_permanent_error() {
        let deep = format!("{}{}", "<a>".repeat(600), "</a>".repeat(600));
        for (xml, part) in [
            ("<a><b></a>", "cannot be read"),
            ("", "cannot be read"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "cannot be read"),
            (deep.as_str(), "inside each other"),
        ] {
            match parse(xml) {
                Err(JobError::Permanent(said)) => assert!(said.contains(part), "{said}"),
                other => panic!("{xml}: {other:?}"),
            }
        }
    }

    #[test]
    fn text_is_the_elements_own() {
        let document = parse("<a> one <b>two</b><![CDATA[ <three> ]]><!-- no -->\n</a>").expect("XML");
        assert_eq!(own_text(document.root_element()), "one <three>");
    }
}
