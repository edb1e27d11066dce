//! Quotas that all processes of a fleet share, and that may be out of reach.

use std::time::Duration;

use async_trait::async_trait;

use super::{Quotas, Reservation};
use crate::domain::{PortError, Spend};

/// Quotas of a fleet. Whoever used calls without them tells them before it uses them again.
#[async_trait]
pub trait FleetQuotas: Quotas {
    /// Whether they answer, and could give something out.
    async fn reach(&self) -> Result<(), PortError>;

    /// Why there is no connection, if that is known: what to say where no answer comes in time.
    fn trouble(&self) -> Option<PortError> {
        None
    }

    /// Hears of an upstream's calls that were made while the quotas were out of reach. Nobody starts
    /// within [`Absence::ahead`], and then at the pace that keeps to the limits whatever those calls
    /// used. Returns reservations for the calls under way, in their order: `None` for one that
    /// could never have been admitted here.
    async fn resume(&self, upstream: &str, absence: Absence) -> Result<Vec<Option<Reservation>>, PortError>;
}

/// What a process did with an upstream while the fleet's quotas were out of its reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absence {
    /// For so long others may still do the same, and what was used in a burst is not made up for.
    pub ahead: Duration,
    /// What calls spent that have ended, in millionths of the currency.
    pub money: u64,
    /// The same as `ahead`, of tenants and models with limits of which more was used.
    pub parts: Vec<(PartName, Duration)>,
    /// Calls that have not ended.
    pub calls: Vec<UnderWay>,
}

/// Whose limit it is, of those within an upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartName {
    /// This tenant's.
    Tenant(String),
    /// This model's.
    Model(String),
}

/// A call that was admitted elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// For whom.
    pub tenant: String,
    /// With which of the upstream's models.
    pub model: Option<String>,
    /// What was set aside for it.
    pub spend: Spend,
    /// When its place is free at the latest.
    pub ends_in: Duration,
}
