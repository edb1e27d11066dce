//! The shape of requests: which jobs, and which fields they have. What is beyond the limits is counted and
//! not kept, for a text of a few megabytes can name millions of either.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::problems::MOST_PROBLEMS;

/// The fields of a job.
pub(super) const FIELDS: [&str; 8] = [
    "kind",
    "args",
    "dedup_key",
    "priority",
    "max_attempts",
    "deadline_seconds",
    "fresh_for_seconds",
    "source",
];

/// The first jobs of an array.
pub(super) struct Items<'a> {
    pub(super) kept: Vec<&'a RawValue>,
    /// Of all of them.
    pub(super) count: usize,
}

/// Reads an array, and keeps so many of its items at most.
pub(super) fn read_items(array: &str, most: usize) -> serde_json::Result<Items<'_>> {
    let mut reader = serde_json::Deserializer::from_str(array);
    let items = Most(most).deserialize(&mut reader)?;
    reader.end()?;
    Ok(items)
}

struct Most(usize);

impl<'de> DeserializeSeed<'de> for Most {
    type Value = Items<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Items<'de>, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Most {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Items<'de>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.0 {
            let Some(item) = array.next_element()? else { return Ok(Items { count: kept.len(), kept }) };
            kept.push(item);
        }
        let mut count = kept.len();
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Items { kept, count })
    }
}

/// The fields of one job. Of those that it should not have only the first are kept.
#[derive(Default)]
pub(super) struct Named<'a> {
    pub(super) known: BTreeMap<&'static str, &'a RawValue>,
    pub(super) unknown: Vec<String>,
}

impl<'de> Deserialize<'de> for Named<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Named<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a job")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Named<'de>, A::Error> {
                let mut named = Named::default();
                while let Some(name) = object.next_key::<String>()? {
                    let value = object.next_value()?;
                    if let Some(known) = FIELDS.into_iter().find(|known| *known == name) {
                        named.known.insert(known, value);
                    } else if named.unknown.len() < MOST_PROBLEMS {
                        named.unknown.push(name);
                    }
                }
                Ok(named)
            }
        }
        reader.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_array_only_the_first_are_kept() {
        for (length, kept) in [(0, 0), (1, 1), (3, 3), (4, 3), (1_000_000, 3)] {
            let array = format!("[{}]", vec!["1"; length].join(","));
            let items = read_items(&array, 3).unwrap();
            assert_eq!((items.kept.len(), items.count), (kept, length));
        }
        assert!(read_items("[1,", 3).is_err());
        assert!(read_items("[1,2,3,4,x]", 3).is_err(), "what is not kept is read too");
    }

    #[test]
    fn of_many_wrong_fields_only_the_first_are_kept() {
        let fields: Vec<_> = (0..10_000).map(|number| format!("\"f{number}\": [{number}]")).collect();
        let object = format!("{{{}, \"kind\": \"a\"}}", fields.join(","));
        let named: Named = serde_json::from_str(&object).unwrap();
        assert_eq!((named.unknown.len(), named.unknown[0].as_str()), (MOST_PROBLEMS, "f0"));
        assert_eq!(named.known["kind"].get(), "\"a\"");
        assert!(serde_json::from_str::<Named>("[]").is_err());
    }
}
