//! What holds between an admission and its slot.

use fleetline_shared::ports::{Lack, Limits, Turn};

use super::{Admission, Arc, Bench, Duration, QuotasFixture, Reservation, WINDOW, requests, tokens};

/// A reservation whose slot is half a window away or more.
async fn far_ahead(bench: &Bench) -> (Duration, Reservation) {
    match bench.admit(1_000, 1_000).await {
        Admission::Go { after, reservation } if after > bench.pace.unit * WINDOW / 2 => (after, reservation),
        other => panic!("nothing is known of the window before: {other:?}"),
    }
}

/// Though another process called the pause.
pub async fn who_sleeps_hears_of_a_pause(fixture: &dyn QuotasFixture) {
    let bench = Arc::new(Bench::new(fixture, tokens(fixture, 1_000)).await);
    let (after, reservation) = far_ahead(&bench).await;
    let sleeper = tokio::spawn({
        let (bench, reservation) = (Arc::clone(&bench), reservation.clone());
        async move { bench.quotas.turn(&reservation, after).await }
    });
    let other = fixture.another(&bench.quotas);
    // Who begins to listen a moment after the first pause hears of the next.
    for units in 100.. {
        other.pause("api", bench.pace.unit * units, "maintenance").await.unwrap();
        bench.pace.pass(1).await;
        if sleeper.is_finished() {
            break;
        }
    }
    let Turn::Closed { wait, lack: Lack::Pause, why } = sleeper.await.unwrap() else {
        panic!("it slept on");
    };
    assert!(wait > bench.pace.unit * 90, "{wait:?}");
    assert_eq!(why, "paused: maintenance");
    let late = bench.quotas.turn(&reservation, after).await;
    assert!(matches!(late, Turn::Closed { .. }), "whoever begins to sleep now hears of it, too: {late:?}");
}

/// Its slot is behind the pause.
pub async fn who_was_let_in_during_a_pause_sleeps_on(fixture: &dyn QuotasFixture) {
    let bench = Bench::new(fixture, requests(fixture, 1_000)).await;
    bench.go(0, 900).await;
    bench.quotas.pause("api", bench.pace.unit * 2, "maintenance").await.unwrap();
    let Admission::Go { after, reservation } = bench.admit(0, 900).await else { panic!("it can wait") };
    assert!(after > bench.pace.unit, "{after:?}");
    assert_eq!(bench.quotas.turn(&reservation, after).await, Turn::Now);
}

/// All of it, the call itself included.
pub async fn what_is_given_back_is_free(fixture: &dyn QuotasFixture) {
    let limits = Limits { concurrency: Some(1), ..requests(fixture, 1) };
    let bench = Bench::new(fixture, limits).await;
    let Admission::Go { after, reservation } = bench.admit(0, 1_000).await else { panic!("it can wait") };
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
