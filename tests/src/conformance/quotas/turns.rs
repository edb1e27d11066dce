//! What holds between an admission and its slot.

use fleetline_shared::domain::Verdict;
use fleetline_shared::ports::{BreakerOptions, CallEnd, Lack, Limits, Quotas, Turn};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Admission, Arc, Bench, Duration, QuotasFixture, Reservation, WINDOW, requests, tokens};

/// A reservation whose slot is half a window away or more.
async fn far_ahead(bench: &Bench) -> (Duration, Reservation) {
    match bench.admit(1_000, 1_000).await {
        Admission::Go { after, reservation, .. } if after > bench.pace.unit * WINDOW / 2 => {
            (after, reservation)
        }
        other => panic!("nothing is known of the window before: {other:?}"),
    }
}

fn sleeper(bench: &Arc<Bench>, reservation: &Reservation, after: Duration) -> JoinHandle<Turn> {
    let (bench, reservation) = (Arc::clone(bench), reservation.clone());
    tokio::spawn(async move { bench.quotas.turn(&reservation, Instant::now() + after).await })
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
    let (after, reservation) = far_ahead(&bench).await;
    let sleeper = sleeper(&bench, &reservation, after);
    pause_until_heard(&bench, &*fixture.another(&bench.quotas), &sleeper, 100).await;
    let Turn::Closed { wait, lack: Lack::Pause, why } = sleeper.await.unwrap() else {
        panic!("it slept on");
    };
    assert!(wait > bench.pace.unit * 90, "{wait:?}");
    assert_eq!(why, "paused: maintenance");
    let late = bench.quotas.turn(&reservation, Instant::now() + after).await;
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
    let (after, reservation) = far_ahead(&bench).await;
    let listener = sleeper(&bench, &reservation, after);
    pause_until_heard(&bench, &*other, &listener, 1).await;
    let Turn::Closed { wait, .. } = listener.await.unwrap() else { panic!("it slept on") };
    tokio::time::sleep(wait).await;

    let sleeper = sleeper(&bench, &reservation, after);
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
    let Admission::Go { after, reservation, .. } = bench.admit(0, 900).await else { panic!("it can wait") };
    assert!(after > bench.pace.unit, "{after:?}");
    assert_eq!(bench.quotas.turn(&reservation, Instant::now() + after).await, Turn::Now);
}

/// All of it, the call itself included.
pub async fn what_is_given_back_is_free(fixture: &dyn QuotasFixture) {
    let limits = Limits { concurrency: Some(1), ..requests(fixture, 1) };
    let bench = Bench::new(fixture, limits).await;
    let Admission::Go { after, reservation, .. } = bench.admit(0, 1_000).await else { panic!("it can wait") };
    let taken = bench.report().await;
    assert_eq!((taken.used[0].used, taken.in_flight), (1, 1));
    bench.quotas.give_back(reservation.clone());
    let free = bench.report().await;
    assert_eq!((free.used[0].used, free.in_flight), (0, 0));
    bench.quotas.give_back(reservation);
    assert_eq!(bench.report().await.in_flight, 0);
    let Admission::Go { after: again, .. } = bench.admit(0, 1_000).await else { panic!("it can wait") };
    assert!(again <= after + fixture.jitter(), "{again:?}, {after:?}");
}
