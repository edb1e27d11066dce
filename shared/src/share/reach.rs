//! Whether the fleet's quota can be reached, and what that means for calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// The longest that one look takes. A quota that answers later is out of reach.
pub const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Out of reach for so long at every look, a process goes on with its share: longer than another
/// needs to notice, and than the two seconds by which a slot may be given ahead.
pub const OUT_AFTER: Duration = Duration::from_millis(2_250);
/// So long after the first process is back the last one is, and the slots of its share have passed: a
/// look that began before may still fail, then comes one more, and a slot is at most two seconds ahead.
pub const SETTLING: Duration = Duration::from_millis(3_500);

/// What admits calls now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody: the process has just begun, or was out of reach for a moment, and others may still use their
    /// shares.
    Starting,
    /// The fleet's quota.
    Fleet,
    /// Nobody: the fleet's quota does not answer, and others may still use it; or it answers again, and
    /// has not been told what was used.
    Doubt,
    /// This process's share, where an upstream has one; for the others nobody.
    Share,
}

/// What admits calls in this process, as its parts see it. Clones share it.
#[derive(Clone, Debug)]
pub struct Reach(Arc<watch::Sender<Standing>>);

impl Reach {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Standing::Starting)))
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        *self.0.borrow()
    }

    /// Whether the fleet's servers answered lately.
    pub fn is_there(&self) -> bool {
        matches!(self.standing(), Standing::Starting | Standing::Fleet)
    }

    /// Hears of changes.
    pub fn changes(&self) -> watch::Receiver<Standing> {
        self.0.subscribe()
    }

    pub(super) fn set(&self, standing: Standing) {
        self.0.send_replace(standing);
    }
}
