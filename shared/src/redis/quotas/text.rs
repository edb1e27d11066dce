//! What the quota script takes as text, and gives back so; its own head says how.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use super::call::{MOST, MOST_UNITS};
use crate::domain::{Dimension, DimensionStanding, Spend, Verdict};
use crate::ports::{AdaptiveOptions, CallEnd, Limits, Rate, Rates};
use crate::rules::{
    BreakerTerms, FoundTerms, METERED, Pacing, SlotAsk, adaptive_bounds, micros, pause_after,
};

/// The script's word for what is metered.
fn word(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Requests => "requests",
        Dimension::InputTokens => "input",
        Dimension::OutputTokens => "output",
        Dimension::Tokens => "tokens",
        Dimension::Money => "money",
        Dimension::Concurrency => "places",
    }
}

/// A tenant's or a model's name: never two lines.
pub(super) fn name_text(name: &str) -> Cow<'_, str> {
    if name.contains(['%', '\n']) {
        name.replace('%', "%25").replace('\n', "%0A").into()
    } else {
        name.into()
    }
}

/// The limits, a line each.
pub(super) fn limits_text(limits: &Limits, pacing: Pacing) -> String {
    let mut lines = options_text(limits, pacing) + &rates_text("u", &limits.rates(), pacing, "");
    if let Some(places) = limits.concurrency {
        lines.extend(["u places ", &places.to_string(), " 0 0 0 \n"]);
    }
    if let Some(rates) = &limits.per_tenant {
        lines += &rates_text("t", rates, pacing, "");
    }
    for (model, rates) in &limits.per_model {
        lines += &rates_text("m", rates, pacing, &name_text(model));
    }
    lines
}

fn options_text(limits: &Limits, pacing: Pacing) -> String {
    let breaker =
        limits.breaker.map(|options| format!("breaker {}\n", BreakerTerms::from(options).to_text()));
    let discover = limits.discover.then(|| format!("discover {}\n", FoundTerms::from(pacing).to_text()));
    let adaptive = adaptive_bounds(limits).map(|(min, max)| format!("adaptive {min} {max}\n"));
    [breaker, discover, adaptive].into_iter().flatten().collect()
}

/// Reads a line of [`options_text`]; whether it is one.
fn read_option(line: &str, limits: &mut Limits) -> Option<bool> {
    let (name, value) = line.split_once(' ')?;
    match name {
        "breaker" => limits.breaker = Some(BreakerTerms::from_text(value)?.options()),
        "discover" => limits.discover = true,
        "adaptive" => {
            let (min, max) = value.split_once(' ')?;
            limits.adaptive = Some(AdaptiveOptions { min: min.parse().ok()?, max: max.parse().ok()? });
        }
        _ => return Some(false),
    }
    Some(true)
}

fn rates_text(scope: &str, rates: &Rates, pacing: Pacing, name: &str) -> String {
    let line = |dimension| {
        let rate = rates.get(dimension)?;
        let amount = rate.amount.min(MOST_UNITS);
        let metered = pacing.window(rate).min(MOST);
        let bucket = pacing.bucket(dimension, rate).min(MOST_UNITS);
        let configured = micros(rate.window).min(MOST);
        Some(format!("{scope} {} {amount} {metered} {bucket} {configured} {name}\n", word(dimension)))
    };
    METERED.into_iter().filter_map(line).collect()
}

/// The limits of which [`limits_text`] made the lines.
pub(super) fn read_limits(lines: &str) -> Option<Limits> {
    let mut limits = Limits::default();
    let mut whole = Rates::default();
    for line in lines.lines() {
        if read_option(line, &mut limits)? {
            continue;
        }
        let mut fields = line.splitn(7, ' ');
        let (scope, word) = (fields.next()?, fields.next()?);
        let numbers: Vec<u64> = fields.by_ref().take(4).map_while(|field| field.parse().ok()).collect();
        let [amount, _, _, window] = numbers[..] else { return None };
        let rate = Rate { amount, window: Duration::from_micros(window) };
        let rates = match scope {
            "u" => &mut whole,
            "t" => limits.per_tenant.get_or_insert_default(),
            _ => {
                let name = fields.next()?.replace("%0A", "\n").replace("%25", "%");
                limits.per_model.entry(name).or_default()
            }
        };
        match word {
            "requests" => rates.requests = Some(rate),
            "input" => rates.input_tokens = Some(rate),
            "output" => rates.output_tokens = Some(rate),
            "tokens" => rates.tokens = Some(rate),
            "money" => rates.budget = Some(rate),
            _ => limits.concurrency = u32::try_from(amount).ok(),
        }
    }
    let Rates { requests, input_tokens, output_tokens, tokens, budget } = whole;
    Some(Limits { requests, input_tokens, output_tokens, tokens, budget, ..limits })
}

/// The limits that the script says were found.
pub(super) fn read_found(text: &str) -> Option<Vec<(Dimension, Rate)>> {
    let read = |found: &str| {
        let mut fields = found.split(' ');
        let name = fields.next()?;
        let dimension = METERED.into_iter().find(|dimension| word(*dimension) == name)?;
        let (amount, window) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((dimension, Rate { amount, window: Duration::from_micros(window) }))
    };
    text.split_terminator(';').map(read).collect()
}

/// What is asked for: units, and times.
pub(super) fn ask_text(ask: &SlotAsk) -> String {
    let [hold, lead, ttl] = [ask.hold, ask.lead, ask.ttl].map(|time| time.min(MOST));
    format!("{} {hold} {lead} {ttl}", spend_text(ask.spend))
}

fn spend_text(Spend { input_tokens, output_tokens, money }: Spend) -> String {
    let [input, output, money] = [input_tokens, output_tokens, money].map(|units| units.min(MOST_UNITS));
    format!("{input} {output} {money}")
}

/// How a call ended: the verdict, a 429's pause, and what it used; and what was said of the quota.
pub(super) fn end_args(end: &CallEnd) -> [String; 2] {
    let verdict = match end.verdict {
        Verdict::Healthy => "h",
        Verdict::Failing => "f",
        Verdict::RateLimited => "r",
        Verdict::Unknown => "u",
    };
    let pause = micros(pause_after(end.feedback.retry_after));
    let how = match end.used {
        Some(used) => format!("{verdict} {pause} {}", spend_text(used)),
        None => format!("{verdict} {pause}"),
    };
    [how, end.feedback.standings.iter().map(standing_text).collect()]
}

/// Calls that ended, by their numbers, and how long each took. One text: each argument of a script is read twice, by
/// Redis and by Lua.
pub(super) fn ends_text<'e>(ends: impl Iterator<Item = (u64, &'e CallEnd)>) -> String {
    let mut text = String::new();
    for (id, end) in ends {
        let _ = match end.took.map(micros) {
            None => write!(text, "{id} -1;"),
            Some(took) => write!(text, "{id} {};", took.min(MOST)),
        };
    }
    text
}

/// Calls by their numbers.
pub(super) fn ids_text(ids: &[u64]) -> String {
    let mut text = String::new();
    for id in ids {
        let _ = write!(text, "{id};");
    }
    text
}

fn standing_text(standing: &DimensionStanding) -> String {
    let units = |units| or_unknown(units, MOST_UNITS);
    let time = |time: Option<Duration>| or_unknown(time.map(micros), MOST);
    let DimensionStanding { dimension, limit, remaining, reset, window } = *standing;
    let (limit, remaining, reset, window) = (units(limit), units(remaining), time(reset), time(window));
    format!("{} {limit} {remaining} {reset} {window};", word(dimension))
}

fn or_unknown(number: Option<u64>, most: u64) -> String {
    number.map_or("-1".into(), |number| number.min(most).to_string())
}
