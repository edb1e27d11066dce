//! Which words are names of loggers.

/// Whether the text can be a logger's name: starts with a letter, no spaces, no odd marks.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.len() <= 200
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'$' | b':' | b'/')
        })
        && !text.ends_with(['.', ':', '-', '/'])
}

/// Whether the name is more than a word that a sentence could start with: it has a dot, a `$`, a
/// `::` or an inner capital.
pub(super) fn is_qualified(text: &str) -> bool {
    if !is_name(text) || super::super::trace::is_exception_name(text) {
        return false;
    }
    let inner_capital = || {
        text.bytes()
            .zip(text.bytes().skip(1))
            .any(|(one, next)| one.is_ascii_lowercase() && next.is_ascii_uppercase())
    };
    text.contains(['.', '$', '_', '/']) || text.contains("::") || inner_capital()
}

/// The name without line number, function or object: `Pool` of `Pool@774`, `file.go` of
/// `file.go:12`, `app.db` of `app.db:load:12`.
pub(super) fn without_place(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let single = |at: usize| {
        name.as_bytes().get(at + 1) != Some(&b':') && (at == 0 || name.as_bytes()[at - 1] != b':')
    };
    let has_line =
        name.rsplit_once(':').is_some_and(|(_, line)| line.bytes().all(|byte| byte.is_ascii_digit()));
    let colon = name.bytes().enumerate().find(|(at, byte)| *byte == b':' && single(*at));
    match colon {
        Some((colon, _)) if has_line => &name[..colon],
        _ => name,
    }
}

/// The class in `thread:Class@line`, as some patterns write it in brackets.
pub(super) fn in_bracket(inner: &str) -> Option<&str> {
    let (front, line) = inner.rsplit_once('@')?;
    let class = front.rsplit(':').next()?;
    let is_line = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
    (is_line && is_name(class)).then_some(class)
}
