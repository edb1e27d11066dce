//! Dead jobs: seen, shown, and sent again.

use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};

use super::harness::{Place, log_of};

#[test]
fn dead_jobs_are_listed_shown_and_sent_again() {
    let stub = OpenAiStub::start();
    stub.script([Behaviour::status(400), Behaviour::status(400)]);
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(5));
    place.run(&["run", "a.log", "--out", "out.jsonl"]).exits(3);
    let rows = place.rows("out.jsonl");
    let dead: Vec<_> = rows.iter().filter(|row| row["state"] == "dead").collect();
    assert_eq!(dead.len(), 2);
    assert!(
        dead.iter().all(|row| row["error"].as_str().is_some_and(|error| error.contains("400"))),
        "{dead:?}"
    );
    assert!(rows.iter().filter(|row| row["state"] == "succeeded").count() >= 1);

    place.run(&["dead"]).exits(0).prints(&["permanent", "fleetline dead redrive"]);
    let listed = place.run(&["dead", "list", "--json"]).exits(0).rows();
    assert_eq!(listed.len(), 2);
    let id = listed[0]["job_id"].as_str().expect("an id");
    let shown = place.run(&["dead", "show", &id[id.len() - 8..]]).exits(0).json();
    assert_eq!(shown["job"]["job_id"], id);
    assert!(!shown["detail"].is_null());

    assert!(listed.iter().all(|row| row["sent_again_in"].is_null()), "{listed:?}");
    place.run(&["dead", "redrive", id]).exits(0);
    assert!(!place.path("fleetline.db-wal").exists(), "the file alone has everything");
    let again = place.run(&["status", "latest", "--json"]).exits(0).rows().remove(0);
    let run = again["id"].as_str().expect("an id");
    let listed = place.run(&["dead", "list", "--json"]).exits(0).rows();
    assert_eq!((&listed[0]["sent_again_in"], listed[1].get("sent_again_in")), (&again["id"], None));
    place.run(&["dead", "list"]).exits(0).prints(&["sent again in", &run[run.len() - 8..]]);
    let shown = place.run(&["dead", "show", id]).exits(0).json();
    assert_eq!(shown["job"]["sent_again_in"], again["id"]);
    place.run(&["dead", "redrive", "--all"]).exits(0);
    assert_eq!(stub.call_count(), rows.len() + 2, "each dead job was sent once more");
    assert_eq!(place.run(&["dead", "list", "--json"]).exits(0).rows().len(), 2, "the dead rows stay");
    place.run(&["dead", "redrive", "--all"]).exits(0).prints(&["nothing to redrive"]);
    assert_eq!(stub.call_count(), rows.len() + 2);
    place.run(&["run", "a.log"]).exits(0);
    assert_eq!(stub.call_count(), rows.len() + 2, "what was redriven is a result like any other");
}

/// `dead list` shows those of all tenants, so all of them can be sent again; each stays with its tenant.
#[test]
fn dead_jobs_of_any_tenant_are_sent_again() {
    let stub = OpenAiStub::start();
    stub.script(vec![Behaviour::status(400); 3]);
    let place = Place::with_stub(&stub);
    for tenant in ["acme", "beta", "default"] {
        place.write(&format!("{tenant}.toml"), format!("[run]\ntenant = '{tenant}'\n"));
        place.write("a.log", log_of(1));
        place.run(&["run", "a.log", "--config", &format!("{tenant}.toml")]).exits(3);
    }
    let listed = place.run(&["dead", "list", "--json"]).exits(0).rows();
    let first = listed[0]["run_id"].as_str().expect("an id");
    place.run(&["dead", "redrive", "--run", first]).exits(0);
    let job = listed[1]["job_id"].as_str().expect("an id");
    place.run(&["dead", "redrive", job]).exits(0);
    place.run(&["dead", "redrive", "--all"]).exits(0);
    assert_eq!(stub.call_count(), 6, "each once more");
    let runs = place.run(&["status", "--json"]).exits(0).rows();
    let tenants: Vec<_> = runs.iter().map(|run| run["tenant"].as_str().expect("a name")).collect();
    assert_eq!(tenants, ["default", "beta", "acme", "default", "beta", "acme"]);
    place.run(&["dead", "redrive", "--all"]).exits(0).prints(&["nothing to redrive"]);
}
