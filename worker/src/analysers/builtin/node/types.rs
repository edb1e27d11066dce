//! What kind of value a text is, by its shape and the names it stands under.

use std::sync::LazyLock;

use regex::Regex;

/// The type of what has no better one.
pub(super) const TEXT: &str = "text";

const INTEGER: &str = "integer";
const DECIMAL: &str = "decimal";

/// Whether values of the type are numbers.
pub(super) fn is_number(kind: &str) -> bool {
    matches!(kind, INTEGER | DECIMAL)
}

/// Whether values of the type are points in time.
pub(super) fn is_time(kind: &str) -> bool {
    matches!(kind, "date" | "dateTime" | "time")
}

/// A type: its name, the names it stands under (any if empty), the shape of its values.
struct Type {
    kind: &'static str,
    names: Option<Regex>,
    shape: Regex,
}

const ZONE: &str = r"(Z|[+-]\d{2}:?\d{2})?";
const DATE: &str = r"-?\d{4,6}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])";
const TIME: &str = r"([01]\d|2[0-4]):[0-5]\d(:[0-6]\d(\.\d+)?)?";

/// In order: shapes that leave no doubt, shapes that need a fitting name, plain numbers.
static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    [
        ("boolean", "", "true|false".to_owned()),
        ("uuid", "", r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".to_owned()),
        ("dateTime", "", format!("{DATE}[T ]{TIME}{ZONE}")),
        ("date", "", format!("{DATE}{ZONE}")),
        ("time", "", format!("{TIME}{ZONE}")),
        ("duration", "", r"-?P(\d+[YMWD])*(\d+[YMWD]|T(\d+H)?(\d+M)?\d+(\.\d+)?[HMS])".to_owned()),
        ("email", "", r"[^\s@<>]+@[^\s@<>.]+(\.[^\s@<>.]+)+".to_owned()),
        ("url", "", r"(?i)(https?|ftps?|wss?)://\S+|urn:[a-z0-9-]+:\S+|mailto:\S+".to_owned()),
        ("phone", "", r"\+\d[\d ()./-]{6,20}".to_owned()),
        ("phone", "phone|mobile|fax|telephone", r"[\d ()./+-]{5,24}".to_owned()),
        ("country-code", "country|citizenship|nationality", "[A-Za-z]{2,3}".to_owned()),
        ("currency-code", r"currency|curcode|\bcur$", "[A-Z]{3}".to_owned()),
        (
            "airport-code",
            r"(airport|departure|arrival|origin|destination|location|city|iata)[^/]*(/[^/]*code|/code|/iata)?$",
            "[A-Z]{3}".to_owned(),
        ),
        ("id", ID_NAMES, r"\S{1,200}".to_owned()),
        // A leading zero or too many digits: a code that happens to have digits only.
        (INTEGER, "", r"[+-]?(0|[1-9]\d{0,17})".to_owned()),
        (DECIMAL, "", r"[+-]?\d{0,18}\.\d{1,18}([eE][+-]?\d{1,3})?".to_owned()),
    ]
    .into_iter()
    .map(|(kind, names, shape)| Type {
        kind,
        names: (!names.is_empty()).then(|| compiled(&format!("(?i){names}"))),
        shape: compiled(&format!("^(?:{shape})$")),
    })
    .collect()
});

/// The last name ends in ID, Key or Ref, as a word of its own (`OrderID`, not `Paid`).
const ID_NAMES: &str = r"(?-i:(^|/)(id|key|ref|refs)$|(ID|Id|IDs|Ids|Key|Ref|Refs|RefID|Reference|References|IDREF|IDREFS)$|[_-](id|key|ref)s?$)";

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns above are valid, a test compiles them all")
}

/// Type of a value. `names` are those of the parent element and the field, `Departure/AirportCode`.
pub(super) fn of(names: &str, value: &str) -> &'static str {
    let fits = |known: &&Type| {
        known.names.as_ref().is_none_or(|pattern| pattern.is_match(names)) && known.shape.is_match(value)
    };
    TYPES.iter().find(fits).map_or(TEXT, |known| known.kind)
}
