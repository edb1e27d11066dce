//! One suite of checks for each port. Every adapter of the port passes the same one.
//!
//! A check is a function over a fixture, which gives it a fresh adapter. A port's macro
//! (`broker_conformance!` and so on) makes a test of each check:
//!
//! ```ignore
//! mod memory_broker {
//!     fleetline_tests::broker_conformance!(#[tokio::test(start_paused = true)] Memory::new());
//! }
//! ```
//!
//! Checks let time pass with tokio's clock, so they run in virtual time where the adapter does,
//! and in real time against a server. [`Pace`] says how long a unit of time is.

pub mod broker;
pub mod leases;
pub mod ledger;
pub mod quotas;

use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How time goes by for an adapter.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The smallest time that matters to a check. Far above the adapter's answer time.
    pub unit: Duration,
    /// How many random histories a check lives through, at most some twenty units each.
    pub histories: u32,
}

impl Pace {
    /// For adapters on tokio's paused clock.
    pub const VIRTUAL: Self = Self { unit: Duration::from_secs(1), histories: 300 };

    /// For adapters in real time on a busy machine.
    pub const REAL: Self = Self { unit: Duration::from_millis(250), histories: 2 };

    /// Lets so many units pass.
    pub async fn pass(self, units: u32) {
        sleep(self.unit * units).await;
    }

    /// What the future gives, which must come.
    pub async fn soon<T>(self, future: impl Future<Output = T>) -> T {
        timeout(self.unit * 100, future).await.expect("it comes within a hundred units of time")
    }

    /// Panics if the future gives something within a unit of time.
    pub async fn nothing<T>(self, future: impl Future<Output = T>, what: &str) {
        assert!(timeout(self.unit, future).await.is_err(), "{what}");
    }

    /// Asks until the answer is the expected one: servers count with a delay.
    pub async fn becomes<T, F>(self, expected: T, ask: impl Fn() -> F)
    where
        T: PartialEq + std::fmt::Debug,
        F: Future<Output = T>,
    {
        for _ in 0..100 {
            if ask().await == expected {
                return;
            }
            self.pass(1).await;
        }
        assert_eq!(ask().await, expected);
    }
}

/// Makes a test of each check. Used by the ports' own macros.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($port:ident, #[$test:meta] $fixture:expr, [$($check:ident),* $(,)?]) => {
        $(
            #[$test]
            async fn $check() {
                $crate::conformance::$port::$check(&$fixture).await;
            }
        )*
    };
}
