//! A user with the rights that the docs name.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::domain::JobId;
use fleetline_shared::ports::{
    Acquired, AdaptiveOptions, Admission, CallEnd, FleetQuotas, Holder, Leases, Limits, Quotas, Rate, Rates,
};
use fleetline_shared::redis::{QuotaOptions, Redis, RedisLeases, RedisOptions, RedisQuotas};
use fleetline_tests::services;
use tokio::time::timeout;
use uuid::Uuid;

use super::faults::ask;
use super::redis;

const DOCS: &str = include_str!("../../../../docs/redis.md");

/// All that is said in code of the line that begins so.
fn rights() -> Vec<&'static str> {
    let line = DOCS.lines().find(|line| line.starts_with("Rights of the user:")).expect("the docs name them");
    let sentence = line.split(". ").next().unwrap_or_default();
    sentence.split('`').skip(1).step_by(2).flat_map(str::split_whitespace).collect()
}

/// A new user with these rights and a prefix of its own.
fn user(rights: &[&str]) -> Redis {
    let name = format!("user{}", Uuid::now_v7().simple());
    let url = services::shared().redis.as_str();
    let mut admin = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut set = redis::cmd("ACL");
    set.arg("SETUSER").arg(&name).arg("reset").arg("on").arg(">secret");
    for right in rights {
        set.arg(right.replace("fleetline", &name));
    }
    set.query::<()>(&mut admin).unwrap();
    let url = url.replacen("redis://", &format!("redis://{name}:secret@"), 1);
    let response_timeout = Duration::from_secs(10);
    Redis::new(RedisOptions { prefix: name, response_timeout, ..RedisOptions::new(&url) }).unwrap()
}

fn limits() -> BTreeMap<String, Limits> {
    let requests = Some(Rate { amount: 1_000, window: Duration::from_secs(1) });
    let tenant = Rates { requests, ..Rates::default() };
    let limits = Limits { requests, concurrency: Some(5), per_tenant: Some(tenant), ..Limits::default() };
    BTreeMap::from([("api".to_owned(), limits)])
}

#[tokio::test]
async fn the_rights_that_the_docs_name_are_enough() {
    let redis = user(&rights());
    let (_, findings) = redis.examine().await.unwrap();
    assert!(findings.iter().all(|finding| finding.subject != "permissions"), "{findings:?}");

    let leases = RedisLeases::with_patience(redis.clone(), Duration::ZERO);
    let (holder, minute) =
        (Holder { job: JobId::new(), fence: 1, token: 1, nonce: 1 }, Duration::from_mins(1));
    assert_eq!(leases.acquire("key", holder, minute).await.unwrap(), Acquired::Yes);
    assert!(leases.renew("key", holder, minute).await.unwrap());
    assert!(leases.holder("key").await.unwrap().is_some());
    assert!(leases.release("key", holder).await.unwrap());

    let quotas = RedisQuotas::new(redis, limits());
    let hold = Duration::from_secs(2);
    let reservation = loop {
        match quotas.admit(ask(hold)).await.unwrap() {
            Admission::Go { reservation, .. } => break reservation,
            Admission::NotBefore { wait, .. } => tokio::time::sleep(wait).await,
        }
    };
    quotas.settle(reservation, CallEnd::unknown(None)).await.unwrap();
    quotas.pause("api", hold, "a test").await.unwrap();
    assert!(quotas.report().await.unwrap()[0].paused.is_some());
    quotas.reach().await.unwrap();
}

#[tokio::test]
async fn whoever_may_not_run_scripts_is_told_so() {
    let all = rights();
    for missing in ["+evalsha", "+script|load"] {
        let some: Vec<_> = all.iter().copied().filter(|right| *right != missing).collect();
        let (_, findings) = user(&some).examine().await.unwrap();
        assert!(findings.iter().any(|finding| finding.subject == "permissions"), "{missing}: {findings:?}");
    }
}

/// Where the number of places is found, somebody may wait for each that becomes free.
#[tokio::test]
async fn a_call_that_frees_a_place_that_was_found_ends_at_once() {
    let adaptive = Some(AdaptiveOptions { min: 1, max: 1 });
    let limits = BTreeMap::from([("api".to_owned(), Limits { adaptive, ..Limits::default() })]);
    let options = QuotaOptions { patience: Duration::from_hours(1), ..QuotaOptions::default() };
    let quotas = RedisQuotas::with_options(redis(), limits, options);
    let Admission::Go { reservation, .. } = quotas.admit(ask(Duration::ZERO)).await.unwrap() else {
        panic!("nothing is under way");
    };
    let settled = quotas.settle(reservation, CallEnd::unknown(None));
    timeout(Duration::from_mins(1), settled).await.expect("it does not wait for company").unwrap();
}
