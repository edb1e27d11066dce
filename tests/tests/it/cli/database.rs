//! The database's file: whose it is, and what is in it.

use std::os::unix::fs::symlink;

use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use rustix::process::Signal;

use super::harness::{Place, log_of, wait_for_calls};

#[test]
fn a_link_leads_to_the_same_database() {
    let stub = OpenAiStub::start();
    stub.script(vec![Behaviour::Hang; 8]);
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(3));
    // Also before there is a file.
    symlink("real.db", place.path("link.db")).expect("a link");
    let first = place.start(&["run", "a.log", "--db", "link.db"]);
    wait_for_calls(&stub, 1);
    place.run(&["run", "a.log", "--db", "real.db"]).exits(1).says(&["another fleetline", "real.db"]);
    assert!(!place.path("link.db.lock").exists());
    first.signal(Signal::KILL);
    first.wait();
}

#[test]
fn a_database_is_a_file() {
    let place = Place::new();
    place.write("a.log", log_of(1));
    for db in [":memory:", "file:x.db"] {
        place.run(&["run", "a.log", "--db", db]).exits(2).says(&["run.db", "give the path of a file"]);
    }
    let left: Vec<_> = std::fs::read_dir(place.path("")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "nothing is left behind: {left:?}");
}

/// Or what is meant to stay here goes to the fleet, and is paid for there.
#[test]
fn who_names_a_database_means_it() {
    let place = Place::new().env("FLEETLINE_RUN__FLEET", "true");
    place.write("a.log", log_of(2));
    place.run(&["run", "a.log", "--db", "own.db"]).exits(0);
    assert!(place.path("own.db").exists());
    place.run(&["status", "--db", "own.db"]).exits(0).prints(&["a.log", "finished"]);
    for command in [&["submit", "a.log", "--db", "own.db"][..], &["work", "--db", "own.db"]] {
        place.run(command).exits(2).says(&["--db", "leave it out"]);
    }
}

#[test]
fn after_a_run_the_file_alone_has_everything() {
    let place = Place::new();
    place.write("a.log", log_of(20));
    let rows = place.run(&["run", "a.log", "--json"]).exits(0).json()["run"]["counts"]["jobs"].clone();
    for beside in ["fleetline.db-wal", "fleetline.db-shm"] {
        assert!(!place.path(beside).exists(), "{beside} is left");
    }
    std::fs::copy(place.path("fleetline.db"), place.path("copy.db")).expect("a copy");
    let copied = place.run(&["results", "--db", "copy.db"]).exits(0).rows();
    assert_eq!(rows, copied.len());
    assert!(copied.iter().all(|row| row["state"] == "succeeded"), "{copied:?}");
}
