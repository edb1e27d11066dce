//! What is true afterwards, read from the file and from the stub's book, not from the program.

use std::collections::HashMap;

use rusqlite::Connection;

use super::world::World;

#[derive(Debug)]
pub(super) struct Evidence {
    /// Rows of runs: a second one if the first was finished when the process was killed.
    pub runs: u64,
    /// Rows of jobs.
    pub jobs: u64,
    /// Jobs without a result.
    pub without_result: u64,
    /// Jobs that are not in a terminal state.
    pub unfinished: u64,
    /// Distinct dedup keys.
    pub keys: u64,
    /// Rows of results.
    pub results: u64,
    /// Runs that do not say they are finished, or whose counters are not the rows' counts.
    pub wrong_runs: u64,
    /// Calls that the stub got.
    pub calls: u64,
    /// The most calls it got for one request.
    pub most_calls_of_a_key: u64,
}

impl Evidence {
    pub(super) fn read(world: &World) -> Self {
        let file = Connection::open(world.db()).expect("a database");
        let count = |sql: &str| {
            file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("the tables are there").cast_unsigned()
        };
        let calls = world.stub.calls();
        let mut by_content: HashMap<&str, u64> = HashMap::new();
        for call in &calls {
            *by_content.entry(&call.content_hash).or_default() += 1;
        }
        Self {
            runs: count("SELECT count(*) FROM runs"),
            jobs: count("SELECT count(*) FROM jobs"),
            without_result: count("SELECT count(*) FROM jobs WHERE result IS NULL"),
            unfinished: count("SELECT count(*) FROM jobs WHERE state NOT IN (3, 4, 5)"),
            keys: count("SELECT count(DISTINCT dedup_key) FROM jobs"),
            results: count("SELECT count(*) FROM results"),
            wrong_runs: count(
                "SELECT count(*) FROM runs WHERE state <> 2 OR succeeded <> jobs
                   OR jobs <> (SELECT count(*) FROM jobs WHERE run = runs.n)
                   OR reused <> (SELECT count(*) FROM jobs WHERE run = runs.n AND reused)",
            ),
            calls: calls.len() as u64,
            most_calls_of_a_key: by_content.into_values().max().unwrap_or(0),
        }
    }

    /// Every job of the input is there, each has one terminal state and its key's one result.
    pub(super) fn is_complete(&self, world: &World) {
        assert_eq!(self.jobs, expected_jobs(world) * self.runs, "{self:?}");
        assert_eq!((self.without_result, self.unfinished, self.wrong_runs), (0, 0, 0), "{self:?}");
        assert_eq!(self.results, self.keys, "one result per key: {self:?}");
        assert!(self.calls >= self.keys, "no result without a call: {self:?}");
    }
}

/// What the splitter says, with nothing killed and nothing recorded.
fn expected_jobs(world: &World) -> u64 {
    let dry = world.run(&["--dry-run", "--json"], None);
    let said: serde_json::Value = serde_json::from_slice(&dry.stdout).expect("JSON");
    said["forecast"]["jobs"].as_u64().expect("a number")
}
