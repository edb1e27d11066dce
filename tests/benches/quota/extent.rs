//! How long and how large, from the environment.

use std::time::Duration;

/// How long and how large.
pub(crate) struct Extent {
    /// Length of the quotas' windows; limits shrink with it.
    pub(crate) window: Duration,
    /// Over how many windows is measured.
    pub(crate) windows: u32,
    /// Numbers of worker processes.
    pub(crate) workers: Vec<usize>,
    /// Jobs that are due at once.
    pub(crate) jobs: usize,
    /// Length of the soak.
    pub(crate) soak: Duration,
    /// What is random in the soak comes from this.
    pub(crate) seed: u64,
}

impl Extent {
    pub(crate) fn of_environment() -> Self {
        let workers = text("WORKERS").unwrap_or_else(|| "1,4,16".to_owned());
        Self {
            window: Duration::from_secs(number("WINDOW").unwrap_or(60)),
            windows: u32::try_from(number("WINDOWS").unwrap_or(2)).expect("WINDOWS is small"),
            workers: workers.split(',').map(|n| n.parse().expect("WORKERS=1,4,16")).collect(),
            soak: Duration::from_secs(60 * number("MINUTES").unwrap_or(10)),
            seed: number("SEED").unwrap_or_else(|| fastrand::u64(..1 << 32)),
            jobs: usize::try_from(number("JOBS").unwrap_or(10_000)).expect("JOBS is small"),
        }
    }

    /// What a limit per minute is in a window.
    pub(crate) fn amount(&self, per_minute: u64) -> u64 {
        per_minute * self.window.as_secs() / 60
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Seconds may be written with their unit.
fn number(name: &str) -> Option<u64> {
    let text = text(name)?;
    let number = text.trim_end_matches('s').parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a whole number, not {text}")))
}
