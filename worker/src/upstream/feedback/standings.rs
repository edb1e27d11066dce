//! How dimensions stand, one entry each, of what is worth believing.

use fleetline_shared::domain::{Dimension, DimensionStanding, Feedback};

/// As it is written, before anything of it is believed.
#[derive(Clone, Copy, Default)]
pub(super) struct Written<'a> {
    pub(super) limit: Option<&'a str>,
    pub(super) remaining: Option<&'a str>,
    pub(super) reset: Option<std::time::Duration>,
    pub(super) window: Option<std::time::Duration>,
}

/// Adds what makes sense of it.
///
/// Azure has sent limits of 0 and -1 with remainders that mean as little: with such a limit nothing
/// of the dimension is believed. A remainder above the limit is not believed either, and a reset
/// alone says nothing.
pub(super) fn note(feedback: &mut Feedback, dimension: Dimension, written: Written) {
    let Written { limit, remaining, reset, window } = written;
    let said_limit = limit.map(count);
    if matches!(said_limit, Some(None | Some(0))) {
        return;
    }
    let limit = said_limit.flatten();
    let believable = |left: &u64| limit.is_none_or(|limit| *left <= limit);
    let remaining = remaining.and_then(count).filter(believable);
    if limit.is_none() && remaining.is_none() {
        return;
    }
    add(feedback, DimensionStanding { dimension, limit, remaining, reset, window });
}

/// Of two limits of one dimension the one counts that has less left: only one can be found. Where no limit is
/// stated nothing is found, and each window's may be the one that is metered.
pub(super) fn add(feedback: &mut Feedback, standing: DimensionStanding) {
    let left = |standing: &DimensionStanding| standing.remaining.or(standing.limit).unwrap_or(u64::MAX);
    let is_rival = |other: &&mut DimensionStanding| {
        let states_limit = other.limit.or(standing.limit).is_some();
        other.dimension == standing.dimension && (states_limit || other.window == standing.window)
    };
    match feedback.standings.iter_mut().find(is_rival) {
        Some(other) if left(&standing) < left(other) => *other = standing,
        Some(_) => {}
        None => feedback.standings.push(standing),
    }
}

/// The whole number that a value begins with; `100, 100;w=60` and `99.0` are written too.
fn count(text: &str) -> Option<u64> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}
