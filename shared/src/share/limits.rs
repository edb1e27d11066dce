//! A process's share of an upstream's limits.

use thiserror::Error;

use crate::domain::Dimension;
use crate::ports::{AdaptiveOptions, Limits, Rate, Rates};

/// Why limits cannot be divided.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Indivisible {
    /// A share of nothing: all shares of one together would be more than the limit.
    #[error("{of}, {limit}, cannot be divided among {replicas} processes")]
    TooSmall {
        /// Which limit.
        of: String,
        /// How much it is.
        limit: u64,
        /// Among how many.
        replicas: u32,
    },
    /// Limits that are found are known to the fleet's quota alone.
    #[error("limits that are found cannot be divided: nobody knows them while Redis is out of reach")]
    Found,
}

/// Every limit divided by the number of processes, rounded down.
pub fn share_of(limits: &Limits, replicas: u32) -> Result<Limits, Indivisible> {
    if limits.discover {
        return Err(Indivisible::Found);
    }
    let whole = share_of_rates(limits.rates(), "", replicas)?;
    let per_tenant = limits.per_tenant.map(|rates| share_of_rates(rates, " of a tenant", replicas));
    let per_model = limits.per_model.iter().map(|(model, rates)| {
        Ok((model.clone(), share_of_rates(*rates, &format!(" of model {model}"), replicas)?))
    });
    let places = |limit: u32| divided(limit.into(), "concurrency".to_owned(), replicas);
    let places = limits.concurrency.map(places).transpose()?;
    Ok(Limits {
        requests: whole.requests,
        input_tokens: whole.input_tokens,
        output_tokens: whole.output_tokens,
        tokens: whole.tokens,
        budget: whole.budget,
        concurrency: places.map(|places| u32::try_from(places).unwrap_or(u32::MAX)),
        per_tenant: per_tenant.transpose()?,
        per_model: per_model.collect::<Result<_, _>>()?,
        breaker: limits.breaker,
        discover: false,
        adaptive: limits.adaptive.map(|AdaptiveOptions { min, max }| {
            let of = |places: u32| (places / replicas).max(1);
            AdaptiveOptions { min: of(min), max: of(max) }
        }),
        lifted: limits.lifted,
    })
}

fn share_of_rates(rates: Rates, of: &str, replicas: u32) -> Result<Rates, Indivisible> {
    let share = |dimension: Dimension, rate: Option<Rate>| {
        rate.map(|Rate { amount, window }| {
            let amount = divided(amount, format!("{}{of}", dimension.as_str()), replicas)?;
            Ok(Rate { amount, window })
        })
        .transpose()
    };
    Ok(Rates {
        requests: share(Dimension::Requests, rates.requests)?,
        input_tokens: share(Dimension::InputTokens, rates.input_tokens)?,
        output_tokens: share(Dimension::OutputTokens, rates.output_tokens)?,
        tokens: share(Dimension::Tokens, rates.tokens)?,
        budget: share(Dimension::Money, rates.budget)?,
    })
}

fn divided(limit: u64, of: String, replicas: u32) -> Result<u64, Indivisible> {
    let share = limit / u64::from(replicas.max(1));
    if share == 0 { Err(Indivisible::TooSmall { of, limit, replicas }) } else { Ok(share) }
}
