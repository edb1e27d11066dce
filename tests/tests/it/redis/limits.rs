//! Which process says what the limits are.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_shared::ports::{Admission, BreakerOptions, Limits, Quotas};
use fleetline_shared::redis::{Redis, RedisQuotas};

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
