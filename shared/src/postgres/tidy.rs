//! Vacuuming the queue as often as it needs it.
//!
//! A job that is handed out leaves a dead entry at the head of its lane in `queue_ready`, which every
//! later probe steps over until a vacuum removes it. Autovacuum looks once a minute by default: at
//! thousands of jobs a second that is hundreds of thousands of dead entries. So whoever dispatches
//! also tidies up; it takes the rights of the tables' owner, and without them autovacuum is left to
//! do it (`docs/postgres.md`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fault::{Fault, Result};
use super::pool::Pool;

/// Jobs handed out between two vacuums at least.
const LEAST: i64 = 20_000;
/// A vacuum reads the whole of the indexes: of a long backlog this part is handed out before the next.
const PART_OF_BACKLOG: i64 = 20;
/// The longest vacuum.
const PATIENCE: Duration = Duration::from_hours(1);
/// Between two vacuums at least.
const PAUSE: Duration = Duration::from_secs(2);

/// Counts what this process hands out, and vacuums.
pub(super) struct Tidy {
    handed_out: AtomicI64,
    threshold: Arc<AtomicI64>,
    due: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Tidy {
    pub(super) fn start(pool: Arc<Pool>) -> Self {
        let due = Arc::new(Notify::new());
        let threshold = Arc::new(AtomicI64::new(LEAST));
        let task = tokio::spawn(vacuum_when_due(pool, Arc::clone(&due), Arc::clone(&threshold)));
        Self { handed_out: AtomicI64::new(0), threshold, due, task }
    }

    pub(super) fn handed_out(&self, jobs: usize) {
        let more = i64::try_from(jobs).unwrap_or(0);
        let sum = self.handed_out.fetch_add(more, Ordering::Relaxed) + more;
        if sum >= self.threshold.load(Ordering::Relaxed) {
            self.handed_out.store(0, Ordering::Relaxed);
            self.due.notify_one();
        }
    }
}

impl Drop for Tidy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn vacuum_when_due(pool: Arc<Pool>, due: Arc<Notify>, threshold: Arc<AtomicI64>) {
    loop {
        due.notified().await;
        // Its statements have no limit of their own, and a server that went away without a word answers never.
        let vacuumed = timeout(PATIENCE, vacuum(&pool)).await.unwrap_or(Err(Fault::NoConnection));
        match vacuumed {
            Ok(backlog) => threshold.store(LEAST.max(backlog / PART_OF_BACKLOG), Ordering::Relaxed),
            Err(fault) => tracing::debug!(error = %fault.in_words(), "the queue was not vacuumed"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Clocks of tenants that are not ahead of their line and have no work: as good as none. Those that a
/// dispatch holds at this moment are left for another time.
const FORGET: &str = "
    DELETE FROM turns WHERE ctid = ANY(ARRAY(
      SELECT t.ctid FROM turns t, LATERAL (
        SELECT clock FROM lines WHERE kind = t.kind AND upstream = t.upstream OFFSET 0) l
      WHERE t.clock <= l.clock AND NOT EXISTS (
        SELECT 1 FROM runs WHERE tenant = t.tenant AND state < 2 OFFSET 0)
      FOR UPDATE OF t SKIP LOCKED))";

/// Answers how many rows there are. If another vacuums at this moment, it is left to that one.
async fn vacuum(pool: &Pool) -> Result<i64> {
    let mut connection = pool.acquire().await?;
    sqlx::raw_sql("SET statement_timeout = 0").execute(&mut *connection).await?;
    sqlx::raw_sql("VACUUM (SKIP_LOCKED, TRUNCATE false, INDEX_CLEANUP true) queue")
        .execute(&mut *connection)
        .await?;
    sqlx::raw_sql(FORGET).execute(&mut *connection).await?;
    sqlx::raw_sql("RESET statement_timeout").execute(&mut *connection).await?;
    let rows = sqlx::query_scalar("SELECT reltuples::bigint FROM pg_class WHERE oid = 'queue'::regclass")
        .fetch_one(&mut *connection)
        .await?;
    connection.give_back();
    Ok(rows)
}
