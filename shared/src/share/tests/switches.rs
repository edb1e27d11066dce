//! Single switches: who admits, what is told.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Switched, UPSTREAM, ask, per};
use crate::domain::{Spend, Verdict};
use crate::ports::{Admission, Ask, CallEnd, Limits, Quotas, Rates, Reservation};
use crate::share::reach::SETTLING;
use crate::share::{Standing, StaticShare};

const LONG: Duration = Duration::from_mins(2);

fn limits() -> Limits {
    Limits {
        requests: Some(per(600, 60)),
        concurrency: Some(8),
        budget: Some(per(1_000, 86_400)),
        ..Limits::default()
    }
}

async fn go(quotas: &StaticShare) -> Reservation {
    go_with(quotas, ask(1)).await
}

async fn go_with(quotas: &StaticShare, ask: Ask) -> Reservation {
    for _ in 0..100 {
        match quotas.admit(ask.clone()).await.unwrap() {
            Admission::Go { reservation, slot, .. } => {
                sleep_until(slot.begins).await;
                return reservation;
            }
            Admission::NotBefore { wait, .. } => sleep(wait).await,
        }
    }
    panic!("nobody is admitted");
}

async fn becomes(quotas: &StaticShare, standing: Standing) {
    quotas.reach().changes().wait_for(|now| *now == standing).await.unwrap();
}

/// The fleet's quota cannot be reached any more, and the process goes on with its share.
async fn goes_apart(fleet: &Switched, quotas: &StaticShare) {
    fleet.set(false);
    becomes(quotas, Standing::Share).await;
}

/// The fleet's quota answers again, and the process goes on with it.
async fn comes_back(fleet: &Switched, quotas: &StaticShare) {
    fleet.set(true);
    becomes(quotas, Standing::Fleet).await;
}

async fn in_flight(quotas: &StaticShare) -> u32 {
    quotas.report().await.unwrap()[0].in_flight
}

#[tokio::test(start_paused = true)]
async fn a_share_has_its_part_of_the_places() {
    let fleet = Switched::new(&limits());
    let quotas = fleet.process(4);
    becomes(&quotas, Standing::Fleet).await;
    goes_apart(&fleet, &quotas).await;
    let held = [go(&quotas).await, go(&quotas).await];
    let full = quotas.admit(ask(1)).await.unwrap();
    assert!(matches!(full, Admission::NotBefore { .. }), "two of eight places: {full:?}");
    for reservation in held {
        quotas.settle(reservation, CallEnd::unknown(None)).await.unwrap();
    }
    go(&quotas).await;
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_are_handed_over_both_ways() {
    let fleet = Switched::new(&limits());
    let quotas = fleet.process(2);
    becomes(&quotas, Standing::Fleet).await;
    let before = go(&quotas).await;
    goes_apart(&fleet, &quotas).await;
    let meanwhile = go(&quotas).await;
    // It is not waited for, nor lost.
    quotas.settle(before, CallEnd::unknown(None)).await.unwrap();
    comes_back(&fleet, &quotas).await;
    assert_eq!(in_flight(&quotas).await, 1, "the share's call");
    quotas.settle(meanwhile, CallEnd::unknown(None)).await.unwrap();
    assert_eq!(in_flight(&quotas).await, 0);
}

#[tokio::test(start_paused = true)]
async fn money_that_a_share_spent_counts_for_the_fleet() {
    let fleet = Switched::new(&limits());
    let quotas = fleet.process(2);
    becomes(&quotas, Standing::Fleet).await;
    goes_apart(&fleet, &quotas).await;
    for spent in [40, 2] {
        let reservation = go(&quotas).await;
        let used = Spend { money: spent, ..Spend::default() };
        quotas.settle(reservation, CallEnd::unknown(Some(used))).await.unwrap();
    }
    for _ in 0..2 {
        comes_back(&fleet, &quotas).await;
        let money = quotas.report().await.unwrap()[0].used[0];
        assert_eq!((money.used, money.limit), (42, 1_000), "told once");
        goes_apart(&fleet, &quotas).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_the_fleets_quota_that_says_429_pauses_the_share() {
    let fleet = Switched::new(&limits());
    let quotas = fleet.process(2);
    becomes(&quotas, Standing::Fleet).await;
    let before = go(&quotas).await;
    goes_apart(&fleet, &quotas).await;
    sleep(LONG).await;
    let end = CallEnd { verdict: Verdict::RateLimited, ..CallEnd::unknown(None) };
    quotas.settle(before, end).await.unwrap();
    let paused = quotas.admit(ask(1)).await.unwrap();
    assert!(matches!(paused, Admission::NotBefore { ref why, .. } if why == "paused: 429"), "{paused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_too_large_for_a_share_waits_for_the_fleets_quota() {
    let limits = Limits { tokens: Some(per(1_000, 60)), ..Limits::default() };
    let fleet = Switched::new(&limits);
    let quotas = fleet.process(4);
    becomes(&quotas, Standing::Fleet).await;
    goes_apart(&fleet, &quotas).await;
    sleep(LONG).await;
    let refused = quotas.admit(ask(300)).await.unwrap();
    assert!(matches!(refused, Admission::NotBefore { .. }), "no reason to give a job up: {refused:?}");
    assert!(matches!(quotas.admit(ask(200)).await.unwrap(), Admission::Go { .. }));
}

/// Calls that go at once after a quiet time: a fiftieth of 600 an hour, or of what a share has of it.
async fn burst(quotas: &StaticShare, calls: u32) {
    let began = Instant::now();
    for _ in 0..calls {
        let reservation = go(quotas).await;
        quotas.settle(reservation, CallEnd::unknown(None)).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(1), "they go at once");
}

/// At 600 an hour twelve calls are refilled in so long.
const REFILL: Duration = Duration::from_secs(72);

#[tokio::test(start_paused = true)]
async fn what_the_other_side_used_in_a_burst_is_made_up_for() {
    let fleet = Switched::new(&Limits { requests: Some(per(600, 3_600)), ..Limits::default() });
    let processes = [fleet.process(2), fleet.process(2)];
    let all_become = async |standing| {
        for quotas in &processes {
            becomes(quotas, standing).await;
        }
    };
    all_become(Standing::Fleet).await;
    sleep(60 * LONG).await;
    burst(&processes[0], 12).await;
    let began = Instant::now();
    fleet.set(false);
    all_become(Standing::Share).await;
    go(&processes[1]).await;
    assert!(began.elapsed() >= REFILL, "{:?}", began.elapsed());
    sleep(60 * LONG).await;
    for quotas in &processes {
        burst(quotas, 6).await;
    }
    let began = Instant::now();
    fleet.forget();
    fleet.set(true);
    all_become(Standing::Fleet).await;
    go(&processes[1]).await;
    // Once for the shares, and once for what the state that was lost may have given out.
    assert!(began.elapsed() >= 2 * REFILL, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_long_window_of_a_models_limit_holds_up_nobody_else() {
    let hour = Rates { requests: Some(per(600, 3_600)), ..Rates::default() };
    let per_model = [("slow".to_owned(), hour)].into();
    let fleet = Switched::new(&Limits { requests: Some(per(6_000, 60)), per_model, ..Limits::default() });
    let processes = [fleet.process(2), fleet.process(2)];
    let slow = || Ask { model: Some("slow".into()), ..ask(1) };
    let all_become = async |standing| {
        for quotas in &processes {
            becomes(quotas, standing).await;
        }
    };
    let burst = async |quotas: &StaticShare, calls: usize| {
        for _ in 0..calls {
            let admission = quotas.admit(slow()).await.unwrap();
            let Admission::Go { reservation, .. } = admission else { panic!("{admission:?}") };
            quotas.settle(reservation, CallEnd::unknown(None)).await.unwrap();
        }
    };
    let others_go_first = async |began: Instant| {
        go(&processes[1]).await;
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        go_with(&processes[1], slow()).await;
        assert!(began.elapsed() >= REFILL, "{:?}", began.elapsed());
    };
    all_become(Standing::Fleet).await;
    sleep(60 * LONG).await;
    burst(&processes[0], 12).await;
    let began = Instant::now();
    fleet.set(false);
    all_become(Standing::Share).await;
    others_go_first(began).await;
    sleep(60 * LONG).await;
    burst(&processes[0], 6).await;
    let began = Instant::now();
    fleet.set(true);
    all_become(Standing::Fleet).await;
    others_go_first(began).await;
}

#[tokio::test(start_paused = true)]
async fn others_stop_and_the_dispatcher_hears_of_it() {
    let fleet = Switched::new(&limits());
    let quotas = fleet.process(2);
    becomes(&quotas, Standing::Fleet).await;
    fleet.set(false);
    let other = Ask { upstream: "other".into(), ..ask(1) };
    assert!(quotas.admit(other).await.is_err(), "it has no share");
    becomes(&quotas, Standing::Share).await;
    let reports = quotas.report().await.unwrap();
    let [report] = reports.as_slice() else { panic!("one upstream: {reports:?}") };
    assert_eq!((report.upstream.as_str(), report.apart, &report.limits), (UPSTREAM, true, &limits()));
}

/// Nobody used a share: the fleet's quota goes on as if nothing had been, and hears how its calls ended meanwhile.
#[tokio::test(start_paused = true)]
async fn a_moment_out_of_reach_costs_the_fleet_nothing() {
    let limits = Limits { requests: Some(per(600, 3_600)), concurrency: Some(20), ..Limits::default() };
    let fleet = Switched::new(&limits);
    let quotas = fleet.process(2);
    becomes(&quotas, Standing::Fleet).await;
    sleep(60 * LONG).await;
    let calls = [go(&quotas).await, go(&quotas).await];
    fleet.set(false);
    for (call, standing) in calls.into_iter().zip([Standing::Doubt, Standing::Starting]) {
        becomes(&quotas, standing).await;
        quotas.settle(call, CallEnd::unknown(None)).await.unwrap();
        fleet.set(true);
    }
    let began = Instant::now();
    becomes(&quotas, Standing::Fleet).await;
    assert!(began.elapsed() >= SETTLING, "others may have used their shares");
    burst(&quotas, 10).await;
    assert_eq!(in_flight(&quotas).await, 0);
}
