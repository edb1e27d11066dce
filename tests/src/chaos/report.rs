//! What a scenario showed, for people.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

/// One scenario's outcome.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// How long it took.
    pub took: Duration,
    /// Jobs accepted.
    pub jobs: usize,
    /// Distinct keys.
    pub keys: usize,
    /// Calls that the provider got.
    pub calls: usize,
    /// Faults that may have cost calls.
    pub disturbances: usize,
    /// Times from a worker's kill to the next call of each key it had under way.
    pub worker_recovery: Vec<Duration>,
    /// Times from a server's answering again to the first job that finished.
    pub server_recovery: Vec<(String, Duration)>,
    /// What was not as promised.
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.violations.is_empty() { "ok" } else { "VIOLATED" };
        write!(
            f,
            "{:<28} {verdict:<8} {:>5.1} s  {:>5} jobs {:>5} keys {:>5} calls ({:+}), {} faults",
            self.scenario,
            self.took.as_secs_f64(),
            self.jobs,
            self.keys,
            self.calls,
            self.calls.cast_signed() - self.keys.cast_signed(),
            self.disturbances,
        )?;
        if let Some((p50, p99)) = percentiles(&self.worker_recovery) {
            write!(
                f,
                "\n    after a worker kill, next call of its keys: {}",
                shown(p50, p99, self.worker_recovery.len())
            )?;
        }
        for (server, took) in &self.server_recovery {
            write!(
                f,
                "\n    after {server} answered again, first finished job: {:.2} s",
                took.as_secs_f64()
            )?;
        }
        for violation in &self.violations {
            write!(f, "\n    {violation}")?;
        }
        Ok(())
    }
}

fn shown(p50: Duration, p99: Duration, count: usize) -> String {
    format!("p50 {:.2} s, p99 {:.2} s of {count}", p50.as_secs_f64(), p99.as_secs_f64())
}

/// Median and 99th percentile; `None` if there is nothing.
pub fn percentiles(times: &[Duration]) -> Option<(Duration, Duration)> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len().checked_sub(1)? * percent).div_ceil(100)).copied();
    at(50).zip(at(99))
}

/// All reports together: how often what came about, and the times over all.
pub fn summary(reports: &[Report]) -> String {
    let violated = reports.iter().filter(|report| !report.violations.is_empty()).count();
    let sum = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    let mut text = format!(
        "{} scenarios, {violated} violated; {} jobs, {} keys, {} calls, {} faults",
        reports.len(),
        sum(|report| report.jobs),
        sum(|report| report.keys),
        sum(|report| report.calls),
        sum(|report| report.disturbances),
    );
    let kills: Vec<_> = reports.iter().flat_map(|report| report.worker_recovery.clone()).collect();
    if let Some((p50, p99)) = percentiles(&kills) {
        let _ = write!(text, "\nnext call after a worker kill: {}", shown(p50, p99, kills.len()));
    }
    for server in ["Postgres", "Redis", "RabbitMq"] {
        let of_server = |(name, took): &(String, Duration)| (name == server).then_some(*took);
        let times: Vec<_> =
            reports.iter().flat_map(|report| report.server_recovery.iter().filter_map(of_server)).collect();
        if let Some((p50, p99)) = percentiles(&times) {
            let _ = write!(
                text,
                "\nfirst finished job after {server} answered again: {}",
                shown(p50, p99, times.len())
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<_> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(percentiles(&times), Some((Duration::from_secs(51), Duration::from_secs(100))));
        assert_eq!(percentiles(&times[..1]), Some((times[0], times[0])));
        assert_eq!(percentiles(&[]), None);
    }
}
