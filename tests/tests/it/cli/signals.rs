//! Ctrl-C and SIGTERM: what runs is finished and recorded; a second one leaves at once.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use rustix::process::Signal;

use super::harness::{Place, distinct, log_of, wait_for_calls};

fn drains_and_resumes(signal: Signal) {
    let stub = OpenAiStub::with_latency(Duration::from_millis(300));
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(12));
    place.write("out.jsonl", "of an earlier run\n");
    let command = ["run", "a.log", "--concurrency", "2", "--out", "out.jsonl"];
    let started = place.start(&command);
    wait_for_calls(&stub, 3);
    started.signal(signal);
    let not_written = ["--out out.jsonl: not written", "fleetline results"];
    started.wait().exits(130).says(&["interrupted"]).says(&not_written);
    let out = std::fs::read_to_string(place.path("out.jsonl")).expect("it is there");
    assert_eq!(out, "of an earlier run\n", "only complete rows take its place");
    let paid = stub.call_count();
    let status = place.run(&["status", "latest", "--json"]).exits(0).json();
    assert_eq!(status["counts"]["succeeded"], paid, "every paid call is recorded");
    let first = place.run(&["results"]).exits(0).rows();

    place.run(&command).exits(0).says(&["resuming"]);
    let rows = place.rows("out.jsonl");
    let keys = distinct(&rows, "dedup_key");
    assert!(paid < keys, "the signal came in the middle");
    assert_eq!(stub.call_count(), keys, "nothing is paid twice");
    assert!(rows.iter().all(|row| row["state"] == "succeeded"));
    assert_eq!(rows[0]["run_id"], first[0]["run_id"], "it is the same run");
}

#[test]
fn ctrl_c_drains() {
    drains_and_resumes(Signal::INT);
}

#[test]
fn sigterm_drains() {
    drains_and_resumes(Signal::TERM);
}

#[test]
fn a_second_ctrl_c_leaves_at_once() {
    use std::io::{BufRead, BufReader};
    let stub = OpenAiStub::start();
    stub.script(vec![Behaviour::Hang; 20]);
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(4));
    let mut child = place.command(&["run", "a.log", "--out", "out.jsonl"]).spawn().expect("it starts");
    wait_for_calls(&stub, 1);
    let pid = rustix::process::Pid::from_child(&child);
    let interrupt = || rustix::process::kill_process(pid, Signal::INT).expect("it still runs");
    interrupt();
    let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
    assert!(said.any(|line| line.expect("text").contains("Ctrl-C again")), "it says how to leave");
    interrupt();
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let left: Vec<_> = std::fs::read_dir(place.path(""))
        .expect("a folder")
        .map(|file| file.expect("a file").file_name())
        .collect();
    let strange = |name: &&std::ffi::OsString| {
        !["a.log", "fleetline.db"].iter().any(|known| name.to_string_lossy().starts_with(known))
    };
    assert_eq!(left.iter().find(strange), None, "nothing half done is left behind");
}

/// A log from a pipe that stays open cannot be read again.
#[test]
fn an_interrupted_log_from_a_pipe_goes_on_with_what_was_accepted() {
    let stub = OpenAiStub::start();
    stub.script(vec![Behaviour::Hang; 2]);
    let place = Place::with_stub(&stub).env("FLEETLINE_WORKER__GRACE", "0s");
    let made = Command::new("mkfifo").arg(place.path("pipe")).status().expect("it starts");
    assert!(made.success());
    let started = place.start(&["run", "pipe", "--pipeline", "logs"]);
    let mut pipe = std::fs::File::options().write(true).open(place.path("pipe")).expect("a pipe");
    pipe.write_all(log_of(200).as_bytes()).expect("it is read");
    wait_for_calls(&stub, 20);
    started.signal(Signal::INT);
    let status =
        started.wait().exits(130).says(&["`fleetline run --resume ", "the rest of its input"]).stderr;
    assert!(!status.contains("the same command"), "{status}");
    assert!(!place.path("fleetline.db-wal").exists(), "the file alone has everything, whoever still reads");
    let accepted = place.run(&["status", "latest", "--json"]).exits(0).json()["counts"]["jobs"].clone();
    place.run(&["run", "--resume", "latest"]).exits(1).says(&["pipe: input not read to its end"]);
    let counts = &place.run(&["status", "latest", "--json"]).exits(0).json()["counts"];
    assert_eq!((&counts["succeeded"], &counts["jobs"]), (&accepted, &accepted));
}
