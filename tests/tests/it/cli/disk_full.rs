//! A disk that runs full in the middle: the run stops with a message, and goes on when there is room.

use std::path::Path;
use std::process::Command;

use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use serde_json::json;

use super::harness::{Place, distinct, log_of};

const CONCURRENCY: usize = 4;

/// A small file system in memory; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        std::fs::create_dir(path).expect("a folder");
        mount(path, "size=2m").then_some(Self(path))
    }

    fn grow(&self) {
        assert!(mount(self.0, "remount,size=64m"), "it grows");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} is unmounted", self.0.display());
    }
}

fn mount(path: &Path, options: &str) -> bool {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).status();
    status.is_ok_and(|status| status.success())
}

/// Answers of 60 KB, so that some hundreds fill the disk (of each, 4,000 characters are kept).
fn long_answer() -> Behaviour {
    let answer = json!({
        "error_type": "long-story", "severity": "low", "create_ticket": false, "title": "Long",
        "description": "so it went on and on. ".repeat(2_700), "confidence": 0.5,
    });
    Behaviour::Content(answer.to_string())
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    let stub = OpenAiStub::start();
    stub.script(vec![long_answer(); 400]);
    let place = Place::with_stub(&stub).env("FLEETLINE_WORKER__LEDGER_PATIENCE", "2s");
    let disk = place.path("disk");
    let Some(disk) = SmallDisk::mount(&disk) else {
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    };
    place.write("a.log", log_of(400));
    let concurrency = CONCURRENCY.to_string();
    let command = ["run", "a.log", "--db", "disk/x.db", "--concurrency", &concurrency, "--out", "out.jsonl"];
    place.run(&command).exits(1).says(&["error:", "full"]);
    let lost = stub.call_count();
    assert!(lost > CONCURRENCY, "the disk was full in the middle");

    disk.grow();
    place.run(&command).exits(0);
    let rows = place.rows("out.jsonl");
    let keys = distinct(&rows, "dedup_key");
    assert!(rows.iter().all(|row| row["state"] == "succeeded"));
    assert_eq!(rows.iter().filter(|row| row["reused"] == false).count(), keys, "one result per key");
    assert!(stub.call_count() <= keys + CONCURRENCY, "{} calls for {keys} keys", stub.call_count());
}
