//! What crash tests switch on by environment variables: named points of a job's way at which the
//! process ends with SIGKILL, and defects that the tests' checker must see.
//!
//! Compiled to nothing without the feature `kill-points`, which only the test crate turns on.

/// Ends the process with SIGKILL if `FLEETLINE_KILL_AT` names this point.
///
/// `FLEETLINE_KILL_AT=name` kills at the first passing, `name:3` at the third.
#[cfg(feature = "kill-points")]
pub fn reach(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static TARGET: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let target = TARGET.get_or_init(|| {
        let value = std::env::var("FLEETLINE_KILL_AT").ok()?;
        Some(match value.split_once(':') {
            Some((name, nth)) => (name.to_owned(), nth.parse().ok()?),
            None => (value, 1),
        })
    });
    let Some((wanted, nth)) = target else { return };
    if wanted == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
        die();
    }
}

/// Ends the process with SIGKILL if the args hold what `FLEETLINE_POISON` says: a job that takes its
/// worker down.
#[cfg(feature = "kill-points")]
pub fn swallow(args: &str) {
    static POISON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let poison = POISON.get_or_init(|| std::env::var("FLEETLINE_POISON").ok());
    if poison.as_deref().is_some_and(|poison| args.contains(poison)) {
        die();
    }
}

#[cfg(feature = "kill-points")]
fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // SIGKILL is delivered before the call returns to user code; this is for the type checker.
    std::process::abort();
}

/// Whether the defect of this name is wanted (`FLEETLINE_MUTANT`).
#[cfg(feature = "kill-points")]
pub fn is_mutant(name: &str) -> bool {
    static WANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    WANTED.get_or_init(|| std::env::var("FLEETLINE_MUTANT").ok()).as_deref() == Some(name)
}

/// Does nothing: this build has no kill points.
#[cfg(not(feature = "kill-points"))]
#[inline]
pub fn reach(_name: &str) {}

/// Does nothing: this build knows no poison.
#[cfg(not(feature = "kill-points"))]
#[inline]
pub fn swallow(_args: &str) {}

/// No: this build has no defects on purpose.
#[cfg(not(feature = "kill-points"))]
#[inline]
pub const fn is_mutant(_name: &str) -> bool {
    false
}
