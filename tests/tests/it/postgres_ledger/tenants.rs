//! Several dispatchers, as processes have them, and several tenants: shares hold over all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use fleetline_shared::domain::Envelope;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{HOUR, finish_of, run_with, snooze, tokens_of, weighted};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;

use fleetline_tests::services::Database;

async fn dispatchers(database: &Database, count: usize) -> Vec<Subject> {
    let mut ledgers: Vec<Subject> = Vec::new();
    for _ in 0..count {
        ledgers.push(Arc::new(database.open().await));
    }
    ledgers
}

/// All take at the same time, each in rounds of these sizes.
async fn take_together(
    ledgers: &[Subject],
    rounds: &[usize],
    weights: &'static [(&str, u32)],
) -> Vec<Envelope> {
    let mut tasks = JoinSet::new();
    for (place, ledger) in ledgers.iter().enumerate() {
        let (ledger, mut rounds) = (ledger.clone(), rounds.to_vec());
        // Not all the same at the same time.
        let first = place % rounds.len();
        rounds.rotate_left(first);
        tasks.spawn(async move {
            let mut taken = Vec::new();
            for limit in rounds {
                taken.extend(ledger.dispatch(weighted(limit, weights)).await.unwrap());
            }
            taken
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

fn nobody_is_served_twice(taken: &[Envelope]) {
    let distinct: BTreeSet<_> = taken.iter().map(|job| job.job_id.to_string()).collect();
    assert_eq!(distinct.len(), taken.len());
}

const ROUNDS: [usize; 12] = [1, 7, 2, 40, 3, 25, 1, 1, 12, 30, 5, 20];
const WEIGHTS: [(&str, u32); 2] = [("acme", 3), ("initech", 2)];

async fn shares_hold_with(count: usize) {
    let database = Database::new().await;
    let mut ledgers = dispatchers(&database, count).await;
    for (tenant, tokens) in
        [("acme", [70, 130, 100].as_slice()), ("globex", &[400, 10, 40]), ("initech", &[5, 300])]
    {
        run_with(&ledgers[0], tenant, 1_500, tokens).await;
    }
    let mut taken = take_together(&ledgers, &ROUNDS, &WEIGHTS).await;
    // One is replaced: what it knew is in the ledger.
    ledgers[0] = Arc::new(database.open().await);
    taken.extend(take_together(&ledgers, &ROUNDS, &WEIGHTS).await);
    assert_eq!(taken.len(), 2 * count * ROUNDS.iter().sum::<usize>());
    nobody_is_served_twice(&taken);
    let all: u64 = taken.iter().map(|job| job.estimate.total()).sum();
    for (tenant, share) in [("acme", 3.0 / 6.0), ("initech", 2.0 / 6.0), ("globex", 1.0 / 6.0)] {
        let has = tokens_of(&taken, tenant) as f64 / all as f64;
        assert!((has - share).abs() < 0.015, "{tenant} has {has:.3} of {all} tokens, not {share:.3}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shares_hold_with_two_dispatchers() {
    shares_hold_with(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shares_hold_with_three_dispatchers() {
    shares_hold_with(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_comes_back_finds_no_credit_at_any_dispatcher() {
    let database = Database::new().await;
    let ledgers = dispatchers(&database, 3).await;
    run_with(&ledgers[0], "acme", 1_000, &[10]).await;
    run_with(&ledgers[0], "globex", 20, &[10]).await;
    // It has its turns until its work is done, and then none for long.
    let taken = take_together(&ledgers, &[10, 20, 30, 40], &[]).await;
    assert_eq!(tokens_of(&taken, "globex"), 200);
    run_with(&ledgers[1], "globex", 300, &[10]).await;
    let taken = take_together(&ledgers, &[20, 10, 10], &[]).await;
    nobody_is_served_twice(&taken);
    let (acme, globex) = (tokens_of(&taken, "acme"), tokens_of(&taken, "globex"));
    assert!(acme.abs_diff(globex) <= 10, "{acme} and {globex} tokens");
}

/// Only as many tenants are looked at as may be served, and the first of them may have nothing to do yet.
#[tokio::test]
async fn who_has_nothing_to_do_yet_bars_nobody() {
    let database = Database::new().await;
    let ledger = &dispatchers(&database, 1).await[0];
    for tenant in 0..30 {
        run_with(ledger, &format!("a-{tenant}"), 1, &[10]).await;
    }
    let taken = ledger.dispatch(weighted(30, &[])).await.unwrap();
    run_with(ledger, "busy", 5, &[1_000_000]).await;
    assert_eq!(ledger.dispatch(weighted(1, &[])).await.unwrap()[0].tenant, "busy");
    let later = taken.iter().map(|envelope| finish_of(envelope, snooze(HOUR))).collect();
    ledger.finish(later).await.unwrap();
    let taken = ledger.dispatch(weighted(2, &[])).await.unwrap();
    assert_eq!(taken.iter().map(|job| job.tenant.as_str()).collect::<Vec<_>>(), ["busy", "busy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clocks_begin_anew_before_their_numbers_end() {
    let database = Database::new().await;
    let ledgers = dispatchers(&database, 2).await;
    for tenant in ["acme", "globex"] {
        run_with(&ledgers[0], tenant, 500, &[10, 50]).await;
    }
    take_together(&ledgers, &[20, 3], &[]).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    for table in ["lines", "turns"] {
        let much_later = format!("UPDATE {table} SET clock = clock + (1::bigint << 61)");
        sqlx::raw_sql(AssertSqlSafe(much_later)).execute(&mut connection).await.unwrap();
    }
    let taken = take_together(&ledgers, &[20, 30, 7, 40], &[]).await;
    let (acme, globex) = (tokens_of(&taken, "acme"), tokens_of(&taken, "globex"));
    assert!(acme.abs_diff(globex) <= 100, "{acme} and {globex} tokens");
    let clock: i64 =
        sqlx::query_scalar("SELECT max(clock) FROM turns").fetch_one(&mut connection).await.unwrap();
    assert!(clock < 1 << 60, "{clock}");
}
