//! What an upstream's owner has settled about its calls.

use std::collections::BTreeMap;

/// An upstream's prices, and what to do while it is down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What becomes of its jobs while its breaker is open.
    pub on_open: OnOpen,
    /// What becomes of its calls while the fleet's quota and leases are out of reach.
    pub fail: Fail,
    /// What its calls cost, by model. A model without a price costs nothing.
    pub prices: BTreeMap<String, Price>,
}

/// What becomes of an upstream's jobs while its breaker is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOpen {
    /// They wait until it closes.
    #[default]
    Wait,
    /// Their kinds' lesser work stands in, which calls nobody; jobs without such work wait.
    Fallback,
    /// They get the last result of their key, however old; jobs without one wait.
    Cached,
}

/// What becomes of an upstream's calls while the fleet's quota and leases are out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fail {
    /// None is made.
    #[default]
    Closed,
    /// They go on, with a share of the quota.
    StaticShare,
}

/// What tokens cost: millionths of the currency for a million of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Of requests.
    pub input: u64,
    /// Of answers.
    pub output: u64,
}

impl Terms {
    /// What these tokens cost with the model, in millionths of the currency, rounded up.
    pub(crate) fn money(&self, model: Option<&str>, input_tokens: u64, output_tokens: u64) -> u64 {
        const MILLION: u128 = 1_000_000;
        let Some(price) = model.and_then(|model| self.prices.get(model)) else { return 0 };
        let cost = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let money = (cost(input_tokens, price.input) + cost(output_tokens, price.output)).div_ceil(MILLION);
        u64::try_from(money).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_counted_up_to_the_next_millionth() {
        let price = Price { input: 150_000, output: 600_000 };
        let terms = Terms { prices: BTreeMap::from([("m".to_owned(), price)]), ..Terms::default() };
        for (model, input, output, expected) in [
            (Some("m"), 1_000_000, 1_000_000, 750_000),
            (Some("m"), 1, 0, 1),
            (Some("m"), 0, 0, 0),
            (Some("m"), 1_000, 300, 330),
            (Some("other"), 1_000, 300, 0),
            (None, 1_000, 300, 0),
            (Some("m"), u64::MAX, u64::MAX, 13_835_058_055_282_163_712),
        ] {
            assert_eq!(terms.money(model, input, output), expected, "{model:?} {input} {output}");
        }
    }
}
