//! What is tried again and again: told when it begins to fail and when it goes well again, not each time.

use std::time::Duration;

use tokio::time::Instant;

/// Whether something fails.
#[derive(Debug, Default)]
pub struct Failing {
    /// It does, and is left alone until then.
    until: Option<Instant>,
}

impl Failing {
    /// It failed, and is to be left alone. `true`: it went well before.
    pub fn begin(&mut self, until: Instant) -> bool {
        self.until.replace(until).is_none()
    }

    /// It went well. `true`: it failed before.
    pub fn end(&mut self) -> bool {
        self.until.take().is_some()
    }

    /// How long it is to be left alone; `None`: it may be tried.
    pub fn rest(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news() {
        let (mut failing, now) = (Failing::default(), Instant::now());
        assert!(!failing.end(), "it never failed");
        assert!(failing.begin(now));
        assert!(!failing.begin(now), "it failed before");
        assert!(failing.end());
        assert!(!failing.end());
        assert!(failing.begin(now), "it went well in between");
    }

    #[test]
    fn it_is_left_alone_for_a_while_and_fails_until_it_goes_well() {
        let (mut failing, now, second) = (Failing::default(), Instant::now(), Duration::from_secs(1));
        assert_eq!(failing.rest(now), None);
        failing.begin(now + second);
        assert_eq!(failing.rest(now), Some(second));
        assert_eq!(failing.rest(now + second), None);
        assert!(failing.end(), "to be tried is not to go well");
    }
}
