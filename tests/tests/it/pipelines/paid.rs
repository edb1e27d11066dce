//! A model server is asked once for each distinct question, however often the question comes.

use fleetline_tests::openai_stub::OpenAiStub;
use serde_json::Value;

use crate::cli::harness::{Place, distinct, sample, shared_data, sum};

fn outputs(rows: &[Value]) -> Vec<&Value> {
    rows.iter().map(|row| &row["output"]).collect()
}

fn paid_once(file: &str) {
    let stub = OpenAiStub::start();
    let place = Place::with_stub(&stub);
    let forecast = place.run(&["run", file, "--dry-run", "--json"]).exits(0).json();
    assert_eq!(stub.call_count(), 0, "a forecast calls nobody");

    let first = place.run(&["run", file, "--out", "first.jsonl"]).exits(0);
    let rows = place.rows("first.jsonl");
    let keys = distinct(&rows, "dedup_key");
    assert_eq!(stub.call_count(), keys, "{first:#?}");
    assert_eq!(forecast["forecast"]["paid_calls"], keys);
    assert_eq!(rows.iter().filter(|row| row["reused"] == false).count(), keys, "twins pay nothing");
    assert!(rows.iter().all(|row| row["analyser"] == "openai" && row["model"] == "gpt-4o-mini"));
    let usage: Vec<_> = rows.iter().map(|row| row["usage"].clone()).collect();
    assert_eq!(sum(&usage, "calls"), keys as u64);
    assert!(sum(&usage, "input_tokens") > 0 && sum(&usage, "output_tokens") > 0);

    place.run(&["run", file, "--out", "second.jsonl"]).exits(0);
    let again = place.rows("second.jsonl");
    assert_eq!(stub.call_count(), keys, "the second run pays nothing");
    assert!(again.iter().all(|row| row["reused"] == true && row["usage"]["calls"] == 0));
    assert_eq!(outputs(&again), outputs(&rows));
    assert_ne!(again[0]["run_id"], rows[0]["run_id"]);
}

#[test]
fn an_order() {
    if let Some(file) = shared_data("xml/order-book.xml") {
        paid_once(&file);
    }
}

#[test]
fn a_log() {
    if let Some(file) = shared_data("logs/Zookeeper_2k.log") {
        paid_once(&file);
    }
}

#[test]
fn the_samples() {
    paid_once(&sample("airline-order.xml"));
    paid_once(&sample("service.log"));
}

#[test]
fn twins_inside_a_document_pay_once() {
    let stub = OpenAiStub::start();
    let place = Place::with_stub(&stub);
    let item = |name: &str| format!("<item><name>{name}</name><price>1</price></item>");
    let items = [item("a"), item("b"), item("a"), item("a"), item("b")].concat();
    place.write("twins.xml", format!("<list>{items}</list>"));
    place.run(&["run", "twins.xml", "--out", "out.jsonl"]).exits(0);
    let rows = place.rows("out.jsonl");
    let keys = distinct(&rows, "dedup_key");
    assert!(keys <= rows.len() - 3, "{keys} keys of {} jobs", rows.len());
    assert_eq!(stub.call_count(), keys);
    let paths: Vec<_> = rows.iter().map(|row| row["source"]["path"].clone()).collect();
    for (row, path) in rows.iter().zip(&paths) {
        assert_eq!(&row["output"]["facts"][0]["path"], path, "a twin's facts are at the twin's place");
    }
}
