//! Values that are numbers within bounds.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::text::is_none;

/// A word that may stand in a number's place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Auto,
    NotAllowed,
}

/// A whole number from `MIN` to `MAX`, or a word instead.
struct Whole<const MIN: u64, const MAX: u64> {
    word: Word,
}

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Whole<MIN, MAX> {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word {
            Word::None => f.write_str("\"none\" or ")?,
            Word::Auto => f.write_str("\"auto\" or ")?,
            Word::NotAllowed => {}
        }
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<u64>, E> {
        if (MIN..=MAX).contains(&number) {
            Ok(Some(number))
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(number), &self))
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<u64>, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<u64>, E> {
        let trimmed = text.trim();
        match (self.word, trimmed.parse()) {
            (Word::None, _) if is_none(trimmed) => Ok(None),
            (Word::Auto, _) if trimmed == "auto" => Ok(None),
            // From the environment: the default is a word, so nobody knew that a number may follow.
            (Word::None | Word::Auto, Ok(number)) => self.visit_u64(number),
            _ => Err(E::invalid_type(Unexpected::Str(text), &self)),
        }
    }
}

fn read<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64, T: TryFrom<u64>>(
    from: D,
    word: Word,
) -> Result<Option<T>, D::Error> {
    let number = from.deserialize_any(Whole::<MIN, MAX> { word })?;
    let convert = |number| T::try_from(number).map_err(|_| D::Error::custom("the number is too large"));
    number.map(convert).transpose()
}

pub(super) fn whole<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64, T: TryFrom<u64>>(
    from: D,
) -> Result<T, D::Error> {
    read::<D, MIN, MAX, T>(from, Word::NotAllowed)?.ok_or_else(|| D::Error::custom("a number is missing"))
}

pub(super) fn none_or_whole<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64, T: TryFrom<u64>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    read::<D, MIN, MAX, T>(from, Word::None)
}

pub(super) fn auto_or_whole<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64, T: TryFrom<u64>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    read::<D, MIN, MAX, T>(from, Word::Auto)
}

pub(super) fn temperature<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    struct Temperature;
    impl Visitor<'_> for Temperature {
        type Value = Option<f64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"none\" or a number from 0 to 2")
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Option<f64>, E> {
            if (0.0..=2.0).contains(&number) {
                Ok(Some(number))
            } else {
                Err(E::invalid_value(Unexpected::Float(number), &self))
            }
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Option<f64>, E> {
            self.visit_f64(number as f64)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Option<f64>, E> {
            self.visit_f64(number as f64)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Option<f64>, E> {
            if is_none(text.trim()) { Ok(None) } else { Err(E::invalid_type(Unexpected::Str(text), &self)) }
        }
    }
    from.deserialize_any(Temperature)
}
