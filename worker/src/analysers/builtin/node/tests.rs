use std::fs;
use std::path::PathBuf;

use fleetline_shared::domain::{AnalyserRef, KnownId, NodeArgs, NodeContext, NodeShape, UsualPart};
use proptest::prelude::*;

use super::analyse_node;
use crate::answers::{Fact, MAX_FACTS, NodeAnswer, QualityStatus, SNIPPET_CHARS, SUMMARY_CHARS};

fn args(xml: &str, context: NodeContext) -> NodeArgs {
    let analyser = AnalyserRef { name: "builtin".into(), model: None, version: "1".into() };
    let (node_type, path) = ("Item".to_owned(), "/Items/Item[1]".to_owned());
    NodeArgs { analyser, node_type, path, ordinal: 1, shape: NodeShape::Whole, ancestors: Vec::new(), xml: xml.to_owned(), context }
}

fn read(xml: &str) -> NodeAnswer {
    analyse_node(&args(xml, NodeContext::default())).expect("well-formed")
}

fn known(ids: &[(&str, &str)]) -> NodeContext {
    let known = |(value, kind): &(&str, &str)| KnownId { value: (*value).into(), kind: (*kind).into() };
    NodeContext { known_ids: ids.iter().map(known).collect(), usual_parts: Vec::new() }
}

const ITEM: &str = r#"<n:Item xmlns:n="urn:x" ItemID="I-1"><n:Price><n:Total><n:Amount Code="EUR">422.52</n:Amount></n:Total></n:Price><n:Service ServiceID="S1"><n:GuestRef>G1</n:GuestRef></n:Service><n:Service ServiceID="S2"><n:GuestRef>G2</n:GuestRef><n:RoomRef>R9</n:RoomRef></n:Service><n:Note/></n:Item>"#;

#[test]
fn each_thing_of_its_own_gives_a_fact_with_its_values() {
    let answer = analyse_node(&args(ITEM, known(&[("G1", "Guest"), ("G2", "Guest")]))).unwrap();
    let paths: Vec<&str> = answer.facts.iter().map(|fact| fact.path.as_str()).collect();
    assert_eq!(paths, ["", "Service[1]", "Service[2]"]);
    let item = &answer.facts[0];
    assert_eq!(item.attributes["@ItemID"]["type"], "id");
    let amount = &item.attributes["Price/Total/Amount"];
    assert_eq!(
        (&amount["value"], &amount["type"], &amount["unit"]),
        (&"422.52".into(), &"decimal".into(), &"EUR".into())
    );
    assert_eq!(item.quality.missing, ["Note (empty)"]);
    assert_eq!(item.summary, "Item I-1: 422.52 EUR, 2 Services, refers to 2 Guests and Room R9, 1 missing");
    let service = &answer.facts[2];
    assert_eq!(service.quality.missing, ["RoomRef -> R9 (not defined in the document)"]);
    assert_eq!(service.quality.status, QualityStatus::Partial);
    let kinds: Vec<&str> = service.references.iter().map(|reference| reference.kind.as_str()).collect();
    assert_eq!(kinds, ["Guest", "Room"]);
}

#[test]
fn without_the_documents_ids_nothing_is_called_undefined() {
    let service = &read(ITEM).facts[2];
    assert!(service.quality.missing.is_empty());
    assert_eq!(service.references.len(), 2);
}

#[test]
fn parts_that_siblings_have_are_missed_where_they_belong() {
    let part = |of: &str, name: &str| UsualPart { of: of.into(), name: name.into(), percent: 90 };
    let usual_parts =
        vec![part(".", "Email"), part(".", "@Type"), part("Price", "Tax"), part("Price", "Total")];
    let context = NodeContext { known_ids: Vec::new(), usual_parts };
    let answer = analyse_node(&args("<I Id='7'><Price><Total>1</Total></Price></I>", context)).unwrap();
    let expected =
        ["Email", "@Type", "Price/Tax"].map(|name| format!("{name} (90 % of its siblings have it)"));
    assert_eq!(answer.facts[0].quality.missing, expected);
}

#[test]
fn what_was_cut_out_counts_as_a_child_and_moves_positions() {
    let answer = read("<L><?cut n:Item 12?><Item><A>1</A></Item><?skipped Other 2?><?note Item 3?></L>");
    let root = &answer.facts[0];
    let children: Vec<(&str, u64)> = root.children.iter().map(|c| (c.name.as_str(), c.count)).collect();
    assert_eq!(children, [("Item", 13), ("Other", 2)]);
    assert_eq!(answer.facts[1].path, "Item[13]");
}

#[test]
fn a_part_of_an_element_lacks_nothing() {
    let usual_parts = vec![UsualPart { of: ".".into(), name: "Email".into(), percent: 90 }];
    let context = NodeContext { known_ids: Vec::new(), usual_parts };
    let answer = analyse_node(&args("<L><?continued?><A>1</A></L>", context)).unwrap();
    assert_eq!(answer.facts[0].quality.status, QualityStatus::Complete);
}

#[test]
fn values_get_their_types() {
    let table = [
        ("Birthdate", "2018-05-24", "date"),
        ("At", "2019-05-31T12:44:55Z", "dateTime"),
        ("Time", "14:15", "time"),
        ("Time", "P0DT2H40M0S", "duration"),
        ("Day", "2019-13-01", "text"),
        ("Flag", "true", "boolean"),
        ("N", "42", "integer"),
        ("N", "007", "text"),
        ("N", "-0.5", "decimal"),
        ("PhoneNumber", "916777777", "phone"),
        ("Mail", "a@b.org", "email"),
        ("Link", "https://a.org/x?y=1", "url"),
        ("AirportCode", "PRG", "airport-code"),
        ("DepartureCode", "PRG", "airport-code"),
        ("Code", "PRG", "text"),
        ("CurrencyCode", "EUR", "currency-code"),
        ("CitizenshipCountryCode", "ru", "country-code"),
        ("AirlineID", "PC", "id"),
        ("Paid", "yes", "text"),
        ("U", "123e4567-e89b-12d3-a456-426614174000", "uuid"),
        ("D", "P", "text"),
        ("D", "PT", "text"),
    ];
    for (name, value, expected) in table {
        let answer = read(&format!("<X><{name}>{value}</{name}></X>"));
        assert_eq!(answer.facts[0].attributes[name]["type"], expected, "{name} {value}");
    }
}

#[test]
fn facts_are_capped_and_counted_and_depth_costs_no_stack() {
    let many = format!("<L>{}</L>", "<I><A>1</A></I>".repeat(MAX_FACTS + 9));
    let answer = read(&many);
    assert_eq!((answer.facts.len(), answer.facts_dropped), (MAX_FACTS, 10));
    let deep = format!("{}1{}", "<a>".repeat(900), "</a>".repeat(900));
    assert_eq!(read(&deep).facts_dropped + read(&deep).facts.len(), 300);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for xml in ["", "<a>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a></b>"] {
        let error = analyse_node(&args(xml, NodeContext::default())).unwrap_err();
        assert!(error.starts_with("the XML of /Items/Item[1] cannot be read"), "{error}");
    }
}

#[test]
fn every_value_of_a_real_document_is_in_exactly_one_fact() {
    let shared = std::env::var_os("FLEETLINE_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let Ok(xml) = fs::read_to_string(shared.join("data/xml/order-book.xml")) else {
        eprintln!("skipped: no order-book.xml under {}", shared.display());
        return;
    };
    let document = roxmltree::Document::parse(&xml).unwrap();
    for node in document.descendants().filter(|node| {
        node.has_tag_name(("http://www.iata.org/IATA/EDIST/2017.2", "Order"))
            || node.tag_name().name() == "DataLists"
    }) {
        let range = &xml[node.range()];
        let declared = range.replacen(' ', " xmlns:ns2=\"http://www.iata.org/IATA/EDIST/2017.2\" ", 1);
        let piece = if node.has_attribute("OrderID") {
            declared
        } else {
            range.replacen('>', " xmlns:ns2=\"http://www.iata.org/IATA/EDIST/2017.2\">", 1)
        };
        let answer = read(&piece);
        assert_eq!(told(&answer), held(&piece), "{}", node.tag_name().name());
    }
}

/// Values that the facts tell, units included.
fn told(answer: &NodeAnswer) -> usize {
    let of = |fact: &Fact| {
        fact.attributes.values().map(|v| 1 + usize::from(v.get("unit").is_some())).sum::<usize>()
    };
    answer.facts.iter().map(of).sum()
}

/// Values that the document holds.
fn held(xml: &str) -> usize {
    let document = roxmltree::Document::parse(xml).unwrap();
    let elements = document.descendants().filter(roxmltree::Node::is_element);
    let of = |node: roxmltree::Node| {
        let attributes = node.attributes().filter(|attribute| !attribute.value().trim().is_empty()).count();
        attributes + usize::from(super::element::text(node).is_some())
    };
    elements.map(of).sum()
}

fn tree() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["A", "Item", "ItemID", "PaxRef", "Total", "Code", "id"]);
    let leaf = (name.clone(), "[ -~é]{0,12}").prop_map(|(name, text)| {
        format!("<{name}>{}</{name}>", text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
    });
    leaf.prop_recursive(6, 60, 6, move |inner| {
        (name.clone(), "[A-Z0-9 ]{0,6}", prop::collection::vec(inner, 0..6))
            .prop_map(|(name, id, inner)| format!("<{name} id='{id}' Code='X'>{}</{name}>", inner.concat()))
    })
}

proptest! {
    #[test]
    fn no_value_is_lost_and_caps_hold(xml in tree()) {
        let answer = read(&xml);
        prop_assert_eq!(told(&answer), held(&xml));
        for fact in &answer.facts {
            prop_assert!(fact.summary.chars().count() <= SUMMARY_CHARS);
            prop_assert!(fact.snippet.chars().count() <= SNIPPET_CHARS);
            prop_assert!((0.5..=1.0).contains(&fact.confidence));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(xml in "\\PC{0,80}|(<[a-c]( id='[a-c]')?/?>|</[a-c]>|<\\?cut [a-c] [0-9]{1,22}\\?>|x){0,12}") {
        let _ = analyse_node(&args(&xml, NodeContext::default()));
    }
}
