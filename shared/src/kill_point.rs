//! Named points of a job's way at which a crash test ends the process with SIGKILL.
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
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // SIGKILL is delivered before the call returns to user code; this is for the type checker.
        std::process::abort();
    }
}

/// Does nothing: this build has no kill points.
#[cfg(not(feature = "kill-points"))]
#[inline(always)]
pub fn reach(_name: &str) {}
