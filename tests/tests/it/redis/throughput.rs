//! How much one process gets out of Redis. Not part of the usual run:
//! `cargo nextest run --workspace --run-ignored only --no-capture -E 'test(redis::throughput)'`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleetline_shared::domain::{JobId, Spend};
use fleetline_shared::ports::{Acquired, Admission, Ask, CallEnd, Holder, Leases, Limits, Quotas, Rate};
use fleetline_shared::redis::{QuotaOptions, RedisLeases, RedisQuotas};
use tokio::time::sleep;

use super::redis;

const TIME: Duration = Duration::from_secs(3);

/// Repeats a job in so many tasks, and prints how often it was done in a second.
async fn rate<Job, Done>(what: &str, tasks: usize, job: Job)
where
    Job: Fn() -> Done + Clone + Send + 'static,
    Done: Future<Output = ()> + Send,
{
    let done = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (job, done) = (job.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                loop {
                    job().await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    sleep(TIME / 3).await;
    let before = done.load(Ordering::Relaxed);
    sleep(TIME).await;
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / TIME.as_secs_f64();
    println!("{what}, {} callers: {rate:.0} per second", tasks.len());
    for task in tasks {
        assert!(!task.is_finished(), "a job failed");
        task.abort();
    }
}

#[tokio::test]
#[ignore = "prints figures"]
async fn leases() {
    for callers in [1, 100, 1_000] {
        let leases = Arc::new(RedisLeases::with_patience(redis(), Duration::ZERO));
        rate("lease taken and given up", callers, move || {
            let leases = Arc::clone(&leases);
            async move {
                let holder = Holder { job: JobId::new(), fence: 1, token: 1, nonce: 1 };
                let key = holder.job.to_string();
                let minute = Duration::from_mins(1);
                assert_eq!(leases.acquire(&key, holder, minute).await.unwrap(), Acquired::Yes);
                assert!(leases.release(&key, holder).await.unwrap());
            }
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "prints figures"]
async fn quotas() {
    let wide = Rate { amount: 100_000_000, window: Duration::from_secs(10) };
    let narrow = Rate { amount: 10_000, window: Duration::from_secs(10) };
    let limits = |requests| Limits {
        requests: Some(requests),
        tokens: Some(wide),
        concurrency: Some(5_000),
        ..Limits::default()
    };
    for (what, limits) in [("wide", limits(wide)), ("narrow", limits(narrow))] {
        for callers in [1, 100, 1_000] {
            let limits = BTreeMap::from([("api".to_owned(), limits.clone())]);
            let options = QuotaOptions { longest_hold: Duration::ZERO, ..QuotaOptions::default() };
            let quotas = Arc::new(RedisQuotas::with_options(redis(), limits, options));
            rate(&format!("answer of a {what} quota, settled"), callers, move || {
                let quotas = Arc::clone(&quotas);
                async move {
                    let spend = Spend { input_tokens: 9, output_tokens: 1, money: 0 };
                    let ask = Ask {
                        upstream: "api".into(),
                        tenant: "default".into(),
                        model: None,
                        priority: 0,
                        spend,
                        hold: Duration::ZERO,
                        lead: Duration::ZERO,
                        slot_ttl: Duration::from_mins(1),
                    };
                    if let Admission::Go { reservation, .. } = quotas.admit(ask).await.unwrap() {
                        quotas.settle(reservation, CallEnd::unknown(Some(spend))).await.unwrap();
                    }
                }
            })
            .await;
        }
    }
}
