//! Which faults are in force.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::{Fault, FaultKind, Outage};
use crate::clock::Clock;

/// The faults, their times counted from the simulator's start.
pub(crate) struct Timeline {
    clock: Clock,
    faults: watch::Sender<Vec<Fault>>,
}

impl Timeline {
    pub(crate) fn new(clock: Clock, faults: Vec<Fault>) -> Self {
        Self { clock, faults: watch::Sender::new(faults) }
    }

    /// Adds faults whose times count from now. Of several that are in force, the first that hits counts.
    pub(crate) fn add(&self, faults: Vec<Fault>) {
        // Whole milliseconds, for those who list them.
        let now = Duration::from_millis(u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX));
        let shifted = faults.into_iter().map(|fault| Fault {
            from: now + fault.from,
            until: fault.until.map(|until| now + until),
            ..fault
        });
        self.faults.send_modify(|all| all.extend(shifted));
    }

    /// Ends all faults.
    pub(crate) fn clear(&self) {
        self.faults.send_replace(Vec::new());
    }

    /// Those that are in force or will be.
    pub(crate) fn pending(&self) -> Vec<Fault> {
        let now = self.clock.now();
        let faults = self.faults.borrow();
        faults.iter().filter(|fault| fault.until.is_none_or(|until| until > now)).cloned().collect()
    }

    /// What hits a call at this time.
    pub(crate) fn hit(&self, at: Duration, rng: &mut Rng) -> Option<FaultKind> {
        let faults = self.faults.borrow();
        let hit = faults.iter().find(|fault| {
            fault.from <= at
                && fault.until.is_none_or(|until| at < until)
                && (fault.probability >= 1.0 || rng.f64() < fault.probability)
        });
        hit.map(|fault| fault.kind.clone())
    }

    /// Resolves when connections are refused, or are no more.
    pub(crate) async fn refuses(&self, refuses: bool) {
        let mut changes = self.faults.subscribe();
        loop {
            changes.mark_unchanged();
            let now = self.clock.now();
            if self.is_refusing(now) == refuses {
                return;
            }
            match self.next_turn(now) {
                None => {
                    let _ = changes.changed().await;
                }
                Some(turn) => tokio::select! {
                    () = sleep_until(self.clock.instant(turn)) => {}
                    _ = changes.changed() => {}
                },
            }
        }
    }

    /// Whether connections are refused now.
    pub(crate) fn is_refusing(&self, now: Duration) -> bool {
        let faults = self.faults.borrow();
        faults
            .iter()
            .filter(|fault| fault.kind == FaultKind::Outage(Outage::Refuse))
            .any(|fault| fault.from <= now && fault.until.is_none_or(|until| now < until))
    }

    /// The next time at which any fault begins or ends.
    fn next_turn(&self, now: Duration) -> Option<Duration> {
        let faults = self.faults.borrow();
        let turns = faults.iter().flat_map(|fault| [Some(fault.from), fault.until]).flatten();
        turns.filter(|turn| *turn > now).min()
    }
}
