//! Timestamps as logs write them, by shape.

/// Shapes that are a time wherever they stand. `9` is a digit, `~` one or two digits, a space
/// one or more spaces, `M` a month's name, `W` a weekday's name, `?` a fraction or nothing.
const SHAPES: [&str; 21] = [
    "9999-99-99T99:99:99",
    "9999-99-99 99:99:99",
    "9999-99-99_99:99:99",
    "9999-99-99-99.99.99",
    "9999/99/99 99:99:99",
    "9999.99.99 99:99:99",
    "99/99/9999 ~:99:99",
    "99/99/99 99:99:99",
    "~/M/9999:99:99:99",
    "~-M-9999 99:99:99",
    "~ M 9999 99:99:99",
    "W M ~ 99:99:99? 9999",
    "W M ~ 99:99:99",
    "W, ~ M 9999 99:99:99",
    "M ~, 9999 ~:99:99",
    "M ~ 99:99:99 9999",
    "M ~ 99:99:99",
    "9999-99-99T99:99",
    "9999-99-99",
    "9999/99/99",
    "99:99:99",
];

/// Shapes that are a time only where a line starts.
const HEAD_SHAPES: [&str; 6] = [
    "99-99 99:99:99",
    "99.99 99:99:99",
    "99999999-99:99:99",
    "99999999T999999",
    "999999 999999",
    "99999999 99:99:99",
];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const ZONES: [&str; 22] = [
    "UTC", "GMT", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "CET", "CEST", "BST", "IST", "JST",
    "MSK", "EET", "EEST", "AEST", "AEDT", "HKT", "SGT",
];

/// Length of the time that `text` starts with, zone and fraction included.
pub(super) fn time_len(text: &str) -> Option<usize> {
    let text = text.as_bytes();
    // Most numbers are no times; this tells them apart before any shape is tried.
    let may_be = match (digits(text), text.iter().find(|byte| !byte.is_ascii_digit())) {
        (0, _) => text.get(..3).is_some_and(is_calendar_word),
        (1, Some(b'/' | b'-' | b' '))
        | (2, Some(b'/' | b'-' | b' ' | b':'))
        | (4, Some(b'-' | b'/' | b'.')) => true,
        _ => false,
    };
    if may_be { longest(text, &SHAPES) } else { None }
}

/// Length of the time that a line starts with; also knows epoch seconds and milliseconds, and
/// shapes that would be something else inside a sentence.
pub(super) fn head_time_len(line: &str) -> Option<usize> {
    let text = line.as_bytes();
    if !text.first()?.is_ascii_alphanumeric() {
        return None;
    }
    time_len(line).or_else(|| longest(text, &HEAD_SHAPES)).or_else(|| epoch_len(text))
}

/// Whether the word is a month's or a weekday's short name.
pub(super) fn is_calendar_word(word: &[u8]) -> bool {
    word.len() == 3 && (is_one_of(word, &MONTHS) || is_one_of(word, &WEEKDAYS))
}

fn is_one_of(word: &[u8], names: &[&str]) -> bool {
    word.first().is_some_and(u8::is_ascii_alphabetic)
        && names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

fn longest(text: &[u8], shapes: &[&str]) -> Option<usize> {
    let body = shapes.iter().find_map(|shape| shape_len(text, shape.as_bytes()))?;
    let end = tail_len(text, body);
    let next = text.get(end).copied().unwrap_or(b' ');
    let goes_on = next.is_ascii_alphanumeric() || (next == b':' && followed_by_hex(text, end));
    (!goes_on).then_some(end)
}

/// `10:20:30:aa` is an address, `10:20:30: text` is a time and a colon.
fn followed_by_hex(text: &[u8], colon: usize) -> bool {
    text.get(colon + 1).is_some_and(u8::is_ascii_hexdigit)
}

fn shape_len(text: &[u8], shape: &[u8]) -> Option<usize> {
    let mut at = 0;
    for mark in shape {
        let rest = text.get(at..)?;
        if *mark == b'?' {
            at += fraction_len(rest);
            continue;
        }
        at += match mark {
            b'9' => usize::from(rest.first()?.is_ascii_digit()),
            b'~' => digits(rest).min(2),
            b'M' => usize::from(is_one_of(rest.get(..3)?, &MONTHS)) * 3,
            b'W' => usize::from(is_one_of(rest.get(..3)?, &WEEKDAYS)) * 3,
            b' ' => rest.iter().take_while(|byte| **byte == b' ').count(),
            literal => usize::from(rest.first()? == literal),
        }
        .checked_sub(1)?
            + 1;
    }
    Some(at)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Length of `.123`, `,123` or `:123`.
fn fraction_len(text: &[u8]) -> usize {
    match text {
        [b'.' | b',' | b':', fraction @ ..] if digits(fraction) > 0 => digits(fraction) + 1,
        _ => 0,
    }
}

/// Where the fraction, `AM`/`PM` and the zone after a time end.
fn tail_len(text: &[u8], body: usize) -> usize {
    let mut end = body + fraction_len(&text[body..]);
    for half in [&b" AM"[..], b" PM"] {
        end += if text[end..].starts_with(half) { 3 } else { 0 };
    }
    end + zone_len(&text[end..])
}

fn zone_len(text: &[u8]) -> usize {
    if text.first() == Some(&b'Z') {
        return 1;
    }
    let gap = usize::from(text.first() == Some(&b' '));
    let zone = &text[gap..];
    if matches!(zone.first(), Some(b'+' | b'-')) {
        let offset = &zone[1..];
        return match (digits(offset), offset.get(2)) {
            (4, _) => gap + 5,
            (2, Some(b':')) if digits(&offset[3..]) == 2 => gap + 6,
            _ => 0,
        };
    }
    let name = zone.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let known = ZONES.iter().any(|known| known.as_bytes() == &zone[..name]);
    if gap == 1 && known { gap + name } else { 0 }
}

/// Epoch seconds (10 digits, perhaps a fraction) or milliseconds (13) of this century's first half.
fn epoch_len(text: &[u8]) -> Option<usize> {
    let whole = digits(text);
    if !matches!(whole, 10 | 13) || text[0] != b'1' {
        return None;
    }
    let fraction = if text.get(whole) == Some(&b'.') { digits(&text[whole + 1..]) + 1 } else { 0 };
    let end = whole + if fraction > 1 { fraction } else { 0 };
    matches!(text.get(end), None | Some(b' ' | b'\t' | b',' | b'|' | b']' | b':')).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_known_by_shape() {
        for (text, expected) in [
            ("2015-10-18 18:01:47,978 INFO", "2015-10-18 18:01:47,978"),
            ("2019-01-02T09:42:36.320Z rest", "2019-01-02T09:42:36.320Z"),
            ("2024-05-01T10:00:00+02:00: x", "2024-05-01T10:00:00+02:00"),
            ("2024-05-01 10:00:00.123 UTC [12]", "2024-05-01 10:00:00.123 UTC"),
            ("Sun Dec 04 04:47:44 2005] x", "Sun Dec 04 04:47:44 2005"),
            ("Jun  4 15:16:01 combo", "Jun  4 15:16:01"),
            ("10/Oct/2000:13:55:36 -0700]", "10/Oct/2000:13:55:36 -0700"),
            ("17/06/09 20:10:40 INFO", "17/06/09 20:10:40"),
            ("01-May-2024 10:00:00.123 SEVERE", "01-May-2024 10:00:00.123"),
            ("01 Jan 2024 12:00:00.000 # x", "01 Jan 2024 12:00:00.000"),
            ("2024-05-01, x", "2024-05-01"),
            ("10:20:30: done", "10:20:30"),
            ("18:01:47 GET /x", "18:01:47"),
        ] {
            assert_eq!(time_len(text).map(|end| &text[..end]), Some(expected), "{text}");
        }
        for text in ["10:20:30:40:50:60", "10.251.73.220", "2024", "", "May be", "12:30", "2024-05-011"] {
            assert_eq!(time_len(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_may_start_with_looser_shapes() {
        for (text, expected) in [
            ("081109 203615 148 INFO", "081109 203615"),
            ("03-17 16:13:38.811  1702", "03-17 16:13:38.811"),
            ("1700000000.123 x", "1700000000.123"),
            ("1700000000123 x", "1700000000123"),
            ("20171223-22:15:29:606|Step", "20171223-22:15:29:606"),
        ] {
            assert_eq!(head_time_len(text).map(|end| &text[..end]), Some(expected), "{text}");
        }
        for text in ["1700000000x", "9999999999 x", "123456 1234 x"] {
            assert_eq!(head_time_len(text), None, "{text}");
        }
    }
}
