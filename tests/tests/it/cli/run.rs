//! `run`: forecasts, limits, and who may use a database.

use std::time::Duration;

use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use rustix::process::Signal;

use super::harness::{Place, log_of, sample, wait_for_calls};

#[test]
fn a_dry_run_records_nothing() {
    let stub = OpenAiStub::start();
    let place = Place::with_stub(&stub);
    let ended = place.run(&["run", &sample("airline-order.xml"), "--dry-run"]).exits(0);
    ended.prints(&["paid calls", "input tokens", "output tokens"]);
    assert_eq!(stub.call_count(), 0);
    assert!(!place.path("fleetline.db").exists());
}

#[test]
fn a_dry_run_knows_what_is_there() {
    let stub = OpenAiStub::start();
    let place = Place::with_stub(&stub);
    place.write("half.log", log_of(4));
    place.write("whole.log", log_of(10));
    let forecast = |name: &str| place.run(&["run", name, "--dry-run", "--json"]).exits(0).json();
    place.run(&["run", "half.log"]).exits(0);
    let whole = forecast("whole.log");
    let new = whole["forecast"]["paid_calls"].as_u64().expect("a number");
    assert_eq!(whole["forecast"]["reused"].as_u64().expect("a number"), stub.call_count() as u64);
    let before = stub.call_count() as u64;
    place.run(&["run", "whole.log"]).exits(0);
    assert_eq!(stub.call_count() as u64 - before, new, "the forecast is what is paid");
    assert_eq!(forecast("whole.log")["forecast"]["paid_calls"], 0);
}

#[test]
fn one_at_a_time() {
    let stub = OpenAiStub::with_latency(Duration::from_millis(20));
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(8));
    place.run(&["run", "a.log", "--sequential"]).exits(0);
    assert!(stub.call_count() > 3);
    assert_eq!(stub.most_in_flight(), 1);
}

#[test]
fn so_many_at_a_time() {
    let stub = OpenAiStub::with_latency(Duration::from_millis(150));
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(12));
    place.run(&["run", "a.log", "--concurrency", "3"]).exits(0);
    assert_eq!(stub.most_in_flight(), 3);
}

#[test]
fn a_database_belongs_to_one_process() {
    let stub = OpenAiStub::start();
    stub.script(vec![Behaviour::Hang; 8]);
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(3));
    let first = place.start(&["run", "a.log"]);
    wait_for_calls(&stub, 1);
    place.run(&["run", "a.log"]).exits(1).says(&["error:", "fleetline.db"]);
    place.run(&["status"]).exits(0).prints(&["a.log"]);
    first.signal(Signal::KILL);
    first.wait();
}

#[test]
fn the_pipeline_is_guessed_or_told() {
    let place = Place::new();
    place.write("order.dat", "<list><a>1</a><a>2</a></list>");
    place.write("some.txt", "2024-01-01 10:00:00 ERROR it broke\n");
    for (file, told, pipeline) in
        [("order.dat", None, "discovery"), ("some.txt", None, "logs"), ("order.dat", Some("logs"), "logs")]
    {
        let mut args = vec!["run", file, "--json"];
        args.extend(told.map(|_| "--pipeline"));
        args.extend(told);
        assert_eq!(place.run(&args).exits(0).json()["run"]["pipeline"], pipeline, "{args:?}");
    }
}

/// A breaker that opens leaves a run with nothing to do: it ends, keeps its jobs, and goes on when told to.
#[test]
fn a_run_gives_up_on_a_server_that_is_down() {
    let stub = OpenAiStub::start();
    // So many failures open the breaker, which is open for longer than the run is patient.
    stub.script(vec![Behaviour::status(503); 3]);
    let place = Place::with_stub(&stub)
        .env("FLEETLINE_RUN__GIVE_UP_AFTER", "100ms")
        .env("FLEETLINE_UPSTREAMS__OPENAI__BREAKER__FOR", "3s")
        .env("FLEETLINE_UPSTREAMS__OPENAI__BREAKER__FOR_AT_MOST", "3s");
    place.write("a.log", log_of(12));
    let ended = place.run(&["run", "a.log", "--sequential"]).exits(4);
    assert_eq!(stub.call_count(), 3);
    let (_, command) = ended.stderr.split_once("fleetline run --resume ").expect("it says how to go on");
    let run = command.split_whitespace().next().expect("an id");
    assert!(ended.stderr.contains("openai fails"), "{ended:?}");
    assert!(ended.stderr.contains("the last error: ") && ended.stderr.contains("503"), "{ended:?}");
    place.run(&["run", "--resume", run]).exits(0);
    let rows = place.run(&["results", run]).exits(0).rows();
    assert!(rows.len() > 3 && rows.iter().all(|row| row["state"] == "succeeded"), "{rows:?}");
}
