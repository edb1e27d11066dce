//! What is not as it should be with a server, and what to do.

use std::fmt;

use serde::Serialize;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: a queue, a setting, a clock.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// A finding.
    pub fn new(subject: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject: subject.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// Clocks that differ by more than a second make times in logs and tables hard to compare, and
    /// leases shorter or longer than they say.
    pub fn of_clocks(server: &str, their_ms: i64, our_ms: i64) -> Option<Self> {
        let seconds = (their_ms - our_ms) as f64 / 1000.0;
        (seconds.abs() > 1.0).then(|| {
            Self::new(
                "clock",
                format!("{server}'s clock is {seconds:+.1} s off this machine's"),
                "let NTP set both",
            )
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.subject, self.problem, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_a_second() {
        assert_eq!(Finding::of_clocks("Redis", 10_000, 10_900), None);
        let finding = Finding::of_clocks("Redis", 10_000, 12_500).unwrap();
        assert!(finding.to_string().contains("-2.5 s"), "{finding}");
    }
}
