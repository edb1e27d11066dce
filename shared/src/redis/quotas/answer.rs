//! What the quota script returns; its own head says how.

use redis::Value;

use super::call::PORT;
use super::text::{read_found, read_limits};
use crate::domain::{Dimension, PortError, Spend};
use crate::ports::{DimensionUse, Lack, Limits};
use crate::redis::script::unexpected;
use crate::rules::{BreakerStanding, Part, QuotaStanding, Slot};

/// Answer to an [`Op`](super::call::Op).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a wish. The text says why, if a pause or the breaker is what lacks.
    Slot(Slot, String),
    /// To a settlement, what is given back, or a pause: whether it changed anything.
    Changed(bool),
    /// To a report, with the limits in force. Times are those of the server's clock.
    Report(QuotaStanding, Box<Limits>),
}

/// Answers to all ops of a call.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The server's time, in microseconds.
    pub now: u64,
    /// What the script did; `None` if it came too late to do anything.
    pub done: Option<Done>,
}

/// What a script call did.
#[derive(Clone, Debug)]
pub struct Done {
    /// Nothing was known of this upstream.
    pub was_empty: bool,
    /// Answers in the order of the ops.
    pub answers: Vec<Answer>,
}

/// Reads what the script returned.
pub(super) fn read(value: &Value) -> Result<Answers, PortError> {
    read_answers(value).ok_or_else(|| unexpected(PORT, value))
}

fn read_answers(value: &Value) -> Option<Answers> {
    let [now, rest @ ..] = items(value)? else { return None };
    let done = match rest {
        [] => None,
        [was_empty, Value::BulkString(texts), tables @ ..] => {
            let answers = read_each(str::from_utf8(texts).ok()?, tables)?;
            Some(Done { was_empty: number(was_empty)? == 1, answers })
        }
        _ => return None,
    };
    Some(Answers { now: number(now)?, done })
}

fn read_each(texts: &str, tables: &[Value]) -> Option<Vec<Answer>> {
    if texts.is_empty() && tables.is_empty() {
        return Some(Vec::new());
    }
    let mut tables = tables.iter();
    let mut answers = Vec::new();
    for text in texts.split(';') {
        if text.is_empty() {
            answers.push(read_table(tables.next()?)?);
        } else {
            read_text(text, &mut answers)?;
        }
    }
    Some(answers)
}

/// One that goes, and so many more at the same time; or whether something changed.
fn read_text(text: &str, answers: &mut Vec<Answer>) -> Option<()> {
    let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
    let first = numbers.next()??;
    let Some(id) = numbers.next() else {
        answers.push(Answer::Changed(first == 1));
        return Some(());
    };
    let (id, probe, more) = (id?, numbers.next()?? == 1, numbers.next().unwrap_or(Some(0))?);
    let slot = |id| Answer::Slot(Slot::At { at: first, id, probe }, String::new());
    answers.extend((id..=id.checked_add(more)?).map(slot));
    Some(())
}

fn read_table(value: &Value) -> Option<Answer> {
    let slot = |slot| Some(Answer::Slot(slot, String::new()));
    match items(value)? {
        [Value::Int(2), at, what, why, part] => {
            let part = match number(part)? {
                0 => None,
                1 => Some(Part::Tenant),
                2 => Some(Part::Model),
                _ => return None,
            };
            let refused = Slot::TooFar { at: number(at)?, lack: lack_of(what)?, part };
            Some(Answer::Slot(refused, text(why)?))
        }
        [Value::Int(3), until] => slot(Slot::Full { until: number(until)? }),
        [Value::Int(4), what, limit] => slot(Slot::Never { lack: lack_of(what)?, limit: number(limit)? }),
        [
            in_flight,
            paused_until,
            why,
            next_start,
            next_spend,
            effective,
            used,
            breaker,
            found,
            places,
            limits,
        ] => {
            let standing = QuotaStanding {
                in_flight: u32::try_from(number(in_flight)?).ok()?,
                paused_until: number(paused_until)?,
                pause_why: text(why)?,
                next_start: number(next_start)?,
                next_spend: read_spend(items(next_spend)?)?,
                effective: u32::try_from(number(effective)?).ok()?,
                used: items(used)?.chunks(4).map(read_use).collect::<Option<_>>()?,
                breaker: match items(breaker)? {
                    [Value::Int(0)] => None,
                    standing => Some(read_breaker(standing)?),
                },
                found: read_found(&text(found)?)?,
                places: number(places).map(u32::try_from).transpose().ok()?,
            };
            Some(Answer::Report(standing, Box::new(read_limits(&text(limits)?)?)))
        }
        _ => None,
    }
}

fn read_spend(units: &[Value]) -> Option<Spend> {
    let [input, output, money] = units else { return None };
    let (input_tokens, output_tokens) = (number(input)?, number(output)?);
    Some(Spend { input_tokens, output_tokens, money: number(money)? })
}

fn read_use(numbers: &[Value]) -> Option<DimensionUse> {
    let [of, used, others, limit] = numbers else { return None };
    let dimension = match lack_of(of)? {
        Lack::Requests => Dimension::Requests,
        Lack::InputTokens => Dimension::InputTokens,
        Lack::OutputTokens => Dimension::OutputTokens,
        Lack::Tokens => Dimension::Tokens,
        Lack::Money => Dimension::Money,
        Lack::Concurrency | Lack::Pause | Lack::Breaker => return None,
    };
    Some(DimensionUse { dimension, used: number(used)?, others: number(others)?, limit: number(limit)? })
}

fn read_breaker(standing: &[Value]) -> Option<BreakerStanding> {
    Some(match standing {
        [Value::Int(1), failures] => BreakerStanding::Closed(number(failures)?),
        [Value::Int(2), until] => BreakerStanding::Open(number(until)?),
        [Value::Int(3), probing] => BreakerStanding::HalfOpen(number(probing)? == 1),
        _ => return None,
    })
}

fn items(value: &Value) -> Option<&[Value]> {
    if let Value::Array(items) = value { Some(items) } else { None }
}

fn number(value: &Value) -> Option<u64> {
    if let Value::Int(number) = value { u64::try_from(*number).ok() } else { None }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

fn lack_of(value: &Value) -> Option<Lack> {
    lack(number(value)?)
}

/// What the script's numbers mean.
pub(super) fn lack(number: u64) -> Option<Lack> {
    Some(match number {
        1 => Lack::Requests,
        2 => Lack::Tokens,
        3 => Lack::Concurrency,
        4 => Lack::Pause,
        5 => Lack::InputTokens,
        6 => Lack::OutputTokens,
        7 => Lack::Money,
        8 => Lack::Breaker,
        _ => return None,
    })
}
