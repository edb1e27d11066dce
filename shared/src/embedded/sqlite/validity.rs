//! Whether a dispatch still counts.

use rusqlite::{Connection, OptionalExtension, params};

use super::codes::DISPATCHED;
use crate::domain::JobId;
use crate::ports::Validity;

/// The answers, in the order of the dispatches.
pub(super) fn of_all(
    connection: &Connection,
    dispatches: &[(JobId, u64)],
) -> rusqlite::Result<Vec<Validity>> {
    let mut query = connection
        .prepare_cached("SELECT withdrawn FROM jobs WHERE id = ?1 AND fence = ?2 AND state = ?3")?;
    dispatches
        .iter()
        .map(|(job, fence)| {
            let withdrawn = query
                .query_row(params![job.as_bytes(), fence.cast_signed(), DISPATCHED], |row| row.get(0))
                .optional()?;
            Ok(match withdrawn {
                None => Validity::Stale,
                Some(true) => Validity::Withdrawn,
                Some(false) => Validity::Current,
            })
        })
        .collect()
}
