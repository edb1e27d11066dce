//! Tests that the statements of every step use indexes: no scan, no sort, however long the
//! backlog is.

use rusqlite::{Connection, Statement, StatementStatus, params};

use super::{dispatch, due, handed_out, lanes, query, redrive, runs, submit, sweep, turns, twins};
use crate::domain::{JobId, JobState, RunId};
use crate::ports::JobFilter;

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let values = vec![rusqlite::types::Value::Null; explain.parameter_count()];
    let steps = explain.query_map(rusqlite::params_from_iter(values), |row| row.get("detail")).unwrap();
    steps.collect::<Result<_, _>>().unwrap()
}

fn assert_uses_indexes(sql: &str) {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("schema.sql")).unwrap();
    let plan = plan(&connection, sql);
    for step in &plan {
        assert!(!step.contains("SCAN") && !step.contains("TEMP B-TREE"), "{sql}\n{plan:#?}");
    }
}

#[test]
fn no_step_of_a_job_scans_or_sorts() {
    let steps = [
        submit::KNOWN,
        submit::FRESH_RESULT,
        submit::LIVE_TWIN,
        lanes::DUE,
        lanes::NEXT_PRIORITY,
        lanes::NEXT_RUN,
        lanes::NEXT_UPSTREAM,
        lanes::NOT_DUE,
        due::NEXT_KIND,
        due::TWIN_DUE,
        dispatch::TWINS_ELSEWHERE,
        handed_out::HANDED_OUT,
        sweep::LOST,
        sweep::EXPIRED,
        twins::GIVE_TO_ATTACHED,
        twins::PARK_ATTACHED,
        twins::PARK_LATE,
        twins::OLDEST_ATTACHED,
        twins::REATTACH,
        runs::OCCURRENCES_OF_RUN,
        turns::SEVERAL,
        turns::CLOCK,
        turns::REST,
        turns::FORGET,
    ];
    for sql in steps {
        assert_uses_indexes(sql);
    }
}

#[test]
fn a_page_of_jobs_is_found_by_index() {
    let run = Some(RunId::new());
    let filters = [
        JobFilter::default(),
        JobFilter { run, ..JobFilter::default() },
        JobFilter { job: Some(JobId::new()), ..JobFilter::default() },
        JobFilter { state: Some(JobState::Dead), ..JobFilter::default() },
        JobFilter { run, state: Some(JobState::Dead), ..JobFilter::default() },
    ];
    for filter in filters {
        assert_uses_indexes(&query::listing(&filter));
    }
}

/// A plan that names an index may still walk it. So the steps of the statements are counted that
/// look past a backlog of thousands.
#[test]
fn finding_the_next_lane_does_not_walk_the_backlog() {
    let connection = backlog(5000);
    let everything = i64::MAX;
    let steps = |sql: &str, run: &dyn Fn(&mut Statement<'_>) -> rusqlite::Result<bool>| {
        let mut statement = connection.prepare(sql).unwrap();
        run(&mut statement).unwrap();
        statement.get_status(StatementStatus::VmStep)
    };
    let walk = steps("SELECT 1 FROM jobs WHERE occurrences = 2", &|walk| walk.exists([]));
    assert!(walk > 5000, "a walk counts {walk} steps");
    let look = |sql: &str, run: &dyn Fn(&mut Statement<'_>) -> rusqlite::Result<bool>| {
        let steps = steps(sql, run);
        assert!(steps < 100, "{steps} steps: {sql}");
    };
    look(lanes::NEXT_UPSTREAM, &|next| next.exists(params!["k", ""]));
    look(lanes::NEXT_RUN, &|next| next.exists(params!["k", "", 1]));
    look(lanes::NEXT_PRIORITY, &|next| next.exists(params!["k", "", 1, 0]));
    look(lanes::DUE, &|next| next.exists(params!["k", "", 1, 0, everything, 1]));
    look(lanes::NOT_DUE, &|next| next.exists(params!["k", "", 1, 0, 0]));
    look(due::NEXT_KIND, &|next| next.exists(params!["k"]));
    look(submit::LIVE_TWIN, &|next| next.exists(params!["t", "k", [0_u8; 32]]));
    look(sweep::LOST, &|next| next.exists(params![everything, 1, 10]));
    look(sweep::EXPIRED, &|next| next.exists(params![everything, 1, 10]));
}

/// One run's ready jobs, all due at time 0.
fn backlog(jobs: i64) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("schema.sql")).unwrap();
    connection.pragma_update(None, "foreign_keys", "OFF").unwrap();
    let columns = "id, run, tenant, kind, dedup_key, priority, upstream, est_input, est_output, occurrences, \
                   state, max_attempts, run_at, created_at";
    let mut insert = connection
        .prepare(&format!(
            "INSERT INTO jobs ({columns}) VALUES (?1, 1, 't', 'k', ?1, 0, '', 0, 0, 1, 0, 3, 0, 0)"
        ))
        .unwrap();
    for n in 0..jobs {
        insert.execute([n.to_be_bytes()]).unwrap();
    }
    drop(insert);
    connection
}

/// The index on `n` holds dead jobs only, so walking it all is right.
#[test]
fn dead_jobs_are_found_without_the_living() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("schema.sql")).unwrap();
    let plan = plan(&connection, redrive::ALL_DEAD);
    assert!(plan.iter().all(|step| step.contains("jobs_dead")), "{plan:#?}");
}
