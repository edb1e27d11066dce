//! What the ledger's tables say, read with the observer's own SQL.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::time::timeout;

use super::{Counts, Job, Key, Run};

/// A server that is under a fault does not answer within this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// An observer's connection.
pub struct PostgresView {
    connection: PgConnection,
}

impl PostgresView {
    /// Opens it; `None`: the server does not answer.
    pub async fn open(url: &str) -> Option<Self> {
        let options: PgConnectOptions = url.parse().expect("a Postgres URL");
        let connection = timeout(PATIENCE, options.connect()).await.ok()?.ok()?;
        Some(Self { connection })
    }

    /// Rows, or `None` if the server does not answer, or the tables are not there yet.
    async fn rows(&mut self, sql: &'static str) -> Option<Vec<PgRow>> {
        timeout(PATIENCE, sqlx::query(sql).fetch_all(&mut self.connection)).await.ok()?.ok()
    }

    async fn number(&mut self, sql: &'static str) -> Option<u64> {
        let rows = self.rows(sql).await?;
        Some(rows.first()?.get::<i64, _>(0).cast_unsigned())
    }

    /// Terminal jobs.
    pub async fn terminal(&mut self) -> Option<u64> {
        self.number("SELECT count(*) FROM endings").await
    }

    /// Terminal jobs with all that may not change any more, by id.
    pub async fn terminal_rows(&mut self) -> Option<HashMap<String, String>> {
        const SQL: &str =
            "SELECT j.id::text, concat_ws(' ', e.state, e.result, e.fence, e.finished_at, e.attempts,
                e.dead_reason, e.error, md5(e.output))
            FROM endings e JOIN jobs j USING (n)";
        let rows = self.rows(SQL).await?;
        Some(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Whether every job is terminal and every event published.
    pub async fn is_quiet(&mut self) -> Option<bool> {
        const SQL: &str = "SELECT (SELECT count(*) FROM queue) + (SELECT count(*) FROM outbox)";
        self.number(SQL).await.map(|waiting| waiting == 0)
    }

    /// Dead jobs.
    pub async fn dead(&mut self) -> Option<u64> {
        self.number("SELECT count(*) FROM job_states WHERE state = 'dead'").await
    }

    /// All runs.
    pub async fn runs(&mut self) -> Option<Vec<Run>> {
        const SQL: &str = "SELECT id::text, (ARRAY['open', 'running', 'finished'])[state + 1],
                jobs, succeeded, reused, dead, cancelled FROM runs";
        let count = |row: &PgRow, column| row.get::<i64, usize>(column).cast_unsigned();
        let run = |row: PgRow| Run {
            id: row.get(0),
            state: row.get(1),
            counts: Counts {
                jobs: count(&row, 2),
                succeeded: count(&row, 3),
                reused: count(&row, 4),
                dead: count(&row, 5),
                cancelled: count(&row, 6),
            },
        };
        Some(self.rows(SQL).await?.into_iter().map(run).collect())
    }

    /// All jobs, as often as there are rows.
    pub async fn jobs(&mut self) -> Option<Vec<Job>> {
        const SQL: &str =
            "SELECT job_id::text, run_id::text, tenant, kind, dedup_key, coalesce(state, 'none'),
                result IS NOT NULL, reused, dead_reason FROM job_states";
        let job = |row: PgRow| Job {
            id: row.get(0),
            run: row.get(1),
            key: (row.get(2), row.get(3), row.get(4)),
            state: row.get(5),
            has_result: row.get(6),
            reused: row.get(7),
            dead_reason: row.get(8),
        };
        Some(self.rows(SQL).await?.into_iter().map(job).collect())
    }

    /// The key of each result.
    pub async fn results(&mut self) -> Option<Vec<Key>> {
        let rows = self.rows("SELECT tenant, kind, dedup_key FROM results").await?;
        Some(rows.into_iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }

    /// Events that were not published.
    pub async fn outbox(&mut self) -> Option<u64> {
        self.number("SELECT count(*) FROM outbox").await
    }

    /// Rows of work under way: of live jobs, and of keys that have a live job.
    pub async fn live(&mut self) -> Option<u64> {
        const SQL: &str = "SELECT (SELECT count(*) FROM queue)
            + (SELECT count(*) FROM dedup WHERE live IS NOT NULL OR waiting)";
        self.number(SQL).await
    }

    /// Time from then to the first job that finished after it.
    pub async fn first_finish_after(&mut self, then: SystemTime) -> Option<Duration> {
        const SQL: &str = "SELECT extract(epoch FROM min(finished_at))::float8 - $1 FROM endings
            WHERE extract(epoch FROM finished_at) > $1";
        let then = then.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let asked = sqlx::query(SQL).bind(then).fetch_one(&mut self.connection);
        let took: Option<f64> = timeout(PATIENCE, asked).await.ok()?.ok()?.get(0);
        took.map(Duration::from_secs_f64)
    }
}
