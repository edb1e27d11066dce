use fleetline_shared::domain::{AnalyserRef, KnownId, NodeContext, NodeShape, UsualPart};

use super::*;
use crate::kinds::node_extract::{Child, QualityStatus};

const ITEM: &str = r#"<o:OrderItem xmlns:o="urn:o" OrderItemID="OI-1">
  <o:Price><o:Total><o:Simple Code="EUR">422.52</o:Simple></o:Total><o:Base Code="EUR">400</o:Base></o:Price>
  <o:Service ServiceID="S1"><o:PassengerRef>PAX1</o:PassengerRef><o:SegmentRef>SEG9</o:SegmentRef></o:Service>
  <o:Service ServiceID="S2"><o:PassengerRef>PAX2</o:PassengerRef></o:Service>
  <?cut o:Note 3?>
  <o:Remark/>
</o:OrderItem>"#;

fn extract(xml: &str, context: NodeContext) -> Vec<NodeFact> {
    let args = NodeArgs {
        analyser: AnalyserRef { name: NAME.into(), model: None, version: RULES_VERSION.into() },
        node_type: "OrderItem".into(),
        path: "/Order/OrderItem[1]".into(),
        ordinal: 1,
        shape: NodeShape::Whole,
        ancestors: Vec::new(),
        xml: xml.into(),
        context,
    };
    facts(&args).expect("facts")
}

fn item() -> Vec<NodeFact> {
    let passenger = |value: &str| KnownId { value: value.into(), kind: "Passenger".into() };
    let usual = |of: &str, name: &str| UsualPart { of: of.into(), name: name.into(), percent: 90 };
    extract(
        ITEM,
        NodeContext {
            known_ids: vec![passenger("PAX1"), passenger("PAX2")],
            usual_parts: vec![
                usual(".", "TimeLimits"),
                usual(".", "Note"),
                usual(".", "@OrderItemID"),
                usual("Service", "SegmentRef"),
                usual("Price/Base", "@Rate"),
            ],
        },
    )
}

#[test]
fn root_and_entities_get_facts() {
    let facts = item();
    let found: Vec<(&str, &str)> =
        facts.iter().map(|fact| (fact.path.as_str(), fact.node_type.as_str())).collect();
    assert_eq!(found, [(".", "OrderItem"), ("Service[1]", "Service"), ("Service[2]", "Service")]);
}

#[test]
fn values_have_types_and_units() {
    let root = &item()[0];
    let shown: Vec<String> = root
        .attributes
        .iter()
        .map(|(name, Attribute { value, value_type, unit })| {
            format!("{name} {value} {value_type:?} {}", unit.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "@OrderItemID OI-1 Id -",
            "Price/Base 400 Amount EUR",
            "Price/Total/Simple 422.52 Amount EUR",
            "Remark  Empty -",
        ]
    );
    let child = |name: &str, count, cut_out| Child { name: name.into(), count, cut_out };
    let expected = [child("Price", 1, 0), child("Service", 2, 0), child("Note", 3, 3), child("Remark", 1, 0)];
    assert_eq!(root.children, expected);
}

#[test]
fn references_resolve_or_say_that_they_do_not() {
    let service = &item()[1];
    let shown: Vec<String> = service
        .references
        .iter()
        .map(|reference| {
            format!("{} {} {} {}", reference.kind, reference.field, reference.value, reference.resolved)
        })
        .collect();
    assert_eq!(shown, ["Passenger PassengerRef PAX1 true", "Segment SegmentRef SEG9 false"]);
    assert_eq!(service.attributes["PassengerRef"].value_type, ValueType::Reference);
    assert_eq!(service.quality.missing, ["SegmentRef=SEG9 (not in the document)"]);
}

#[test]
fn what_is_missing_is_told_where_it_is_missing() {
    let facts = item();
    assert_eq!(
        facts[0].quality.missing,
        [
            "TimeLimits (90 % of its kind have it)",
            "Price/Base/@Rate (90 % of its kind have it)",
            "Remark (empty)"
        ]
    );
    assert_eq!(facts[2].quality.missing, ["SegmentRef (90 % of its kind have it)"]);
    assert_eq!(facts[0].quality.status, QualityStatus::Partial);
    assert!((facts[0].confidence - 0.75).abs() < 1e-9, "{}", facts[0].confidence);
}

#[test]
fn summaries_read_like_sentences() {
    let facts = item();
    assert_eq!(
        facts[0].summary,
        "OrderItem OI-1: total 422.52 EUR, base 400 EUR, 2 Services, 3 Notes, refers to 2 Passengers and 1 Segment"
    );
    assert_eq!(facts[2].summary, "Service S2: refers to 1 Passenger");
    let nothing = &extract("<Success/>", NodeContext::default())[0];
    assert_eq!((nothing.summary.as_str(), nothing.quality.status), ("Success: empty", QualityStatus::Empty));
    assert!(nothing.quality.missing.is_empty());
}

#[test]
fn snippets_are_the_elements_xml() {
    let facts = item();
    assert!(facts[0].snippet.starts_with("<o:OrderItem xmlns:o=\"urn:o\" OrderItemID=\"OI-1\"><o:Price>"));
    assert_eq!(
        facts[2].snippet,
        r#"<o:Service ServiceID="S2"><o:PassengerRef>PAX2</o:PassengerRef></o:Service>"#
    );
}

#[test]
fn numbers_and_words_are_no_references_by_chance() {
    let context = NodeContext {
        known_ids: ["1", "EUR", "PAX1"]
            .map(|value| KnownId { value: value.into(), kind: "Passenger".into() })
            .into(),
        ..NodeContext::default()
    };
    let facts = extract(
        "<a><Quantity>1</Quantity><Currency>EUR</Currency><Who>PAX1</Who><PassengerRefs>1 PAX1 X</PassengerRefs></a>",
        context,
    );
    let found: Vec<String> = facts[0]
        .references
        .iter()
        .map(|reference| format!("{}={} {}", reference.field, reference.value, reference.resolved))
        .collect();
    assert_eq!(
        found,
        ["Who=PAX1 true", "PassengerRefs=1 true", "PassengerRefs=PAX1 true", "PassengerRefs=X false"]
    );
}

#[test]
fn elements_over_the_limit_are_told() {
    let items: Vec<String> = (0..250).map(|n| format!("<i id='{n}'><v>{n}</v></i>")).collect();
    let facts = extract(&format!("<l>{}</l>", items.concat()), NodeContext::default());
    assert_eq!(facts.len(), MAX_FACTS);
    assert!(facts[0].quality.missing[0].starts_with("(51 elements inside are described here"));
}
