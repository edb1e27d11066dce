//! What the engine needs from the world, as small traits. Every adapter of a port passes the
//! same conformance suite (crate `fleetline-tests`, folder `conformance`).

mod adaptive;
mod backlog;
mod breaker;
mod broker;
mod fleet_quotas;
mod keys;
mod leases;
mod ledger;
mod offer;
mod outbox;
mod quotas;

pub use adaptive::AdaptiveOptions;
pub use backlog::{Backlog, BacklogLedger, JobStanding};
pub use breaker::{BreakerOptions, BreakerReport, FailureRate};
pub use broker::{Broker, Deliveries, Delivery, Depth, Message, Settle, Settlement, Taker, Unpublished};
pub use fleet_quotas::{Absence, FleetQuotas, PartName, UnderWay};
pub use keys::{ApiKey, KeyLedger, NewApiKey, Role};
pub use leases::{Acquired, Held, Hold, Holder, Leases, lease_key};
pub use ledger::{
    Added, CancelJobs, CancelLedger, Cancelled, DeadJobs, DispatchAsk, DispatchLedger, FailedAttempt, Finish,
    FinishLedger, Finished, JobDetail, JobFilter, JobRow, Ledger, New, News, OpenedRun, Page, QueryLedger,
    RedriveLedger, RunRow, Scope, Seal, SubmitLedger, Swept, Validity,
};
pub use offer::{Offer, OfferLedger};
pub use outbox::{Event, OutboxLedger};
pub use quotas::{
    Admission, Ask, CallEnd, DimensionUse, LONGEST_HOLD, Lack, Limits, Quotas, Rate, Rates, Reservation,
    SlotTime, Turn, UpstreamReport,
};
