//! GA4's `propertyQuota`, which stands in the body of a report.

use std::time::Duration;

use fleetline_shared::domain::{Dimension, DimensionStanding, Feedback};
use serde_json::Value;

use super::standings::add;

/// What a report asked for with `returnPropertyQuota: true` says. Its `consumed` is what this one
/// request took, so no limit can be told from it.
pub fn property_quota(body: &Value) -> Feedback {
    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);
    let mut feedback = Feedback::default();
    for (name, dimension, window) in [
        ("tokensPerDay", Dimension::Tokens, Some(DAY)),
        ("tokensPerHour", Dimension::Tokens, Some(HOUR)),
        ("tokensPerProjectPerHour", Dimension::Tokens, Some(HOUR)),
        ("concurrentRequests", Dimension::Concurrency, None),
    ] {
        if let Some(remaining) = body["propertyQuota"][name]["remaining"].as_u64() {
            let standing =
                DimensionStanding { dimension, limit: None, remaining: Some(remaining), reset: None, window };
            add(&mut feedback, standing);
        }
    }
    feedback
}

/// Tokens that this report took of the property's quota.
pub fn tokens_consumed(body: &Value) -> Option<u64> {
    body["propertyQuota"]["tokensPerDay"]["consumed"].as_u64()
}
