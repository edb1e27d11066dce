//! Exchanges, queues and policies.
//!
//! Queues are declared with `x-queue-type` alone: arguments can never be changed afterwards. Limits
//! and dead-lettering come from policies, which can.

mod apply;
mod check;
mod declare;
mod definitions;
mod management;
mod policies;
mod rights;

pub use apply::apply;
pub use check::{APPLY, check};
pub use definitions::definitions;
pub use management::Management;
pub use policies::{Limits, Policy};
pub use rights::rights;

pub(super) use declare::{declare, declare_common};

/// Jobs; direct, the routing key is the kind.
pub const JOBS_EXCHANGE: &str = "fleetline.jobs";
/// Dead letters; direct, the routing key is [`CRASHED_KEY`] or [`REJECTED_KEY`].
pub const DEAD_EXCHANGE: &str = "fleetline.dead";
/// What happens to runs and jobs; topic.
pub const EVENTS_EXCHANGE: &str = "fleetline.events";

/// Where other services submit jobs.
pub const SUBMIT_QUEUE: &str = "fleetline.submit";
/// Jobs that came back too often. Fleetline consumes it and counts a failed attempt for each.
pub const CRASHED_QUEUE: &str = "fleetline.dead.crashed";
/// Messages that nobody can work with, for people. Each has its reason in [`REASON_HEADER`].
pub const REJECTED_QUEUE: &str = "fleetline.dead";

/// Routes to [`CRASHED_QUEUE`].
pub const CRASHED_KEY: &str = "crashed";
/// Routes to [`REJECTED_QUEUE`].
pub const REJECTED_KEY: &str = "rejected";

/// Header of a rejected message: why.
pub const REASON_HEADER: &str = "x-fleetline-reason";
/// Header of a rejected message: the queue it was on.
pub const QUEUE_HEADER: &str = "x-fleetline-queue";

/// The exchanges with their types.
const EXCHANGES: [(&str, &str); 3] =
    [(JOBS_EXCHANGE, "direct"), (DEAD_EXCHANGE, "direct"), (EVENTS_EXCHANGE, "topic")];

/// What Fleetline needs of a broker.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// The kinds that have a line.
    pub kinds: Vec<String>,
    /// What the policies say.
    pub limits: Limits,
}

impl Topology {
    fn queues(&self) -> impl Iterator<Item = Queue> + '_ {
        COMMON_QUEUES
            .iter()
            .map(|name| Queue::named(name))
            .chain(self.kinds.iter().map(|kind| Queue::of_line(kind)))
    }
}

/// The queues that are there whatever the kinds.
const COMMON_QUEUES: [&str; 3] = [REJECTED_QUEUE, CRASHED_QUEUE, SUBMIT_QUEUE];

/// A quorum queue and its binding. What is sent to the intake goes through the default exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) name: String,
    binding: Option<(&'static str, String)>,
}

impl Queue {
    /// The queue of a kind's line.
    pub(super) fn of_line(kind: &str) -> Self {
        Self { name: format!("{JOBS_EXCHANGE}.{kind}"), binding: Some((JOBS_EXCHANGE, kind.to_owned())) }
    }

    /// A queue that is no line.
    pub(super) fn named(name: &str) -> Self {
        let key = match name {
            CRASHED_QUEUE => Some(CRASHED_KEY),
            REJECTED_QUEUE => Some(REJECTED_KEY),
            _ => None,
        };
        Self { name: name.to_owned(), binding: key.map(|key| (DEAD_EXCHANGE, key.to_owned())) }
    }
}
