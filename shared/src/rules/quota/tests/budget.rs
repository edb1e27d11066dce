//! Budgets: a cap, unless it is unknown what was spent.

use super::*;
use crate::domain::Dimension;
use crate::ports::Rates;

const DAY: u64 = 24 * 60 * MINUTE;
const PRICE: u64 = 1_000;

fn budget() -> Rates {
    Rates { budget: Some(rate(1_000_000, DAY)), ..Rates::default() }
}

fn ask() -> SlotAsk {
    let spend = Spend { money: PRICE, ..Spend::default() };
    SlotAsk { spend, hold: 0, ttl: MINUTE, ..SlotAsk::default() }
}

/// Calls that go now.
fn calls(state: &mut QuotaState, now: u64) -> u64 {
    let is_let_go = |state: &mut QuotaState| matches!(state.admit(&ask(), now), Slot::At { .. });
    (0..2_000).filter(|_| is_let_go(state)).count() as u64
}

#[test]
fn a_state_without_a_past_may_spend_all_at_once() {
    let whole = Limits { budget: budget().budget, ..Limits::default() };
    let tenants = Limits { per_tenant: Some(budget()), ..Limits::default() };
    for limits in [whole, tenants] {
        let mut state = QuotaState::new(&limits, Pacing::default(), 0).unspent();
        assert_eq!(calls(&mut state, 0), 1_000, "{limits:?}");
        assert_eq!(calls(&mut state, DAY / 2), 0, "{limits:?}");
        assert_eq!(calls(&mut state, 2 * DAY), 1_000, "{limits:?}");
    }
}

#[test]
fn a_state_that_knows_no_past_spends_evenly_and_says_so() {
    let limits = Limits { budget: budget().budget, ..Limits::default() };
    let mut lost = QuotaState::new(&limits, Pacing::default(), 0).unspent();
    lost.resume(0, None, 0);
    for mut state in [QuotaState::new(&limits, Pacing::default(), 0), lost] {
        assert_eq!(calls(&mut state, 0), 0);
        let standing = state.standing(DAY / 4);
        let money = standing.used.iter().find(|used| used.dimension == Dimension::Money).unwrap();
        assert!((740_000..760_000).contains(&money.others), "{money:?}");
        assert_eq!((money.used, standing.next_spend.money), (0, PRICE));
        let quarter = calls(&mut state, DAY / 4);
        assert!((245..=251).contains(&quarter), "{quarter}");
        assert!(state.standing(DAY / 4).next_start > DAY / 4 + SECOND);
    }
}

/// What is known stays known, and what is not fills evenly.
#[test]
fn what_a_tenant_spent_counts_after_calls_made_elsewhere() {
    let limits = Limits { per_tenant: Some(budget()), ..Limits::default() };
    for (before, half_a_day_later) in [(1_000, 0..=0), (700, 299..=300), (300, 495..=505)] {
        let mut state = QuotaState::new(&limits, Pacing::default(), 0);
        let spent = (0..before).filter(|_| matches!(state.admit(&ask(), 2 * DAY), Slot::At { .. })).count();
        assert_eq!(spent, before);
        for _ in 0..2 {
            state.resume(SECOND, Some(0), 2 * DAY + MINUTE);
        }
        let later = calls(&mut state, 2 * DAY + DAY / 2 + MINUTE);
        assert!(half_a_day_later.contains(&later), "{later} after {before}");
        assert_eq!(calls(&mut state, 5 * DAY), 1_000);
    }
}

/// A wrong number, or a wrong price.
#[test]
fn no_more_than_one_window_is_owed() {
    let limits = Limits { budget: budget().budget, ..Limits::default() };
    let mut state = QuotaState::new(&limits, Pacing { margin: 0.0, ..Pacing::default() }, 0);
    let Slot::At { id, .. } = state.admit(&ask(), 2 * DAY) else { panic!("all is there") };
    let used = Spend { money: u64::MAX, ..Spend::default() };
    assert!(state.settle(id, &CallEnd::unknown(Some(used)), 2 * DAY));
    assert_eq!(calls(&mut state, 3 * DAY), 0);
    let quarter = calls(&mut state, 3 * DAY + DAY / 4);
    assert!((249..=250).contains(&quarter), "{quarter}");
}
