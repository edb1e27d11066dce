//! Numbers, times and texts as people read them.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `1,234,567`
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `987`, `1.2k`, `45k`, `3.4M`: two digits or three, for places where exactness doesn't help.
pub fn short(number: u64) -> String {
    scaled(number as f64, 1000.0, &["", "k", "M", "G", "T", "P", "E"])
}

/// `987 B`, `1.2 KiB`, `45 MiB`
pub fn bytes(number: u64) -> String {
    scaled(number as f64, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"])
}

/// One decimal below ten, none above; never four digits where the next unit says it shorter.
fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let (mut rest, mut unit) = (number, 0);
    while unit + 1 < units.len() && rest.round() >= step {
        rest /= step;
        unit += 1;
    }
    // 9.97 is 10, not 10.0.
    let decimals = usize::from(unit > 0 && (rest * 10.0).round() < 100.0);
    format!("{rest:.decimals$}{}", units[unit])
}

/// `340ms`, `4.2s`, `1m 03s`, `2h 05m`, `3d 04h`
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if duration.as_millis() < 1000 {
        return format!("{}ms", duration.as_millis());
    }
    if (seconds * 10.0).round() < 600.0 {
        return format!("{seconds:.1}s");
    }
    let whole = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    match whole {
        0..3_600 => format!("{}m {:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h {:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d {:02}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// `12.5%`. All but one never reads 100%, and one never reads 0%. Of nothing: `-`.
pub fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "-".to_owned(),
        (0, _) => "0%".to_owned(),
        (part, whole) if part >= whole => format!("{:.0}%", part as f64 * 100.0 / whole as f64),
        (part, whole) => format!("{:.1}%", (part as f64 * 100.0 / whole as f64).clamp(0.1, 99.9)),
    }
}

/// `0.4/s`, `12/s`, `1.2k/s`
pub fn per_second(rate: f64) -> String {
    match rate {
        rate if rate < 9.95 => format!("{:.1}/s", rate.max(0.0)),
        rate => format!("{}/s", scaled(rate, 1000.0, &["", "k", "M", "G"])),
    }
}

/// One line without control characters: what comes from an input must not steer the terminal.
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => cleaned.push(' '),
            c if c.is_control() || is_bidi_control(c) => cleaned.push('\u{fffd}'),
            c => cleaned.push(c),
        }
    }
    cleaned
}

/// Marks that reorder what stands around them.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// At most so many terminal columns; what is cut is replaced by `…`. Cuts between characters.
pub fn truncate(text: &str, columns: usize) -> String {
    shortened(text, columns, |text, room| {
        let kept = fitting_bytes(text.chars(), room);
        format!("{}…", text[..kept].trim_end())
    })
}

/// Like [`truncate`], but keeps the end: `…/Passenger[3]`.
pub fn truncate_start(text: &str, columns: usize) -> String {
    shortened(text, columns, |text, room| {
        let kept = fitting_bytes(text.chars().rev(), room);
        format!("…{}", text[text.len() - kept..].trim_start())
    })
}

/// The cleaned text if it fits, else what `cut` makes of it with one column left for the mark.
fn shortened(text: &str, columns: usize, cut: impl FnOnce(&str, usize) -> String) -> String {
    let cleaned = clean(text);
    if cleaned.width() <= columns {
        return cleaned;
    }
    columns.checked_sub(1).map_or_else(String::new, |room| cut(&cleaned, room))
}

/// Length of the first characters that fit into so many columns.
fn fitting_bytes(chars: impl Iterator<Item = char>, room: usize) -> usize {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= room
    };
    chars.take_while(fits).map(char::len_utf8).sum()
}

/// The last eight digits of an id: the first ones tell its time, which many share.
pub fn short_id(id: &str) -> String {
    id.chars().skip(id.len().saturating_sub(8)).collect()
}

/// `2024-05-31 12:44`, UTC, from milliseconds since 1970.
pub fn time(at_ms: i64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]");
    let at = time::OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1000));
    at.ok().and_then(|at| at.format(format).ok()).unwrap_or_else(|| at_ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (100_000, "100,000")]
        {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn short_counts_and_bytes() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (1_234, "1.2k"),
            (9_949, "9.9k"),
            (9_950, "10k"),
            (45_678, "46k"),
            (999_499, "999k"),
            (999_500, "1.0M"),
            (3_400_000, "3.4M"),
            (u64::MAX, "18E"),
        ];
        for (number, text) in table {
            assert_eq!(short(number), text, "{number}");
        }
        for (number, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (20 << 20, "20 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
        ] {
            assert_eq!(bytes(number), text, "{number}");
        }
    }

    #[test]
    fn durations() {
        let table = [
            (0, "0ms"),
            (340, "340ms"),
            (999, "999ms"),
            (1_000, "1.0s"),
            (4_230, "4.2s"),
            (59_940, "59.9s"),
            (59_950, "1m 00s"),
            (63_000, "1m 03s"),
            (119_600, "2m 00s"),
            (3_599_400, "59m 59s"),
            (3_599_600, "1h 00m"),
            (7_500_000, "2h 05m"),
            (273_600_000, "3d 04h"),
        ];
        for (millis, text) in table {
            assert_eq!(duration(Duration::from_millis(millis)), text, "{millis} ms");
        }
    }

    #[test]
    fn shares_and_rates() {
        for ((part, whole), text) in [
            ((0, 0), "-"),
            ((0, 9), "0%"),
            ((1, 100_000), "0.1%"),
            ((1, 8), "12.5%"),
            ((99_999, 100_000), "99.9%"),
            ((8, 8), "100%"),
        ] {
            assert_eq!(percent(part, whole), text);
        }
        for (rate, text) in
            [(0.0, "0.0/s"), (0.44, "0.4/s"), (9.94, "9.9/s"), (12.3, "12/s"), (1_234.0, "1.2k/s")]
        {
            assert_eq!(per_second(rate), text);
        }
    }

    #[test]
    fn truncation_counts_columns() {
        let table = [
            ("short", 5, "short"),
            ("shorter", 5, "shor…"),
            ("two words", 5, "two…"),
            ("日本語のログ", 7, "日本語…"),
            ("日本語", 6, "日本語"),
            ("日本語", 2, "…"),
            ("naïve café", 6, "naïve…"),
            ("a\nb\tc", 9, "a b c"),
            ("\u{1b}[31mred", 9, "\u{fffd}[31mred"),
            ("\u{202e}gnp", 9, "\u{fffd}gnp"),
            ("any", 0, ""),
        ];
        for (text, columns, expected) in table {
            assert_eq!(truncate(text, columns), expected, "{text:?} in {columns}");
        }
    }

    #[test]
    fn truncation_at_the_start_keeps_the_end() {
        for (text, columns, expected) in [
            ("/Order/Item[3]", 14, "/Order/Item[3]"),
            ("/Order/Item[3]", 8, "…Item[3]"),
            ("two words", 7, "…words"),
            ("日本語のログ", 5, "…ログ"),
            ("any", 1, "…"),
            ("any", 0, ""),
        ] {
            assert_eq!(truncate_start(text, columns), expected, "{text:?} in {columns}");
        }
    }

    proptest! {
        #[test]
        fn never_wider_than_asked(text in "\\PC{0,40}", columns in 0_usize..50) {
            prop_assert!(truncate_start(&text, columns).width() <= columns);
            prop_assert!(truncate(&text, columns).width() <= columns);
        }
    }
}
