//! What a name says: does this field identify its element, or refer to another one?

use std::sync::LazyLock;

use regex::Regex;
use roxmltree::Node;

use super::{children, has_children, own_text};

/// Names that end in a word for "id": what stands before it is group 1, 2 or 3.
static IDENTITY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:(.*?)[_-]?(?:I[Dd]|Key|U?UID|Uuid|GUID|Guid)|(.*)[_-](?:id|key|u?uid|guid)|()(?:id|key|u?uid|guid))$")
        .expect("a constant")
});

/// Names that end in a word for "reference": what stands before it is group 1 or 2.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:(.*?)[_-]?(?:Refs?(?:ID|Id|Key)?s?|IDREFS?)|(.+)[_-](?:refs?|idrefs?)(?:[_-](?:id|key)s?)?|(?:refs?|idrefs?|refid))$")
        .expect("a constant")
});

/// `ListKey` identifies whatever has it.
const GENERIC: [&str; 7] = ["", "xml", "list", "object", "unique", "record", "row"];

/// Whether field `name` holds the id of the element `owner` that has it: `PassengerID` of a
/// `Passenger`, but not `CustomerId` of an `Order`.
pub(crate) fn is_identity(name: &str, owner: &str) -> bool {
    if referred_kind(name).is_some() {
        return false;
    }
    let owner = plain(owner);
    if plain(name) == format!("{owner}id") {
        return true;
    }
    let Some(found) = IDENTITY.captures(name) else { return false };
    let stem = found.iter().skip(1).flatten().next().map(|stem| plain(stem.as_str()));
    let stem = stem.unwrap_or_default();
    GENERIC.contains(&stem.as_str())
        || owner.starts_with(&stem)
        || owner.ends_with(&stem)
        || stem.ends_with(&owner)
}

/// What field `name` refers to, if its name says that it refers: `Passenger` for `PassengerRef`,
/// nothing in particular (an empty text) for `ref`.
pub(crate) fn referred_kind(name: &str) -> Option<&str> {
    let found = REFERENCE.captures(name)?;
    Some(found.iter().skip(1).flatten().next().map_or("", |stem| stem.as_str()))
}

/// The element's own id, from an attribute or a child with text only.
pub(crate) fn own_id(element: Node) -> Option<String> {
    let owner = element.tag_name().name();
    let attribute = element.attributes().find(|attribute| is_identity(attribute.name(), owner));
    if let Some(attribute) = attribute.filter(|attribute| !attribute.value().trim().is_empty()) {
        return Some(attribute.value().trim().to_owned());
    }
    let is_id = |child: &Node| {
        child.is_element() && is_identity(child.tag_name().name(), owner) && !has_children(*child)
    };
    let child = element.children().find(is_id)?;
    // Several ids of one name are a list of something else.
    let name = child.tag_name().name();
    let single = children(element).iter().any(|child| child.name == name && child.count == 1);
    Some(own_text(child)).filter(|text| single && !text.is_empty())
}

fn plain(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ids() {
        for (name, owner, expected) in [
            ("id", "Anything", true),
            ("PassengerID", "Passenger", true),
            ("SegmentKey", "FlightSegment", true),
            ("ContactID", "ContactInformation", true),
            ("OrderItemID", "Item", true),
            ("ListKey", "FareGroup", true),
            ("order_id", "Order", true),
            ("passengerid", "passenger", true),
            ("PaxRefID", "Pax", false),
            ("AirlineID", "MarketingCarrier", false),
            ("CustomerId", "Order", false),
            ("StatusCode", "Status", false),
            ("paid", "Passenger", false),
        ] {
            assert_eq!(is_identity(name, owner), expected, "{name} of {owner}");
        }
    }

    #[test]
    fn tells_references() {
        for (name, expected) in [
            ("PassengerRef", Some("Passenger")),
            ("SegmentRefs", Some("Segment")),
            ("BaggageAllowanceRefID", Some("BaggageAllowance")),
            ("pax_ref", Some("pax")),
            ("pax-ref-id", Some("pax")),
            ("ref", Some("")),
            ("IDREFS", Some("")),
            ("BrandPref", None),
            ("Refund", None),
            ("BookingReference", None),
            ("PassengerID", None),
        ] {
            assert_eq!(referred_kind(name), expected, "{name}");
        }
    }

    #[test]
    fn finds_the_own_id() {
        for (xml, expected) in [
            ("<Pax PaxID=' P1 '/>", Some("P1")),
            ("<Pax><PaxID>P1</PaxID></Pax>", Some("P1")),
            ("<Order><CustomerID>C</CustomerID></Order>", None),
            ("<Pax><PaxID>P1</PaxID><PaxID>P2</PaxID></Pax>", None),
            ("<Pax PaxID=''/>", None),
        ] {
            let document = crate::analysers::xml::parse(xml).expect("XML");
            assert_eq!(own_id(document.root_element()).as_deref(), expected, "{xml}");
        }
    }
}
