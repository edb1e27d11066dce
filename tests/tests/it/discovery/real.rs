//! The two real documents.

use std::collections::BTreeMap;

use fleetline_shared::domain::NodeShape;

use super::reassemble::assert_reassembles;
use super::{options, shared, split};

/// Jobs by node type.
fn types(split: &super::Split) -> BTreeMap<&str, usize> {
    let mut types = BTreeMap::new();
    for (_, args) in &split.jobs {
        *types.entry(args.node_type.as_str()).or_default() += 1;
    }
    types
}

#[test]
fn an_order_gives_what_a_person_would_call_its_nodes() {
    let Some(bytes) = shared("order-book.xml") else { return };
    let text = String::from_utf8(bytes).unwrap();
    let split = split(&text, &options(20 * 1024));
    eprintln!("{}", split.report.tree);
    assert_reassembles(&text, &split);
    let expected = [
        ("BaggageAllowance", 2),
        ("ContactInformation", 2),
        ("FareGroup", 2),
        ("Flight", 2),
        ("FlightSegment", 2),
        ("OrderItem", 4),
        ("OrderViewRS", 1),
        ("OriginDestination", 2),
        ("Passenger", 4),
        ("ServiceDefinition", 2),
    ];
    assert_eq!(types(&split), BTreeMap::from(expected));
}

#[test]
fn an_order_reassembles_at_any_size() {
    let Some(bytes) = shared("order-book.xml") else { return };
    let text = String::from_utf8(bytes).unwrap();
    for size in [100, 200, 400, 1_000, 3_000] {
        assert_reassembles(&text, &split(&text, &options(size)));
    }
}

#[test]
fn an_offer_list_gives_offers_and_the_lists_they_refer_to() {
    let Some(bytes) = shared("air-shopping-1adt.xml") else { return };
    let text = String::from_utf8(bytes).unwrap();
    let split = split(&text, &options(20 * 1024));
    eprintln!("{}", split.report.tree);
    assert_reassembles(&text, &split);
    let types = types(&split);
    for (node_type, count) in [("Offer", 192), ("PaxSegment", 94), ("BaggageAllowance", 47), ("Pax", 1)] {
        assert_eq!(types[node_type], count, "{node_type}");
    }
    assert!(split.jobs.iter().all(|(_, args)| args.xml.len() <= 20 * 1024));
    assert_eq!(split.jobs.iter().filter(|(_, args)| args.shape == NodeShape::Skeleton).count(), 1);
}

#[test]
fn an_offer_list_reassembles_when_offers_are_split() {
    let Some(bytes) = shared("air-shopping-1adt.xml") else { return };
    let text = String::from_utf8(bytes).unwrap();
    for size in [300, 2_000] {
        assert_reassembles(&text, &split(&text, &options(size)));
    }
}
