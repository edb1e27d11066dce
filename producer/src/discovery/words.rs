//! What a name says: does this field identify its element, or refer to another one?

/// What a field (an attribute, or a child element with text only) is to the element that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its value is the element's own id: `PassengerID` of a `Passenger`.
    Identity,
    /// Its value is the id of another element: `PassengerRef`.
    Reference,
    /// Neither is said.
    Plain,
}

const ID_WORDS: [&str; 5] = ["id", "key", "uuid", "guid", "uid"];
const REFERENCE_WORDS: [&str; 9] =
    ["ref", "refs", "reference", "references", "idref", "idrefs", "refid", "refids", "href"];
/// `ListKey` identifies whatever has it.
const GENERIC_STEMS: [&str; 10] =
    ["list", "unique", "global", "local", "internal", "primary", "object", "record", "row", "xml"];

/// The role of field `name` in an element named `owner`.
pub(super) fn role(name: &str, owner: &str) -> Role {
    let words = words(name);
    let Some((last, stem)) = words.split_last() else { return Role::Plain };
    let refers = |word: &String| REFERENCE_WORDS.contains(&word.as_str());
    let id_like = ID_WORDS.contains(&last.as_str());
    if refers(last) || ((id_like || last == "ids" || last == "keys") && stem.last().is_some_and(refers)) {
        return Role::Reference;
    }
    if (id_like && identifies(stem, owner)) || name.to_lowercase() == format!("{}id", owner.to_lowercase()) {
        return Role::Identity;
    }
    Role::Plain
}

/// `OrderID` in a `Customer` is somebody else's id, so the stem must fit the owner.
fn identifies(stem: &[String], owner: &str) -> bool {
    if stem.iter().all(|word| GENERIC_STEMS.contains(&word.as_str())) {
        return true;
    }
    let owner = words(owner);
    owner.starts_with(stem) || owner.ends_with(stem) || stem.ends_with(&owner)
}

/// Whether `container` is by its name a list of `item`s: `PaxList` of `Pax`, `Entries` of `Entry`.
pub(super) fn is_list_of(container: &str, item: &str) -> bool {
    let (container, item) = (container.to_lowercase(), item.to_lowercase());
    if container == format!("arrayof{item}") {
        return true;
    }
    if item.strip_suffix('y').is_some_and(|stem| container == format!("{stem}ies")) {
        return true;
    }
    container
        .strip_prefix(item.as_str())
        .is_some_and(|rest| matches!(rest, "s" | "es" | "list" | "lists" | "array" | "collection" | "set"))
}

/// The words of a name in lower case: `BaggageAllowanceRefID` is baggage, allowance, ref, id.
fn words(name: &str) -> Vec<String> {
    // The plural of an abbreviation would fall apart as `I`, `Ds`.
    let name = name.replace("IDs", "Ids");
    let chars: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, char) in chars.iter().enumerate() {
        if !char.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).map(|before| chars[before]);
        let after_is_lower = chars.get(at + 1).is_some_and(|char| char.is_lowercase());
        let hump =
            char.is_uppercase() && before.is_some_and(|before| !before.is_uppercase() || after_is_lower);
        if hump {
            words.push(String::new());
        }
        words.last_mut().expect("starts with one").extend(char.to_lowercase());
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_names() {
        for (name, expected) in [
            ("BaggageAllowanceRefID", "baggage allowance ref id"),
            ("PaxSegmentIDs", "pax segment ids"),
            ("RBD_Code", "rbd code"),
            ("order-item-id", "order item id"),
            ("IDNumber", "id number"),
            ("PTC", "ptc"),
        ] {
            assert_eq!(words(name).join(" "), expected);
        }
    }

    #[test]
    fn tells_ids_from_references() {
        use Role::{Identity, Plain, Reference};
        for (name, owner, expected) in [
            ("id", "Anything", Identity),
            ("PassengerID", "Passenger", Identity),
            ("SegmentKey", "FlightSegment", Identity),
            ("ContactID", "ContactInformation", Identity),
            ("OrderItemID", "Item", Identity),
            ("ListKey", "FareGroup", Identity),
            ("order_id", "Order", Identity),
            ("passengerid", "passenger", Identity),
            ("OfferItemID", "Offer", Plain),
            ("AirlineID", "MarketingCarrier", Plain),
            ("CustomerId", "Order", Plain),
            ("StatusCode", "Status", Plain),
            ("paid", "Order", Plain),
            ("PassengerRef", "Service", Reference),
            ("BaggageAllowanceRefID", "BaggageAllowance", Reference),
            ("PaxRefID", "Pax", Reference),
            ("SegmentReferences", "Flight", Reference),
            ("IDREFS", "x", Reference),
            ("idref", "x", Reference),
        ] {
            assert_eq!(role(name, owner), expected, "{name} of {owner}");
        }
    }

    #[test]
    fn knows_list_containers() {
        for (container, item, expected) in [
            ("OrderItems", "OrderItem", true),
            ("PaxList", "Pax", true),
            ("Entries", "Entry", true),
            ("ArrayOfint", "int", true),
            ("TimeLimits", "PaymentTimeLimit", false),
            ("Order", "Order", false),
            ("PassengerName", "Passenger", false),
        ] {
            assert_eq!(is_list_of(container, item), expected, "{container} of {item}");
        }
    }
}
