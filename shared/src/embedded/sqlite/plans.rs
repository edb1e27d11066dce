//! Tests that the statements of every step use indexes: no scan, no sort, however long the
//! backlog is.

use rusqlite::Connection;

use super::{dispatch, due, lanes, query, redrive, runs, submit, sweep, twins};
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
        lanes::NEXT_LANE,
        lanes::NEXT_UPSTREAM,
        lanes::NOT_DUE,
        due::NEXT_KIND,
        due::TWIN_DUE,
        dispatch::TWINS_ELSEWHERE,
        sweep::LOST,
        twins::GIVE_TO_ATTACHED,
        twins::PARK_ATTACHED,
        twins::OLDEST_ATTACHED,
        twins::REATTACH,
        runs::OCCURRENCES_OF_RUN,
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

/// The index on `n` holds dead jobs only, so walking it all is right.
#[test]
fn dead_jobs_are_found_without_the_living() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("schema.sql")).unwrap();
    let plan = plan(&connection, redrive::ALL_DEAD);
    assert!(plan.iter().all(|step| step.contains("jobs_dead")), "{plan:#?}");
}
