//! Faults of a real server: down at the start, standing still, restarted, flushed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleetline_shared::domain::{JobId, PortError, Spend};
use fleetline_shared::ports::{
    Acquired, Admission, Ask, CallEnd, Holder, Leases, Limits, Quotas, Rate, Turn,
};
use fleetline_shared::redis::{QuotaOptions, Redis, RedisLeases, RedisOptions, RedisQuotas};
use fleetline_tests::chaos::proxy::{Link, Proxy, Way};
use fleetline_tests::conformance::Pace;
use fleetline_tests::services::{self, PrivateServers, Server};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connect;

const TTL: Duration = Duration::from_mins(1);

fn holder() -> Holder {
    Holder { job: JobId::new(), fence: 1, token: 1, nonce: 1 }
}

pub(super) fn ask(hold: Duration) -> Ask {
    Ask {
        upstream: "api".into(),
        tenant: "default".into(),
        model: None,
        priority: 0,
        spend: Spend::default(),
        hold,
        lead: Duration::ZERO,
        slot_ttl: TTL,
    }
}

pub(super) fn impatient(servers: &PrivateServers) -> Redis {
    let response_timeout = Duration::from_millis(500);
    Redis::new(RedisOptions { response_timeout, ..RedisOptions::new(&servers.urls.redis) }).unwrap()
}

fn places(concurrency: u32) -> BTreeMap<String, Limits> {
    let limits = Limits { concurrency: Some(concurrency), ..Limits::default() };
    BTreeMap::from([("api".to_owned(), limits)])
}

/// The call fails as unavailable, in a time far below a worker's patience.
async fn is_unavailable<T: std::fmt::Debug>(call: impl Future<Output = Result<T, PortError>>) {
    let answer = timeout(Duration::from_secs(20), call).await.expect("it does not wait for ever");
    let error = answer.expect_err("the server does not answer");
    assert!(matches!(error, PortError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_used_when_it_comes() {
    let servers = PrivateServers::start();
    servers.stop(Server::Redis);
    let redis = impatient(&servers);
    let (leases, quotas) = (RedisLeases::new(redis.clone()), RedisQuotas::new(redis, places(1)));
    is_unavailable(leases.acquire("key", holder(), TTL)).await;
    is_unavailable(quotas.admit(ask(Duration::ZERO))).await;
    is_unavailable(quotas.report()).await;
    servers.start_again(Server::Redis);
    let acquired = async || leases.acquire("key", holder(), TTL).await.ok();
    Pace::REAL.becomes(Some(Acquired::Yes), acquired).await;
    let admission = quotas.admit(ask(Duration::ZERO)).await.unwrap();
    assert!(matches!(admission, Admission::Go { .. }), "{admission:?}");
}

/// Calls that were given up while the server stood still set nothing aside when it goes on.
#[tokio::test]
async fn a_server_that_stands_still_is_unavailable_until_it_goes_on() {
    let servers = PrivateServers::start();
    let redis = impatient(&servers);
    let (leases, quotas) = (RedisLeases::new(redis.clone()), RedisQuotas::new(redis, places(2)));
    let holder = holder();
    assert_eq!(leases.acquire("key", holder, TTL).await.unwrap(), Acquired::Yes);
    let Admission::Go { reservation, .. } = quotas.admit(ask(TTL)).await.unwrap() else {
        panic!("two places are free");
    };
    servers.signal(Server::Redis, "STOP");
    is_unavailable(leases.renew("key", holder, TTL)).await;
    for _ in 0..3 {
        is_unavailable(quotas.admit(ask(TTL))).await;
    }
    servers.signal(Server::Redis, "CONT");
    Pace::REAL.becomes(Some(true), async || leases.renew("key", holder, TTL).await.ok()).await;
    let in_flight = async || Some(quotas.report().await.ok()?[0].in_flight);
    Pace::REAL.becomes(Some(1), in_flight).await;
    quotas.settle(reservation, CallEnd::unknown(None)).await.unwrap();
    assert_eq!(quotas.report().await.unwrap()[0].in_flight, 0);
}

/// Or nobody could call for as long as those calls could have lasted.
#[tokio::test]
async fn calls_that_end_while_the_server_stands_still_leave_their_places() {
    let servers = PrivateServers::start();
    let quotas = RedisQuotas::new(impatient(&servers), places(2));
    let mut taken = Vec::new();
    for _ in 0..2 {
        let admission = quotas.admit(ask(TTL)).await.unwrap();
        let Admission::Go { reservation, .. } = admission else {
            panic!("two places are free: {admission:?}")
        };
        taken.push(reservation);
    }
    servers.signal(Server::Redis, "STOP");
    quotas.give_back(taken.remove(0));
    is_unavailable(quotas.settle(taken.remove(0), CallEnd::unknown(None))).await;
    is_unavailable(quotas.report()).await;
    servers.signal(Server::Redis, "CONT");
    Pace::REAL.soon(quotas.flush()).await;
    let in_flight = async || Some(quotas.report().await.ok()?[0].in_flight);
    Pace::REAL.becomes(Some(0), in_flight).await;
}

/// A process whose places are its own for so long, unless it renews them.
fn with_place_life(servers: &PrivateServers, place_life: Duration) -> RedisQuotas {
    let options = QuotaOptions { place_life, ..QuotaOptions::default() };
    RedisQuotas::with_options(impatient(servers), places(1), options)
}

/// A call that could last for a minute.
#[tokio::test]
async fn another_process_soon_has_the_place_of_one_that_died() {
    let servers = PrivateServers::start();
    let life = Duration::from_secs(3);
    let [first, second] = [(); 2].map(|()| with_place_life(&servers, life));
    assert!(matches!(first.admit(ask(Duration::ZERO)).await.unwrap(), Admission::Go { .. }));
    let answer = second.admit(ask(2 * life)).await.unwrap();
    assert!(matches!(answer, Admission::NotBefore { .. }), "it is renewed: {answer:?}");
    drop(first);
    let answer = second.admit(ask(TTL / 2)).await.unwrap();
    assert!(matches!(answer, Admission::Go { .. }), "{answer:?}");
}

/// For longer than a place lives that is not renewed.
#[tokio::test]
async fn places_are_kept_while_the_server_stands_still() {
    let servers = PrivateServers::start();
    let life = Duration::from_secs(6);
    let [calling, other] = [(); 2].map(|()| with_place_life(&servers, life));
    let admission = calling.admit(ask(Duration::ZERO)).await.unwrap();
    let Admission::Go { reservation, .. } = admission else { panic!("{admission:?}") };
    servers.signal(Server::Redis, "STOP");
    sleep(life + life / 4).await;
    servers.signal(Server::Redis, "CONT");
    let answer = loop {
        if let Ok(answer) = other.admit(ask(life)).await {
            break answer;
        }
    };
    assert!(matches!(answer, Admission::NotBefore { .. }), "it is another's: {answer:?}");
    calling.settle(reservation, CallEnd::unknown(None)).await.unwrap();
    let answer = other.admit(ask(Duration::ZERO)).await.unwrap();
    assert!(matches!(answer, Admission::Go { .. }), "{answer:?}");
}

/// A process that ends does not wait for others to go with it.
#[tokio::test]
async fn what_waits_to_be_told_is_told_when_it_is_asked_for() {
    let options = QuotaOptions { patience: TTL, ..QuotaOptions::default() };
    let limits = BTreeMap::from([("api".to_owned(), Limits { requests: Some(RATE), ..Limits::default() })]);
    let redis = Redis::new(RedisOptions {
        prefix: JobId::new().to_string(),
        ..RedisOptions::new(&services::shared().redis)
    });
    let quotas = RedisQuotas::with_options(redis.unwrap(), limits, options);
    let admission = quotas.admit(ask(Duration::from_secs(10))).await.unwrap();
    let Admission::Go { reservation, .. } = admission else { panic!("{admission:?}") };
    let settled = async { tokio::join!(quotas.settle(reservation, CallEnd::unknown(None)), quotas.flush()) };
    Pace::REAL.soon(settled).await.0.unwrap();
    assert_eq!(quotas.report().await.unwrap()[0].in_flight, 0);
}

#[tokio::test]
async fn leases_that_are_lost_are_taken_again() {
    let servers = PrivateServers::start();
    let leases = RedisLeases::new(connect(&servers.urls.redis));
    let holder_of_key = holder();
    assert_eq!(leases.acquire("key", holder_of_key, TTL).await.unwrap(), Acquired::Yes);
    flush(&servers);
    assert!(leases.renew("key", holder_of_key, TTL).await.unwrap(), "a flush took it from nobody");
    servers.kill(Server::Redis);
    servers.start_again(Server::Redis);
    assert!(leases.renew("key", holder_of_key, TTL).await.unwrap(), "the scripts are loaded again");
    let answer = leases.acquire("key", holder(), TTL).await.unwrap();
    assert!(matches!(answer, Acquired::Held { .. }), "{answer:?}");
}

/// The server gave it, and the connection broke before the answer came: the request is sent again.
#[tokio::test]
async fn a_lease_whose_answer_was_lost_is_its_takers() {
    let url = &services::shared().redis;
    let server = url.trim_start_matches("redis://").trim_end_matches('/');
    let proxy = Proxy::start(server).await;
    let way = format!("redis://{}/", proxy.address());
    let [leases, direct] = [way.as_str(), url].map(|url| {
        RedisLeases::new(
            Redis::new(RedisOptions { prefix: "lost".into(), ..RedisOptions::new(url) }).unwrap(),
        )
    });
    let (key, taker) = (JobId::new().to_string(), holder());
    // The script is there, so that the next request is the one that takes.
    assert!(!leases.release(&key, taker).await.unwrap());
    proxy.set(Link::Through { to_server: Way::Pass, to_client: Way::Black });
    let taking = async { leases.acquire(&key, taker, TTL).await.unwrap() };
    let breaking = async {
        Pace::REAL.becomes(true, async || direct.holder(&key).await.unwrap().is_some()).await;
        proxy.reset();
        proxy.set(Link::PASS);
    };
    let (answer, ()) = tokio::join!(taking, breaking);
    assert_eq!(answer, Acquired::Yes);
}

/// Its slot has passed: whoever gives it back finds the one place free, and asks for a slot so far ahead that
/// the answer is there in time.
#[tokio::test]
async fn an_answer_that_comes_too_late_is_in_nobodys_way() {
    let url = &services::shared().redis;
    let server = url.trim_start_matches("redis://").trim_end_matches('/');
    let proxy = Proxy::start(server).await;
    let limits = Limits { concurrency: Some(1), requests: Some(RATE), ..Limits::default() };
    let redis = connect(&format!("redis://{}/", proxy.address()));
    let quotas = RedisQuotas::new(redis, BTreeMap::from([("api".to_owned(), limits)]));
    // The first slot of a new state is a while ahead, the next one is not.
    let first = quotas.admit(ask(Duration::from_secs(10))).await.unwrap();
    let Admission::Go { slot, reservation, .. } = first else { panic!("{first:?}") };
    sleep_until(slot.begins).await;
    quotas.settle(reservation, CallEnd::unknown(None)).await.unwrap();
    let late = Way::Slow { delay: Duration::from_millis(100), bytes_per_second: None };
    proxy.set(Link::Through { to_server: Way::Pass, to_client: late });
    let late = quotas.admit(ask(Duration::from_secs(1))).await.unwrap();
    let Admission::Go { slot, reservation, .. } = late else { panic!("{late:?}") };
    assert_eq!(quotas.turn(&reservation, slot).await, Turn::Missed);
    quotas.give_back(reservation);
    let lead = Duration::from_millis(500);
    let answer = quotas.admit(Ask { lead, ..ask(Duration::from_secs(1)) }).await.unwrap();
    let Admission::Go { slot, reservation, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(quotas.turn(&reservation, slot).await, Turn::Now);
}

fn flush(servers: &PrivateServers) {
    let client = redis::Client::open(servers.urls.redis.as_str()).unwrap();
    redis::cmd("FLUSHALL").exec(&mut client.get_connection().unwrap()).unwrap();
}

pub(super) const RATE: Rate = Rate { amount: 500, window: Duration::from_millis(2_500) };

/// A call's slot lies between these: its answer took a while.
pub(super) type Start = (Instant, Instant);

/// Calls for ever, whatever the quotas say.
pub(super) async fn call_on(quotas: Arc<dyn Quotas>, starts: Arc<Mutex<Vec<Start>>>) {
    loop {
        let asked = Instant::now();
        match quotas.admit(ask(RATE.window / 10)).await {
            Ok(Admission::Go { slot, reservation, .. }) => {
                let after = slot.wait();
                let latest = Instant::now() + after;
                sleep(after).await;
                starts.lock().unwrap().push((asked + after, latest));
                let _ = quotas.settle(reservation, CallEnd::unknown(None)).await;
            }
            Ok(Admission::NotBefore { wait, .. }) => sleep(wait).await,
            Err(PortError::Unavailable { .. }) => sleep(RATE.window / 100).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Two processes with demand all the time; the server is flushed, killed, started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_is_over_the_limit_whatever_the_server_loses() {
    let servers = PrivateServers::start();
    let limits = Limits { requests: Some(RATE), ..Limits::default() };
    let starts = Arc::new(Mutex::new(Vec::new()));
    let mut callers = Vec::new();
    for _ in 0..2 {
        let redis = impatient(&servers);
        let quotas: Arc<dyn Quotas> =
            Arc::new(RedisQuotas::new(redis, BTreeMap::from([("api".to_owned(), limits.clone())])));
        for _ in 0..20 {
            callers.push(tokio::spawn(call_on(Arc::clone(&quotas), Arc::clone(&starts))));
        }
    }
    let begun = async |calls: usize| {
        let before = starts.lock().unwrap().len();
        Pace::REAL.becomes(true, async || starts.lock().unwrap().len() >= before + calls).await;
    };
    begun(700).await;
    flush(&servers);
    begun(200).await;
    servers.kill(Server::Redis);
    servers.start_again(Server::Redis);
    begun(200).await;
    flush(&servers);
    begun(700).await;
    for caller in &callers {
        assert!(!caller.is_finished(), "callers never stop by themselves");
        caller.abort();
    }
    assert_within(starts.lock().unwrap().clone());
}

/// No window is over the limit.
pub(super) fn assert_within(mut starts: Vec<Start>) {
    starts.sort_unstable_by_key(|(_, latest)| *latest);
    // Timers are rounded.
    let jitter = Duration::from_millis(2);
    for (place, (_, last)) in starts.iter().enumerate() {
        let is_inside = |(earliest, _): &&Start| *earliest + RATE.window >= *last + jitter;
        let inside = starts[..=place].iter().filter(is_inside).count();
        assert!(inside as u64 <= RATE.amount, "{inside} calls in a window");
    }
}
