//! What holds between an admission and its slot.

use fleetline_shared::domain::Verdict;
use fleetline_shared::ports::{BreakerOptions, CallEnd, Lack, Limits, Quotas, SlotTime, Turn};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Admission, Arc, Ask, Bench, QuotasFixture, Reservation, WINDOW, requests, tokens};

/// A reservation whose slot is half a window away or more.
async fn far_ahead(bench: &Bench) -> (SlotTime, Reservation) {
    match bench.admit(1_000, 1_000).await {
        Admission::Go { slot, reservation, .. } if slot.wait() > bench.pace.unit * WINDOW / 2 => {
            (slot, reservation)
        }
        other => panic!("nothing is known of the window before: {other:?}"),
    }
}

fn sleeper(bench: &Arc<Bench>, reservation: &Reservation, slot: SlotTime) -> JoinHandle<Turn> {
    let (bench, reservation) = (Arc::clone(bench), reservation.clone());
    tokio::spawn(async move { bench.quotas.turn(&reservation, slot).await })
}

/// Pauses that get longer, until one was heard of: who begins to listen a moment after the first hears
/// of the next.
async fn pause_until_heard(bench: &Bench, other: &dyn Quotas, sleeper: &JoinHandle<Turn>, shortest: u32) {
    for units in shortest.. {
        other.pause("api", bench.pace.unit * units, "maintenance").await.unwrap();
        bench.pace.pass(1).await;
        if sleeper.is_finished() {
            return;
        }
    }
}

/// Though another process called the pause.
pub async fn who_sleeps_hears_of_a_pause(fixture: &dyn QuotasFixture) {
    let bench = Arc::new(Bench::new(fixture, tokens(fixture, 1_000)).await);
    let (slot, reservation) = far_ahead(&bench).await;
    let sleeper = sleeper(&bench, &reservation, slot);
    pause_until_heard(&bench, &*fixture.another(&bench.quotas), &sleeper, 100).await;
    let Turn::Closed { wait, lack: Lack::Pause, why } = sleeper.await.unwrap() else {
        panic!("it slept on");
    };
    assert!(wait > bench.pace.unit * 90, "{wait:?}");
    assert_eq!(why, "paused: maintenance");
    let late = bench.quotas.turn(&reservation, slot).await;
    assert!(matches!(late, Turn::Closed { .. }), "whoever begins to sleep now hears of it, too: {late:?}");
}

/// Though calls of another process opened it.
pub async fn who_sleeps_hears_of_an_open_breaker(fixture: &dyn QuotasFixture) {
    let open_for = fixture.pace().unit * 1_000;
    let breaker =
        BreakerOptions { failures: 3, open_for, open_at_most: open_for, ..BreakerOptions::default() };
    let limits = Limits { breaker: Some(breaker), ..tokens(fixture, 1_000) };
    let bench = Arc::new(Bench::new(fixture, limits).await);
    let other = fixture.another(&bench.quotas);
    let calls = [bench.go(0, 900).await, bench.go(0, 900).await, bench.go(0, 900).await];
    let (slot, reservation) = far_ahead(&bench).await;
    let listener = sleeper(&bench, &reservation, slot);
    pause_until_heard(&bench, &*other, &listener, 1).await;
    let Turn::Closed { wait, .. } = listener.await.unwrap() else { panic!("it slept on") };
    tokio::time::sleep(wait).await;

    let sleeper = sleeper(&bench, &reservation, slot);
    for call in calls {
        other.settle(call, CallEnd { verdict: Verdict::Failing, ..CallEnd::unknown(None) }).await.unwrap();
    }
    let Turn::Closed { wait, lack: Lack::Breaker, why } = sleeper.await.unwrap() else {
        panic!("it slept on");
    };
    assert!(wait > open_for / 2, "{wait:?}");
    assert_eq!(why, "breaker: open");
}

/// Its slot is behind the pause.
pub async fn who_was_let_in_during_a_pause_sleeps_on(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, requests(fixture, 1_000)).await;
    bench.go(0, 900).await;
    bench.quotas.pause("api", bench.pace.unit * 2, "maintenance").await.unwrap();
    let Admission::Go { slot, reservation, .. } = bench.admit(0, 900).await else { panic!("it can wait") };
    assert!(slot.wait() > bench.pace.unit, "{slot:?}");
    assert_eq!(bench.quotas.turn(&reservation, slot).await, Turn::Now);
}

/// All of it, the call itself included.
pub async fn what_is_given_back_is_free(fixture: &dyn QuotasFixture) {
    let limits = Limits { concurrency: Some(1), ..requests(fixture, 1) };
    let bench = Bench::new(fixture, limits).await;
    let Admission::Go { slot, reservation, .. } = bench.admit(0, 1_000).await else { panic!("it can wait") };
    let taken = bench.report().await;
    assert_eq!((taken.used[0].used, taken.in_flight), (1, 1));
    bench.quotas.give_back(reservation.clone());
    let free = bench.report().await;
    assert_eq!((free.used[0].used, free.in_flight), (0, 0));
    bench.quotas.give_back(reservation);
    assert_eq!(bench.report().await.in_flight, 0);
    let Admission::Go { slot: again, .. } = bench.admit(0, 1_000).await else { panic!("it can wait") };
    // That of a start, or now.
    let latest = slot.begins.max(Instant::now());
    assert!(again.begins <= latest + fixture.jitter(), "{again:?}, {slot:?}");
}

/// Though one that is nearer is free; and the next one comes after it.
pub async fn a_slot_is_so_far_ahead_as_it_is_asked_for(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, requests(fixture, 1_000)).await;
    bench.go(0, 900).await;
    let lead = bench.pace.unit * 20;
    let ahead = bench.quotas.admit(Ask { lead, ..bench.ask(0, 900) }).await.unwrap();
    let Admission::Go { slot: ahead, .. } = ahead else { panic!("it can wait: {ahead:?}") };
    assert!(ahead.wait() + fixture.jitter() > lead * 9 / 10, "{ahead:?}");
    let Admission::Go { slot: next, .. } = bench.admit(0, 900).await else { panic!("it can wait") };
    assert!(next.begins + fixture.jitter() >= ahead.begins, "{next:?} is before {ahead:?}");
}
