//! `run --resume`: with the analysers and the input that there are.

use std::io::Write;
use std::process::Stdio;

use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use rustix::process::Signal;

use super::harness::{Place, log_of, wait_for_calls};

/// A place with a run that was killed during its calls.
pub(super) fn killed(stub: &OpenAiStub) -> Place {
    stub.script(vec![Behaviour::Hang; 2]);
    let place = Place::with_stub(stub);
    place.write("a.log", log_of(12));
    let doomed = place.start(&["run", "a.log", "--concurrency", "2"]);
    wait_for_calls(stub, 2);
    doomed.signal(Signal::KILL);
    doomed.wait();
    place
}

#[test]
fn jobs_do_not_die_for_want_of_their_analyser() {
    let stub = OpenAiStub::start();
    let place = killed(&stub).env("OPENAI_MODEL", "other");
    let before = place.run(&["status", "latest", "--json"]).exits(0).json();
    let resume = ["run", "--resume", "latest"];
    place.run(&resume).exits(2).says(&["the jobs ask for", "model other", "set OPENAI_MODEL=gpt-4o-mini"]);
    let place = place.env("OPENAI_MODEL", "").env("OPENAI_API_KEY", "").env("OPENAI_BASE_URL", "");
    let wants = "the analyser openai needs a key or a base URL: set OPENAI_API_KEY or OPENAI_BASE_URL";
    place.run(&resume).exits(2).says(&[wants]);
    place.run(&["run", "a.log", "--analyser", "openai"]).exits(2).says(&[wants]);
    let after = place.run(&["status", "latest", "--json"]).exits(0).json();
    assert_eq!(after, before, "no job was touched");
    let place = place.env("OPENAI_BASE_URL", &stub.base_url()).env("OPENAI_API_KEY", "sk-very-secret");
    place.run(&["run", "a.log"]).exits(0);
}

/// The command that is shown can be copied.
#[test]
fn what_a_job_of_a_file_waits_for_is_shown_with_its_database() {
    let stub = OpenAiStub::start();
    let place = killed(&stub);
    let job = place.run(&["jobs", "--json", "--limit", "1"]).exits(0).rows()[0].clone();
    let [job, run] = ["job_id", "run_id"].map(|id| job[id].as_str().expect("an id").to_owned());
    let resume = format!("`fleetline run --resume {run} --db ./fleetline.db`");
    place.run(&["explain", &job, "--db", "./fleetline.db"]).exits(0).prints(&[&resume]);
}

#[test]
fn dead_jobs_are_not_sent_again_without_their_analyser() {
    let stub = OpenAiStub::start();
    stub.script([Behaviour::status(400), Behaviour::status(400)]);
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(5));
    place.run(&["run", "a.log"]).exits(3);
    let place = place.env("OPENAI_MODEL", "other");
    let job = place.run(&["dead", "list", "--json"]).exits(0).rows()[0]["job_id"].clone();
    for which in [&["--all"][..], &["--run", "latest"], &[job.as_str().expect("an id")]] {
        let command = [&["dead", "redrive"], which].concat();
        place.run(&command).exits(2).says(&["set OPENAI_MODEL=gpt-4o-mini", "nothing was done"]);
    }
    assert_eq!(place.run(&["status", "--json"]).exits(0).rows().len(), 1, "no run was made");
    place.env("OPENAI_MODEL", "").run(&["dead", "redrive", "--all"]).exits(0);
}

#[test]
fn the_run_of_a_file_is_left_to_who_reads_the_file() {
    let place = Place::new().env("FLEETLINE_KILL_AT", "submit.after_commit");
    place.write("a.log", log_of(400));
    assert_eq!(place.run(&["run", "a.log"]).code, None, "it is killed before it has read all");
    let place = place.env("FLEETLINE_KILL_AT", "");
    place.run(&["status"]).exits(0).prints(&["open", "an open run has not read it to its end"]);
    let refused = ["has not read its input to its end", "`fleetline run a.log --db ./fleetline.db`"];
    place.run(&["run", "--resume", "latest", "--db", "./fleetline.db"]).exits(2).says(&refused);
    let run = place.run(&["run", "a.log", "--json"]).exits(0).says(&["resuming"]).json()["run"].clone();
    assert_eq!(run["counts"]["occurrences"], 400);
}

#[test]
fn what_came_from_a_pipe_is_no_whole() {
    let place = Place::new();
    let mut command = place.command(&["run", "-"]);
    let command = command.stdin(Stdio::piped()).env("FLEETLINE_KILL_AT", "submit.after_commit");
    let mut child = command.spawn().expect("it starts");
    // It may be gone before it has read all.
    let _ = child.stdin.take().expect("piped").write_all(log_of(400).as_bytes());
    assert_eq!(child.wait().expect("it ends").code(), None, "it is killed before it has read all");
    for _ in 0..2 {
        let ended = place.run(&["run", "--resume", "latest", "--json"]).exits(1);
        let unread = "input not read to its end";
        let run = ended.says(&["standard input", unread]).json()["run"].clone();
        assert!(run["notes"]["error"].as_str().is_some_and(|error| error.contains(unread)), "{run}");
        assert_eq!(run["state"], "finished");
    }
}
