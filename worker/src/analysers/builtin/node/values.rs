//! What a value looks like.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::fields::Unit;
use crate::kinds::node_extract::ValueType;

/// The first pattern that matches counts.
const PATTERNS: [(ValueType, &str); 12] = [
    (ValueType::Empty, r"^$"),
    (ValueType::Boolean, r"^(?i:true|false)$"),
    // A leading zero means something in a code, and nothing in a number.
    (ValueType::Integer, r"^[+-]?(?:0|[1-9]\d{0,17})$"),
    (ValueType::Decimal, r"^[+-]?(?:\d{1,18}\.\d{1,18}|\d(?:\.\d{1,18})?[eE][+-]?\d{1,3})$"),
    (ValueType::Uuid, r"^[[:xdigit:]]{8}(?:-[[:xdigit:]]{4}){3}-[[:xdigit:]]{12}$"),
    (ValueType::Date, r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:Z|[+-]\d\d:\d\d)?$"),
    (
        ValueType::DateTime,
        r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[T ][0-2]\d:[0-5]\d(?::[0-6]\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?$",
    ),
    (ValueType::Time, r"^(?:[01]\d|2[0-3]):[0-5]\d(?::[0-6]\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?$"),
    (ValueType::Duration, r"^-?P(?:\d+[YMWD])*(?:T(?:\d+(?:\.\d+)?[HMS])+)?$"),
    (ValueType::Email, r"^[\w.%+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}$"),
    (ValueType::Url, r"^(?i:https?|ftp|urn|mailto)://?\S+$"),
    (ValueType::Code, r"^(?:[A-Z]{2,4}|[A-Z]\d|\d[A-Z])$"),
];

static SET: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(PATTERNS.map(|(_, pattern)| pattern)).expect("constants"));

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[+-]?\d{1,18}(?:\.\d{1,18})?$").expect("a constant"));

/// The type of a value by its looks and its unit.
pub(super) fn value_type(value: &str, unit: Option<&Unit>) -> ValueType {
    if let Some(unit) = unit {
        return if unit.is_currency { ValueType::Amount } else { ValueType::Quantity };
    }
    let first = SET.matches(value).iter().next().map_or(ValueType::Text, |first| PATTERNS[first].0);
    // `P` and `PT` alone are no durations, but may be codes.
    match (first, value) {
        (ValueType::Duration, "P" | "-P") => ValueType::Text,
        (first, _) => first,
    }
}

/// Whether a unit makes sense for it.
pub(super) fn is_number(value: &str) -> bool {
    NUMBER.is_match(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks() {
        use ValueType::{
            Boolean, Code, Date, DateTime, Decimal, Duration, Email, Empty, Integer, Text, Time, Url, Uuid,
        };
        for (value, expected) in [
            ("", Empty),
            ("true", Boolean),
            ("0", Integer),
            ("-17", Integer),
            ("007", Text),
            ("422.52", Decimal),
            ("1.5e9", Decimal),
            ("1.2.3", Text),
            ("4934a464-d2f8-4e65-8a42-7bddf23d8016", Uuid),
            ("2019-05-31", Date),
            ("2019-13-31", Text),
            ("2019-05-31T16:14:55", DateTime),
            ("2021-11-29T08:19:19.5577792Z", DateTime),
            ("16:14", Time),
            ("25:14", Text),
            ("PT2H30M", Duration),
            ("P1DT2H", Duration),
            ("P", Text),
            ("jane.doe@example.org", Email),
            ("jane@", Text),
            ("https://example.org/a?b", Url),
            ("KRR", Code),
            ("SU", Code),
            ("5N", Code),
            ("EUR", Code),
            ("Krr", Text),
            ("Economy Class", Text),
        ] {
            assert_eq!(value_type(value, None), expected, "{value}");
        }
    }

    #[test]
    fn numbers_with_units() {
        let unit = |is_currency| Unit { name: "X".to_owned(), is_currency };
        assert_eq!(value_type("5", Some(&unit(true))), ValueType::Amount);
        assert_eq!(value_type("5", Some(&unit(false))), ValueType::Quantity);
        assert!(is_number("-5.00") && !is_number("5,00") && !is_number(""));
    }
}
