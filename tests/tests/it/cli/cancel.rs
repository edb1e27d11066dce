//! `cancel` of what a database file holds.

use fleetline_tests::openai_stub::OpenAiStub;

use super::harness::Place;
use super::resume::killed;

#[test]
fn an_interrupted_run_is_cancelled() {
    let stub = OpenAiStub::start();
    let place = killed(&stub);
    let ended = place.run(&["cancel", "latest", "--json"]).exits(0).json();
    assert!(!place.path("fleetline.db-wal").exists(), "the file alone has everything");
    let status = || place.run(&["status", "latest", "--json"]).exits(0).json();
    let cancelled = status();
    assert_eq!((&cancelled["counts"]["cancelled"], &ended["under_way"]), (&ended["cancelled"], &0.into()));
    assert_ne!(ended["cancelled"], 0, "{ended}");
    assert_eq!((&cancelled["state"], cancelled["cancelled_at_ms"].is_i64()), (&"finished".into(), true));
    place.run(&["status"]).exits(0).prints(&["cancelled"]);
    place.run(&["run", "a.log"]).exits(0);
    assert_ne!(status()["id"], cancelled["id"], "the same input begins another run");
}

#[test]
fn of_an_interrupted_run_one_job_is_cancelled() {
    let stub = OpenAiStub::start();
    let place = killed(&stub);
    let job = place.run(&["jobs", "--json", "--limit", "1"]).exits(0).rows()[0]["job_id"].clone();
    let job = job.as_str().expect("an id");
    place.run(&["cancel", "latest", "--job", job]).exits(0).prints(&["a job of run", "1 cancelled"]);
    place.run(&["run", "--resume", "latest"]).exits(3).prints(&["1 cancelled"]);
}

#[test]
fn what_is_not_there_cannot_be_cancelled() {
    let place = Place::new();
    place.run(&["cancel", "latest"]).exits(1).says(&["fleetline.db"]);
    assert!(!place.path("fleetline.db").exists(), "no database is made");
}
