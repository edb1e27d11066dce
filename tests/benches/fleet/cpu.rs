//! CPU time by program: this process and the servers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

/// Clock ticks in a second on every Linux that Rust knows.
const TICKS: f64 = 100.0;
/// Programs that take part: names as the kernel shows them.
const PROGRAMS: [(&str, &str); 4] =
    [("fleet", "client"), ("beam.smp", "broker"), ("postgres", "Postgres"), ("redis-server", "Redis")];

/// CPU seconds that each program's processes have used so far. Processes that end in between are
/// lost from it; the servers' backends live as long as the measurement.
pub(crate) struct Cpu(BTreeMap<&'static str, f64>);

impl Cpu {
    pub(crate) fn now() -> Self {
        let mut used = BTreeMap::new();
        for entry in fs::read_dir("/proc").expect("a Linux system").flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some((name, fields)) = parse(&stat) else { continue };
            let program = PROGRAMS.iter().find(|(prefix, _)| name.starts_with(prefix));
            if let Some((_, label)) = program {
                *used.entry(*label).or_default() += fields;
            }
        }
        Self(used)
    }

    /// What each used since, per job.
    pub(crate) fn since(&self, jobs: u64) -> String {
        let mut text = String::from("CPU per job:");
        let mut total = 0.0;
        for (label, used) in &Self::now().0 {
            let spent = (used - self.0.get(label).unwrap_or(&0.0)).max(0.0) / jobs as f64 * 1e6;
            total += spent;
            let _ = write!(text, " {label} {spent:.0} us,");
        }
        let _ = write!(text, " all {total:.0} us");
        text
    }
}

/// Name and CPU seconds, of user and system together.
fn parse(stat: &str) -> Option<(&str, f64)> {
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((name, ticks / TICKS))
}
