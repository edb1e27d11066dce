//! Names with digits in them: which part is a name, and which an id.

use super::number::is_ipv4;
use super::out::{Out, mark};

/// Last labels of host names, beside two-letter country codes.
const HOST_ENDS: [&str; 12] =
    ["com", "net", "org", "edu", "gov", "mil", "int", "local", "internal", "lan", "home", "io"];
/// Two-letter endings that mean a file, not a country.
const FILE_ENDS: [&str; 18] = [
    "js", "py", "rb", "go", "rs", "cc", "hh", "ts", "so", "md", "sh", "pl", "cs", "vb", "db", "kt", "gz",
    "mo",
];

/// Whether a name without digits is a host's: `web.example.com`, `ns.univie.ac.at`.
pub(super) fn is_host(word: &str) -> bool {
    let Some((front, last)) = word.rsplit_once('.') else { return false };
    let labels = front.split('.').count() + 1;
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !word.split('.').all(label) {
        return false;
    }
    let country =
        last.len() == 2 && last.bytes().all(|b| b.is_ascii_lowercase()) && !FILE_ENDS.contains(&last);
    match labels {
        // `java.net` and `socket.io` are no hosts; `google.com` is.
        2 => matches!(last, "com" | "org" | "edu" | "gov" | "local"),
        _ => HOST_ENDS.contains(&last) || country,
    }
}

/// Whether a name is a class's: `org.apache.v2.Foo$Bar`. Its digits say which, so they stay.
fn is_class(word: &str) -> bool {
    let Some((front, last)) = word.rsplit_once('.') else { return false };
    let simple = last.split('$').next().unwrap_or(last);
    let camel = simple.starts_with(|c: char| c.is_ascii_uppercase())
        && simple.bytes().any(|b| b.is_ascii_lowercase());
    let package = |label: &str| {
        label.starts_with(|c: char| c.is_ascii_lowercase())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let rest = last.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'));
    camel && rest && front.split('.').all(package)
}

/// Whether digits stand before the last dotted label, and that label has none: `node-12.corp`,
/// `snapshot3.bin`. Hosts and files look alike here, and both vary.
fn is_dotted_id(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(front, last)| {
        last.len() >= 2
            && last.bytes().all(|b| b.is_ascii_alphabetic())
            && front.bytes().any(|b| b.is_ascii_digit())
    })
}

/// What a part between separators is made of.
enum Segment {
    Letters,
    /// Letters with an index at the end (`eth0`): this many are letters.
    Indexed(usize),
    /// Letters around one or two digits (`log4j`, `i18n`): a name.
    Inner,
    /// Anything else with digits.
    Id,
}

fn segment(part: &str) -> Segment {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return Segment::Letters;
    }
    let letters = part.bytes().take_while(|byte| !byte.is_ascii_digit()).count();
    let run = part.bytes().skip(letters).take_while(u8::is_ascii_digit).count();
    let hex = part.len() >= 6 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if letters == 0 || run != digits || hex {
        Segment::Id
    } else if letters + run == part.len() {
        Segment::Indexed(letters)
    } else if run <= 2 {
        Segment::Inner
    } else {
        Segment::Id
    }
}

/// Writes a name that has digits: keeps the words it starts with, masks from the first id on.
pub(super) fn write(word: &str, out: &mut Out) {
    if is_class(word) {
        return out.literal(word);
    }
    if is_ipv4(word) || is_host(word) {
        out.literal(mark::ADDRESS);
    } else if is_dotted_id(word) {
        out.literal(mark::NAME);
    } else {
        write_segments(word, out);
    }
}

fn write_segments(word: &str, out: &mut Out) {
    let is_separator = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
    let mut rest = word;
    let mut before = None;
    loop {
        let end = rest.find(is_separator).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        match segment(part) {
            Segment::Letters | Segment::Inner => out.literal(part),
            // `jk2_init` is a name with an index, `pod-xkz92` ends in a random part.
            Segment::Indexed(letters) if before != Some('-') => {
                out.literal(&part[..letters]);
                out.literal(mark::NUMBER);
            }
            Segment::Indexed(_) | Segment::Id => return out.literal(mark::ID),
        }
        let Some(separator) = behind.chars().next() else { return };
        rest = &behind[separator.len_utf8()..];
        // `blk_-12` is `blk_12` with a sign.
        let sign = separator == '-' && part.is_empty() && before.is_some();
        if !sign {
            out.literal(&behind[..separator.len_utf8()]);
        }
        before = Some(separator);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(word: &str) -> String {
        let mut out = Out::default();
        write(word, &mut out);
        out.into_text()
    }

    #[test]
    fn the_words_a_name_starts_with_stay() {
        for (word, expected) in [
            ("blk_38865049064139660", "blk_<id>"),
            ("blk_-6952295868487656571", "blk_<id>"),
            ("attempt_1445144423722_0020_m_000000_0", "attempt_<id>"),
            ("job_1445144423722_0020Job", "job_<id>"),
            ("part-00590", "part-<id>"),
            ("api-7d9f8b6c5-abcde", "api-<id>"),
            ("coredns-xkz92", "coredns-<id>"),
            ("550e8400-e29b-41d4-a716-446655440000", "<id>"),
            ("04DN8IQ.fareast.example", "<name>"),
            ("node-12.cluster.local", "<addr>"),
            ("snapshot3.bin", "<name>"),
            ("jk2_init", "jk<num>_init"),
            ("eth0", "eth<num>"),
            ("log4j", "log4j"),
            ("a3f9c2", "<id>"),
            ("org.acme.v2.app.Main$Job", "org.acme.v2.app.Main$Job"),
            ("10.0.0.7", "<addr>"),
        ] {
            assert_eq!(written(word), expected, "{word}");
        }
    }

    #[test]
    fn hosts_without_digits() {
        for word in ["web.example.com", "google.com", "ns.univie.ac.at", "MSRA.corp.local"] {
            assert!(is_host(word), "{word}");
        }
        for word in ["java.net", "socket.io", "java.lang.String", "app.main.py", "a..com", "com", "x_y.z.com"]
        {
            assert!(!is_host(word), "{word}");
        }
    }
}
