//! `run --resume`: with the analysers that there are.

use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use rustix::process::Signal;

use super::harness::{Place, log_of, wait_for_calls};

/// A place with a run that was killed during its calls.
fn killed(stub: &OpenAiStub) -> Place {
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
