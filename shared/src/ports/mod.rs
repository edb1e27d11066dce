//! What the engine needs from the world, as four small traits. Every adapter of a port passes the
//! same conformance suite (crate `fleetline-tests`, folder `conformance`).

mod broker;
mod leases;
mod ledger;
mod quotas;

pub use broker::{Broker, Deliveries, Delivery, Depth, Message, Settle, Settlement};
pub use leases::{Acquired, Holder, Leases};
pub use ledger::{
    Added, DeadJobs, DispatchAsk, DispatchLedger, FailedAttempt, Finish, FinishLedger, Finished, JobDetail,
    JobFilter, JobRow, Ledger, OpenedRun, Page, QueryLedger, RedriveLedger, RunRow, Scope, Seal,
    SubmitLedger, Swept,
};
pub use quotas::{Admission, Ask, Limits, Quotas, Rate, Reservation, UpstreamReport};
