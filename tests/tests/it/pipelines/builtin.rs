//! The offline rules over real documents and logs.

use serde_json::Value;

use crate::cli::harness::{Place, sample, shared_data, sum};

/// What programs that read `--out` rely on.
const FIELDS: [&str; 13] = [
    "job_id",
    "run_id",
    "kind",
    "dedup_key",
    "state",
    "occurrences",
    "reused",
    "analyser",
    "model",
    "source",
    "output",
    "usage",
    "error",
];

fn assert_row(row: &Value) {
    let fields: Vec<_> = row.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = FIELDS.to_vec();
    expected.sort_unstable();
    let mut found = fields.clone();
    found.sort_unstable();
    assert_eq!(found, expected);
    let usage: Vec<_> = row["usage"].as_object().expect("usage").keys().map(String::as_str).collect();
    assert_eq!(usage.len(), 3, "{usage:?}");
    for field in ["calls", "input_tokens", "output_tokens"] {
        assert!(row["usage"][field].is_u64(), "{row}");
    }
    assert_eq!(row["state"], "succeeded");
    assert_eq!(row["analyser"], "builtin");
    assert!(row["output"].is_object() && row["error"].is_null(), "{row}");
}

/// Runs a file; returns the rows and the run.
fn run(file: &str) -> (Vec<Value>, Value) {
    let place = Place::new();
    place.run(&["run", file, "--out", "out.jsonl"]).exits(0);
    let rows = place.rows("out.jsonl");
    rows.iter().for_each(assert_row);
    assert_eq!(rows, place.run(&["results"]).exits(0).rows(), "the file holds what the database holds");
    let status = place.run(&["status", "latest", "--json"]).exits(0).json();
    assert_eq!(status["state"], "finished");
    assert_eq!(status["counts"]["jobs"], rows.len());
    assert_eq!(status["counts"]["succeeded"], rows.len());
    assert_eq!(place.run(&["jobs", "--json", "--limit", "0"]).exits(0).rows().len(), rows.len());
    (rows, status)
}

fn document(file: &str) {
    let (rows, status) = run(file);
    let notes = &status["notes"];
    assert_eq!(notes["elements_in_jobs"], notes["elements"]);
    assert_eq!((&notes["elements_lost"], &notes["elements_skipped"]), (&0.into(), &0.into()));
    assert!(notes["elements"].as_u64() > Some(0));
    assert!(rows.iter().all(|row| row["source"]["path"].as_str().is_some_and(|path| path.starts_with('/'))));
    assert!(rows.iter().all(|row| row["output"]["facts"].as_array().is_some_and(|facts| !facts.is_empty())));
}

fn log(file: &str) {
    let (rows, status) = run(file);
    let notes = &status["notes"];
    let count = |name: &str| notes[name].as_u64().unwrap_or_else(|| panic!("{name} in {notes}"));
    let content = std::fs::read(file).expect("a log");
    let expected = content.split_inclusive(|byte| *byte == b'\n').count();
    assert_eq!(count("lines"), expected as u64, "every line is counted");
    assert_eq!(
        count("lines"),
        count("event_lines") + count("joined_lines") + count("blank_lines") + count("page_lines"),
        "{notes}"
    );
    assert_eq!(sum(&rows, "occurrences") + count("below_level"), count("events"), "{notes}");
    assert_eq!(count("groups"), rows.len() as u64);
}

macro_rules! real_files {
    ($check:ident: $($name:ident $file:literal,)*) => {$(
        #[test]
        fn $name() {
            if let Some(file) = shared_data($file) {
                $check(&file);
            }
        }
    )*};
}

real_files! { document:
    an_order "xml/order-book.xml",
    an_air_shopping_answer "xml/air-shopping-1adt.xml",
}

real_files! { log:
    apache "logs/Apache_2k.log",
    hdfs "logs/HDFS_2k.log",
    hadoop "logs/Hadoop_2k.log",
    zookeeper "logs/Zookeeper_2k.log",
}

#[test]
fn the_samples() {
    document(&sample("airline-order.xml"));
    log(&sample("service.log"));
    log(&sample("events.jsonl"));
}

#[test]
fn standard_input_is_as_good_as_a_file() {
    for name in ["airline-order.xml", "service.log"] {
        let content = std::fs::read(sample(name)).expect("a sample");
        let place = Place::new();
        place.run_fed(&["run", "-", "--out", "piped.jsonl"], &content).exits(0);
        let piped = place.rows("piped.jsonl");
        let (rows, _) = run(&sample(name));
        let essence = |rows: &[Value]| -> Vec<_> {
            rows.iter().map(|row| (row["dedup_key"].clone(), row["occurrences"].clone())).collect()
        };
        assert_eq!(essence(&piped), essence(&rows), "{name}");
        assert!(piped.iter().all(|row| row["source"]["input"] == "-"));
    }
}
