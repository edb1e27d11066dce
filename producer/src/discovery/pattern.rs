//! Path patterns: `/Order/**/OrderItem`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A pattern over element paths. Segments are local names, `*` (one element of any name) or `**`
/// (any number of elements, none included).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Name(String),
    One,
    Any,
}

impl PathPattern {
    /// Whether the pattern covers the path, given as local names from the root.
    pub fn matches(&self, path: &[&str]) -> bool {
        matches(&self.segments, path)
    }
}

fn matches(segments: &[Segment], path: &[&str]) -> bool {
    // `after[i]`: whether the segments handled so far (from the last one) cover `path[i..]`.
    let mut after: Vec<bool> = (0..=path.len()).map(|at| at == path.len()).collect();
    for segment in segments.iter().rev() {
        for at in 0..=path.len() {
            let one_more = || at < path.len() && after[at + 1];
            after[at] = match segment {
                Segment::Name(name) => one_more() && path[at] == name,
                Segment::One => one_more(),
                Segment::Any => after[at..].contains(&true),
            };
        }
    }
    after[0]
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inner = text
            .strip_prefix('/')
            .ok_or_else(|| format!("path pattern `{text}` must start with `/`; try `/**/{text}`"))?;
        let segments: Vec<_> = inner
            .split('/')
            .map(|segment| match segment {
                "**" => Ok(Segment::Any),
                "*" => Ok(Segment::One),
                name if super::checks::is_nc_name(name) => Ok(Segment::Name(name.to_owned())),
                "" => Err(format!("path pattern `{text}` has an empty segment; for any depth write `**`")),
                other => Err(format!(
                    "path pattern `{text}`: `{other}` is no local name, `*` or `**` (prefixes are left out)"
                )),
            })
            .collect::<Result<_, _>>()?;
        if segments.last() == Some(&Segment::Any) {
            return Err(format!(
                "path pattern `{text}` must end in a name or `*`: which elements are the nodes?"
            ));
        }
        Ok(Self { segments })
    }
}

impl TryFrom<String> for PathPattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Name(name) => write!(f, "/{name}"),
            Segment::One => f.write_str("/*"),
            Segment::Any => f.write_str("/**"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_what_it_says() {
        let cases = [
            ("/a", "a", true),
            ("/a", "a/b", false),
            ("/a/b", "a/b", true),
            ("/*/b", "a/b", true),
            ("/*/b", "b", false),
            ("/**/b", "b", true),
            ("/**/b", "a/x/b", true),
            ("/**/b", "a/b/x", false),
            ("/a/**/b", "a/b", true),
            ("/a/**/b/*", "a/x/y/b/z", true),
            ("/a/**/b/*", "a/x/y/b", false),
            ("/**/a/**/b", "x/a/a/y/b", true),
        ];
        for (pattern, path, expected) in cases {
            let parsed: PathPattern = pattern.parse().unwrap();
            let path: Vec<&str> = path.split('/').collect();
            assert_eq!(parsed.matches(&path), expected, "{pattern} on {path:?}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (pattern, part) in [
            ("Item", "try `/**/Item`"),
            ("/a//b", "empty segment"),
            ("/n:a", "prefixes are left out"),
            ("/a/**", "must end in a name"),
            ("/", "empty segment"),
        ] {
            let error = pattern.parse::<PathPattern>().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
