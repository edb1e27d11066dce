//! What is handed out and not finished, and its messages once more.

use rusqlite::{Connection, OptionalExtension, params};

use super::codes::DISPATCHED;
use super::dispatch::{message, read_envelope};
use super::fault::Result;
use super::numbers::now_ms;
use super::runs::find_run;
use crate::domain::{Envelope, JobId, LARGEST_ARGS};
use crate::ports::Scope;

pub(super) const HANDED_OUT: &str =
    "SELECT id FROM jobs WHERE state = 1 AND dispatched_at > 0 AND kind = ?1 AND (?2 IS NULL OR run = ?2)
     ORDER BY dispatched_at";

/// In the order of their dispatches.
pub(super) fn handed_out(connection: &Connection, scope: Scope, kind: &str) -> Result<Vec<JobId>> {
    let run = match scope {
        Scope::All => None,
        Scope::Run(run) => Some(find_run(connection, run)?.n),
    };
    let mut query = connection.prepare_cached(HANDED_OUT)?;
    let ids = query.query_map(params![kind, run], |row| row.get(0).map(JobId::from_bytes))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn messages(connection: &Connection, jobs: &[JobId]) -> Result<Vec<Envelope>> {
    let now = now_ms();
    let most = u32::try_from(LARGEST_ARGS).unwrap_or(u32::MAX);
    let mut query = connection.prepare_cached(concat!(
        "SELECT ",
        message!(args "?3"),
        " FROM jobs WHERE id = ?1 AND state = ?2"
    ))?;
    let mut envelopes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let found = query.query_row(params![job.as_bytes(), DISPATCHED, most], |row| read_envelope(row, now));
        envelopes.extend(found.optional()?);
    }
    Ok(envelopes)
}
