//! Random documents.

use std::fmt::Write;

use fleetline_producer::discovery::{DiscoveryOptions, NodeRule};
use proptest::prelude::*;

use super::reassemble::assert_reassembles;
use super::split;

#[derive(Clone, Debug)]
enum Content {
    Element(Tree),
    Text(String),
    Data(String),
    Comment,
}

#[derive(Clone, Debug)]
struct Tree {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    content: Vec<Content>,
}

/// Few names, so that siblings repeat; prefixes `p` and `q` are declared on the root, `r` is `p`
/// by another name.
const NAMES: [&str; 8] = ["Item", "ItemList", "Name", "p:Item", "q:Code", "r:Item", "Order", "x"];
const ATTRIBUTES: [&str; 6] = ["id", "ItemRef", "code", "p:code", "q:id", "xml:lang"];

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ \n\t]{0,3}", "[a-c<>&\"'é€\r\n ]{0,12}", "I[0-9]{1,3}", "[a-z ]{0,150}"]
}

fn attributes() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    proptest::sample::subsequence(&ATTRIBUTES[..], 0..4)
        .prop_flat_map(|names| {
            let values = proptest::collection::vec("[a-c<>&\"'é\t\n ]{0,8}|I[0-9]{1,3}", names.len());
            (Just(names), values)
        })
        .prop_map(|(names, values)| names.into_iter().zip(values).collect())
}

fn tree() -> impl Strategy<Value = Tree> {
    let name = || proptest::sample::select(&NAMES[..]);
    let leaf = (name(), attributes(), proptest::option::of(text())).prop_map(|(name, attributes, text)| {
        Tree { name, attributes, content: text.into_iter().map(Content::Text).collect() }
    });
    leaf.prop_recursive(6, 150, 8, move |inner| {
        let content = prop_oneof![
            6 => inner.prop_map(Content::Element),
            2 => text().prop_map(Content::Text),
            1 => "[a-c<>& ]{0,9}".prop_map(Content::Data),
            1 => Just(Content::Comment),
        ];
        (name(), attributes(), proptest::collection::vec(content, 0..9))
            .prop_map(|(name, attributes, content)| Tree { name, attributes, content })
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&#62;")
        .replace('"', "&quot;")
        .replace('\r', "&#13;")
        .replace('\t', "&#x9;")
}

fn write(tree: &Tree, root: bool, out: &mut String) {
    let _ = write!(out, "<{}", tree.name);
    if root {
        out.push_str(r#" xmlns:q="urn:q" xmlns:unused="urn:none" xmlns:p="urn:p" xmlns:r="urn:p""#);
    }
    for (name, value) in &tree.attributes {
        let _ = write!(out, " {name}=\"{}\"", escaped(value).replace('\n', "&#10;"));
    }
    out.push('>');
    for content in &tree.content {
        match content {
            Content::Element(tree) => write(tree, false, out),
            Content::Text(text) => out.push_str(&escaped(text)),
            Content::Data(text) => {
                let _ = write!(out, "<![CDATA[{text}]]>");
            }
            Content::Comment => out.push_str("<!-- <x/> --><?pi?>"),
        }
    }
    let _ = write!(out, "</{}>", tree.name);
}

fn document() -> impl Strategy<Value = String> {
    tree().prop_map(|tree| {
        let mut document = String::new();
        write(&tree, true, &mut document);
        document
    })
}

fn rule(pattern: &str, enabled: bool) -> NodeRule {
    NodeRule { pattern: pattern.parse().unwrap(), enabled, name: None }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_element_is_in_exactly_one_job(document in document(), max_subtree in 20u64..800) {
        let options = DiscoveryOptions { max_subtree, ..DiscoveryOptions::default() };
        assert_reassembles(&document, &split(&document, &options));
    }

    #[test]
    fn also_with_configured_nodes(document in document(), max_subtree in 20u64..800, automatic: bool) {
        let node = vec![rule("/*/**/Name", false), rule("/**/Order", true), rule("/*/*/Item", false), rule("/**/x", true)];
        let options =
            DiscoveryOptions { max_subtree, node, automatic: Some(automatic), ..DiscoveryOptions::default() };
        assert_reassembles(&document, &split(&document, &options));
    }

    #[test]
    fn the_same_document_gives_the_same_jobs(document in document(), max_subtree in 20u64..800) {
        let options = DiscoveryOptions { max_subtree, ..DiscoveryOptions::default() };
        let jobs = || -> Vec<_> {
            let split = split(&document, &options);
            split.jobs.into_iter().map(|(job, args)| (job.seq, job.dedup_key, args)).collect()
        };
        prop_assert_eq!(jobs(), jobs());
    }
}
