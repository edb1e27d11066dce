//! Fairness: lanes take turns, so that a run of ten jobs never waits behind one of a million.
//!
//! A turn belongs to a lane and not to a run: what runs compete for is an upstream's quota.

use rusqlite::Connection;

use super::lanes::{Lane, take_from_lane};

/// Takes up to `limit` due jobs, one of each lane in turn. `last` is the lane that had the last
/// turn; the next round starts behind it, so that rounds of one job are fair too.
pub(super) fn take_in_turns(
    connection: &Connection,
    kind: &str,
    mut lanes: Vec<Lane>,
    limit: usize,
    last: &mut Option<Lane>,
    now: i64,
) -> rusqlite::Result<Vec<i64>> {
    lanes.sort();
    let start = lanes.partition_point(|lane| last.as_ref().is_some_and(|last| lane <= last));
    lanes.rotate_left(start);

    let backlogs = enough(connection, kind, &lanes, limit, now)?;
    let (taken, last_turn) = interleave(backlogs, limit);
    if let Some(turn) = last_turn {
        *last = lanes.into_iter().nth(turn);
    }
    Ok(taken)
}

/// So many due jobs of each lane that turns can be given to `limit` of them.
pub(super) fn enough(
    connection: &Connection,
    kind: &str,
    lanes: &[Lane],
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<Vec<i64>>> {
    let share = limit.div_ceil(lanes.len().max(1));
    let backlogs = gather(connection, kind, lanes, share, limit, now)?;
    if backlogs.iter().map(Vec::len).sum::<usize>() < limit && share < limit {
        // Some lanes have less than their share: the others may have more.
        return gather(connection, kind, lanes, limit, limit, now);
    }
    Ok(backlogs)
}

/// Up to `share` jobs of each lane. With a share of one, the first lanes may be enough.
fn gather(
    connection: &Connection,
    kind: &str,
    lanes: &[Lane],
    share: usize,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<Vec<i64>>> {
    let mut backlogs = Vec::new();
    let mut gathered = 0;
    for lane in lanes {
        if share == 1 && gathered == limit {
            break;
        }
        let jobs = take_from_lane(connection, kind, lane, share, now)?;
        gathered += jobs.len();
        backlogs.push(jobs);
    }
    Ok(backlogs)
}

/// One job of each lane in turn, and which lane had the last turn.
pub(super) fn interleave<T>(backlogs: Vec<Vec<T>>, limit: usize) -> (Vec<T>, Option<usize>) {
    let mut backlogs: Vec<_> = backlogs.into_iter().map(Vec::into_iter).collect();
    let mut taken = Vec::new();
    let mut last_turn = None;
    while taken.len() < limit && backlogs.iter().any(|jobs| jobs.len() > 0) {
        for (turn, jobs) in backlogs.iter_mut().enumerate() {
            if taken.len() < limit
                && let Some(job) = jobs.next()
            {
                taken.push(job);
                last_turn = Some(turn);
            }
        }
    }
    (taken, last_turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_turns_until_there_is_enough() {
        let table = [
            (vec![vec![1, 2, 3], vec![10], vec![20, 21]], 9, vec![1, 10, 20, 2, 21, 3], Some(0)),
            (vec![vec![1, 2, 3], vec![10], vec![20, 21]], 5, vec![1, 10, 20, 2, 21], Some(2)),
            (vec![vec![1, 2, 3], vec![10]], 1, vec![1], Some(0)),
            (vec![vec![], vec![10]], 1, vec![10], Some(1)),
            (vec![vec![1]], 0, vec![], None),
            (vec![], 5, vec![], None),
        ];
        for (backlogs, limit, taken, last) in table {
            let name = format!("{backlogs:?} limit {limit}");
            assert_eq!(interleave(backlogs, limit), (taken, last), "{name}");
        }
    }
}
