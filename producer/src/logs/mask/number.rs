//! Shapes of numbers and addresses.

/// Units that may follow a number directly (`10ms`, `1h2m3s`, `64MiB`).
const SUFFIXES: [&str; 33] = [
    "ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h", "d", "w", "y", "b", "B", "k", "K", "M", "G", "T",
    "kB", "KB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB", "Ki", "Mi", "Gi", "Ti", "sec",
];

/// Units that stand as a word after a number; in any case, with or without plural.
const LONG_UNITS: [&str; 13] = [
    "byte",
    "second",
    "sec",
    "minute",
    "min",
    "hour",
    "day",
    "week",
    "millisecond",
    "millis",
    "microsecond",
    "nanosecond",
    "msec",
];

/// Whether the word only says what the number before it counts.
pub(super) fn is_unit(word: &str) -> bool {
    let singular = word.strip_suffix(['s', 'S']).unwrap_or(word);
    let long = |word: &str| LONG_UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(word));
    (word.len() > 1 && SUFFIXES.contains(&word)) || word == "B" || long(singular) || long(word)
}

/// `12`, `-17`, `0.27`, `3.4.5`, `10ms`, `1h2m3s`, `1.5e-3`: with or without sign and unit.
pub(super) fn is_number(word: &str) -> bool {
    let mut rest = word.trim_start_matches(['-', '+']);
    if word.len() - rest.len() > 1 || !rest.starts_with(|first: char| first.is_ascii_digit()) {
        return false;
    }
    while !rest.is_empty() {
        let figure = rest.trim_start_matches(|part: char| part.is_ascii_digit() || part == '.');
        if figure.len() == rest.len() {
            return false;
        }
        let unit = figure.split(|part: char| part.is_ascii_digit()).next().unwrap_or(figure);
        let exponent = matches!(unit, "e" | "E" | "e-" | "E-" | "e+" | "E+");
        if !(unit.is_empty() || SUFFIXES.contains(&unit) || (exponent && figure.len() > unit.len())) {
            return false;
        }
        rest = &figure[unit.len()..];
    }
    true
}

/// `0x` and hex digits, with a sign perhaps.
pub(super) fn is_hex_literal(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let hex = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    hex.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// An IPv4 address.
pub(super) fn is_ipv4(word: &str) -> bool {
    let mut parts = 0;
    word.split('.').all(|part| {
        parts += 1;
        (1..=3).contains(&part.len()) && part.parse::<u8>().is_ok()
    }) && parts == 4
}

/// An IPv6 or MAC address, a port behind it perhaps: hex groups between colons.
pub(super) fn is_colon_address(word: &str) -> bool {
    let colons = word.bytes().filter(|byte| *byte == b':').count();
    let groups = || word.split(':');
    let hex = |group: &str| group.len() <= 5 && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mapped = |group: &str| hex(group) || is_ipv4(group);
    colons >= 2
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && (word.contains("::") || colons >= 4)
        && groups().all(mapped)
}

/// Port numbers and line numbers: one to five digits.
pub(super) fn is_port(word: &str) -> bool {
    (1..=5).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_what_only_looks_like_one() {
        for word in ["0", "-17", "+5", "0.27", "3.4.5", "10ms", "1h2m3s", "1m0.5s", "64MiB", "1.5e-3", "2e9"]
        {
            assert!(is_number(word), "{word}");
        }
        for word in ["", "-", "x1", "04DN8IQ", "7d9f8b6c5", "1-2", "--3", "5x", "e5", "2e"] {
            assert!(!is_number(word), "{word}");
        }
    }

    #[test]
    fn addresses() {
        assert!(is_ipv4("10.251.73.220") && !is_ipv4("10.251.73") && !is_ipv4("1.2.3.400"));
        for word in ["0:0:0:0:0:0:0:0:2181", "fe80::1", "::1", "aa:bb:cc:dd:ee:0f", "::ffff:10.0.0.1"] {
            assert!(is_colon_address(word), "{word}");
        }
        for word in ["std::ffi", "10:20", "a:b:c", "key:1", "abc::fed"] {
            assert!(!is_colon_address(word), "{word}");
        }
    }

    #[test]
    fn units_stand_behind_numbers() {
        for word in ["ms", "KB", "seconds", "MILLISECONDS", "second", "bytes", "B", "min"] {
            assert!(is_unit(word), "{word}");
        }
        for word in ["s3", "apples", "m", "time", ""] {
            assert!(!is_unit(word), "{word}");
        }
    }
}
