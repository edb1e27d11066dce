//! Wait between attempts: exponential, with full jitter.

use std::time::Duration;

/// `random(0, min(cap, base * 2^(attempt-1)))`.
///
/// "Full jitter" of Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: of
/// the variants compared there it needs the fewest calls for the same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the wait after the first failed attempt.
    pub base: Duration,
    /// Upper bound of any wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_mins(5) }
    }
}

impl Backoff {
    /// The longest wait after the given failed attempt (from 1).
    pub fn ceiling(&self, attempt: u16) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// The wait after the given failed attempt, with `random` from [0, 1).
    pub fn delay(&self, attempt: u16, random: f64) -> Duration {
        self.ceiling(attempt).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ceiling_doubles_up_to_the_cap() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(10) };
        let seconds: Vec<_> = (1..=6).map(|attempt| backoff.ceiling(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
    }

    proptest! {
        #[test]
        fn delay_is_within_the_ceiling(attempt: u16, random in 0.0..1.0f64, base in 0u64..100_000, cap in 0u64..10_000_000) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            prop_assert!(backoff.delay(attempt, random) <= backoff.cap);
            prop_assert!(backoff.delay(attempt, random) <= backoff.ceiling(attempt));
        }
    }
}
