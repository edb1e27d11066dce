//! `60s..120s outage 503 p=0.5`

use std::str::FromStr;
use std::time::Duration;

use super::{Fault, FaultKind, Outage};
use crate::Unreadable;

const HELP: &str = "write `FROM..UNTIL KIND`, such as `60s..120s outage`, `0s.. error 500 p=0.1`, \
    `5s..6s storm retry-after=5s`, `1m.. slow pause=50ms`; the kinds are outage [reset|refuse|STATUS], storm, \
    error [STATUS], hang, reset, slow, malformed, truncated";

/// Reads faults, one a line. Empty lines and what follows a `#` count for nothing.
pub fn parse_script(script: &str) -> Result<Vec<Fault>, Unreadable> {
    let mut faults = Vec::new();
    for (number, line) in script.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let fault: Fault =
                line.parse().map_err(|error| Unreadable(format!("line {}: {error}", number + 1)))?;
            faults.push(fault);
        }
    }
    Ok(faults)
}

impl FromStr for Fault {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = |why: &str| Unreadable(format!("fault `{text}`: {why}; {HELP}"));
        read(text).map_err(|why| wrong(&why))
    }
}

fn read(text: &str) -> Result<Fault, String> {
    let mut words = text.split_whitespace();
    let (from, until) = span(words.next().unwrap_or_default())?;
    let kind = words.next().ok_or("it has no kind")?;
    let mut arguments = Arguments::read(words)?;
    let kind = arguments.kind(kind)?;
    let probability = arguments.probability(&kind)?;
    match arguments.word.map(ToOwned::to_owned).or(arguments.named.pop().map(|(name, _)| name.to_owned())) {
        Some(rest) => Err(format!("`{rest}` does not belong there")),
        None => Ok(Fault { from, until, kind, probability }),
    }
}

fn span(text: &str) -> Result<(Duration, Option<Duration>), String> {
    let (from, until) = text.split_once("..").ok_or("it begins with no FROM..UNTIL")?;
    let from = if from.is_empty() { Duration::ZERO } else { time(from)? };
    let until = if until.is_empty() { None } else { Some(time(until)?) };
    if until.is_some_and(|until| until <= from) {
        return Err("it ends before it begins".to_owned());
    }
    Ok((from, until))
}

fn time(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        _ => humantime::parse_duration(text).map_err(|_| format!("`{text}` is no duration such as 90s")),
    }
}

/// As [`span`] and the arguments read it.
pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// What stands behind the kind.
struct Arguments<'a> {
    word: Option<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Arguments<'a> {
    fn read(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut arguments = Self { word: None, named: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some(named) => arguments.named.push(named),
                None if arguments.word.is_some() => return Err(format!("`{word}` does not belong there")),
                None => arguments.word = Some(word),
            }
        }
        Ok(arguments)
    }

    fn named(&mut self, name: &str) -> Option<&'a str> {
        let place = self.named.iter().position(|(known, _)| *known == name)?;
        Some(self.named.swap_remove(place).1)
    }

    fn kind(&mut self, kind: &str) -> Result<FaultKind, String> {
        Ok(match kind {
            "outage" => FaultKind::Outage(match self.word.take() {
                None | Some("reset") => Outage::Reset,
                Some("refuse") => Outage::Refuse,
                Some(text) => Outage::Status(status(text)?),
            }),
            "storm" => FaultKind::Storm { retry_after: self.named("retry-after").map(time).transpose()? },
            "error" => FaultKind::Error(self.word.take().map_or(Ok(500), status)?),
            "hang" => FaultKind::Hang,
            "reset" => FaultKind::Reset,
            "slow" => {
                FaultKind::Slow { pause: self.named("pause").map_or(Ok(Duration::from_millis(20)), time)? }
            }
            "malformed" => FaultKind::Malformed,
            "truncated" => FaultKind::Truncated,
            _ => return Err(format!("there is no kind `{kind}`")),
        })
    }

    fn probability(&mut self, kind: &FaultKind) -> Result<f64, String> {
        let Some(text) = self.named("p") else { return Ok(1.0) };
        if *kind == FaultKind::Outage(Outage::Refuse) {
            return Err("nobody listens, or somebody does: `outage refuse` takes no p".to_owned());
        }
        let probability = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
        probability.ok_or_else(|| format!("p is from 0 to 1, not `{text}`"))
    }
}

fn status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| (400..=599).contains(status));
    status.ok_or_else(|| format!("`{text}` is no status from 400 to 599"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_written() {
        for text in [
            "1m..2m outage reset",
            "1m..2m outage refuse",
            "0s..1s outage 503",
            "5s..6s storm retry-after=5s",
            "5s..6s storm",
            "0s.. error 500 p=0.1",
            "0s.. hang",
            "1s500ms.. reset",
            "0s.. slow pause=50ms",
            "0s.. malformed",
            "0s.. truncated p=0.5",
        ] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(
            "..9s  outage".parse::<Fault>().map(|fault| fault.to_string()),
            Ok("0s..9s outage reset".into())
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("", "no FROM..UNTIL"),
            ("outage", "no FROM..UNTIL"),
            ("0s..", "no kind"),
            ("9s..1s hang", "ends before it begins"),
            ("0s..1x hang", "`1x` is no duration"),
            ("0s.. earthquake", "no kind `earthquake`"),
            ("0s.. hang 5", "`5` does not belong"),
            ("0s.. hang pause=5s", "`pause` does not belong"),
            ("0s.. error 200", "no status from 400"),
            ("0s.. error p=2", "p is from 0 to 1"),
            ("0s.. outage refuse p=0.5", "takes no p"),
        ] {
            let error = text.parse::<Fault>().expect_err(text).to_string();
            assert!(error.contains(part) && error.contains("60s..120s outage"), "{text}: {error}");
        }
    }

    #[test]
    fn scripts_have_lines_and_comments() {
        let script = "# a bad minute\n\n1s..2s hang # nothing\n 2s..3s reset\n";
        let kinds: Vec<_> =
            parse_script(script).expect("readable").into_iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, [FaultKind::Hang, FaultKind::Reset]);
        assert!(parse_script("0s.. hang\n0s.. what").expect_err("wrong").to_string().contains("line 2"));
    }
}
