//! interim
use crate::domain::PortError;
use crate::ports::{Admission, Ask, Limits, Quotas, Reservation, UpstreamReport};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;
/// interim
pub struct MemoryQuotas;
impl MemoryQuotas {
    /// interim
    pub fn new(_limits: BTreeMap<String, Limits>) -> Self {
        Self
    }
}
#[async_trait]
impl Quotas for MemoryQuotas {
    async fn admit(&self, ask: Ask) -> Result<Admission, PortError> {
        Ok(Admission::Go {
            after: Duration::ZERO,
            reservation: Reservation { id: 0, upstream: ask.upstream, tokens: ask.tokens },
        })
    }
    async fn settle(&self, _: Reservation, _: Option<u64>) -> Result<(), PortError> {
        Ok(())
    }
    async fn pause(&self, _: &str, _: Duration, _: &str) -> Result<(), PortError> {
        Ok(())
    }
    async fn report(&self) -> Result<Vec<UpstreamReport>, PortError> {
        Ok(Vec::new())
    }
}
