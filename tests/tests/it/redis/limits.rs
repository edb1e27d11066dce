//! Which process says what the limits are.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::ports::{Admission, Ask, BreakerOptions, Limits, Quotas};
use fleetline_shared::redis::quotas::QuotaOptions;
use fleetline_shared::redis::{Redis, RedisQuotas};
use fleetline_tests::conformance::Pace;
use fleetline_tests::services;
use redis::Commands;

use super::faults::ask;
use super::redis;

/// A process that has these limits starts.
fn start(redis: &Redis, limits: &Limits) -> RedisQuotas {
    RedisQuotas::new(redis.clone(), BTreeMap::from([("api".to_owned(), limits.clone())]))
}

fn places(concurrency: u32) -> Limits {
    Limits { concurrency: Some(concurrency), ..Limits::default() }
}

async fn in_force(quotas: &RedisQuotas) -> Limits {
    quotas.given_limits().await.unwrap().remove("api").expect("it is known")
}

#[tokio::test]
async fn a_process_without_limits_leaves_those_of_others_in_force() {
    let redis = redis();
    let open = Limits { breaker: Some(BreakerOptions::default()), ..Limits::default() };
    let before = start(&redis, &open);
    assert_eq!(in_force(&before).await, open, "nobody has limits");
    let limited = start(&redis, &places(1));
    assert_eq!(in_force(&limited).await, places(1));
    let after = start(&redis, &open);
    for quotas in [&before, &after] {
        assert_eq!(in_force(quotas).await, places(1));
    }
    let first = after.admit(ask(Duration::ZERO)).await.unwrap();
    assert!(matches!(first, Admission::Go { .. }), "{first:?}");
    let second = before.admit(ask(Duration::ZERO)).await.unwrap();
    assert!(matches!(second, Admission::NotBefore { .. }), "{second:?}");
    // They are lifted on purpose alone, until somebody who has limits starts.
    let lifting = start(&redis, &Limits { lifted: true, ..Limits::default() });
    for quotas in [&lifting, &limited, &start(&redis, &open)] {
        assert_eq!(in_force(quotas).await, Limits::default());
    }
    assert_eq!(in_force(&start(&redis, &places(7))).await, places(7));
}

/// Also those of processes that do nothing just now, and upstreams that one only called.
#[tokio::test]
async fn what_redis_has_lost_is_known_again_by_itself() {
    let redis = redis();
    let limits = BTreeMap::from([("api".to_owned(), places(3))]);
    let options = QuotaOptions { reminder: Duration::from_millis(50), ..QuotaOptions::default() };
    let process = RedisQuotas::with_options(redis.clone(), limits.clone(), options);
    let other = Ask { upstream: "other".into(), ..ask(Duration::ZERO) };
    let admission = process.admit(other).await.unwrap();
    assert!(matches!(admission, Admission::Go { .. }), "{admission:?}");
    let known = BTreeMap::from([("api".to_owned(), places(3)), ("other".to_owned(), Limits::default())]);
    let looker = RedisQuotas::new(redis.clone(), BTreeMap::new());
    let seen = async || looker.given_limits().await.unwrap();
    Pace::REAL.becomes(known.clone(), seen).await;
    let mut keys = redis::Client::open(services::shared().redis.as_str()).unwrap().get_connection().unwrap();
    let prefix = redis.prefix();
    let states = ["api", "other"].map(|name| format!("{{{prefix}:{name}}}:quota"));
    let lost = states.into_iter().chain([format!("{prefix}:upstreams")]).collect::<Vec<_>>();
    assert_eq!(keys.del::<_, usize>(&lost).unwrap(), 3);
    Pace::REAL.becomes(known, seen).await;
}
