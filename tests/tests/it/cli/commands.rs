//! The commands that look.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use fleetline_tests::openai_stub::OpenAiStub;
use rustix::process::Signal;
use serde_json::json;

use super::harness::{Ended, Place, log_of, sample};

fn analysed() -> Place {
    let place = Place::new();
    place.run(&["run", &sample("airline-order.xml")]).exits(0);
    place.run(&["run", &sample("service.log")]).exits(0);
    place
}

#[test]
fn what_was_done_can_be_looked_at() {
    let place = analysed();
    let runs = place.run(&["status", "--json"]).exits(0).rows();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["pipeline"], "logs", "the newest comes first");
    place.run(&["status"]).exits(0).prints(&["airline-order.xml", "service.log", "finished"]);
    let order = runs[1]["id"].as_str().expect("an id");
    let jobs = place.run(&["jobs", order, "--json", "--limit", "0"]).exits(0).rows();
    assert_eq!(runs[1]["counts"]["jobs"], jobs.len());
    assert_eq!(place.run(&["jobs", order, "--json", "--limit", "2"]).exits(0).rows().len(), 2);
    assert_eq!(place.run(&["jobs", order, "--json", "--state", "dead"]).exits(0).rows().len(), 0);
    assert_eq!(place.run(&["results", order]).exits(0).rows().len(), jobs.len());
    let facts = place.run(&["facts", order, "--json", "--limit", "0"]).exits(0).rows();
    let name = facts[0]["node_type"].as_str().expect("a type");
    let of_type = place.run(&["facts", order, "--json", "--limit", "0", "--type", name]).exits(0).rows();
    assert_eq!(of_type.len(), facts.iter().filter(|fact| fact["node_type"] == name).count());
    place.run(&["facts", "latest"]).exits(0).prints(&["error type", "severity"]);
}

/// How many there are is said of all only, and only where some are left out.
#[test]
fn a_listing_says_whether_it_is_all() {
    let place = analysed();
    let order = place.run(&["status", "--json"]).exits(0).rows()[1].clone();
    let id = order["id"].as_str().expect("an id");
    let (jobs, cut) = (order["counts"]["jobs"].to_string(), "`--limit 0` lists all");
    let shown = |args: &[&str]| place.run(&[&["jobs", id], args].concat()).exits(0).stdout;
    assert!(shown(&["--limit", "1"]).ends_with(&format!("the first 1; {cut} {jobs}\n")));
    assert!(shown(&["--limit", "1", "--state", "succeeded"]).ends_with(&format!("the first 1; {cut}\n")));
    for limit in [jobs.as_str(), "0"] {
        for args in [&["--limit", limit][..], &["--limit", limit, "--state", "succeeded"]] {
            assert!(!shown(args).contains("the first"), "{args:?}");
        }
    }
    assert_eq!(place.run(&["status", "--json", "--limit", "0"]).exits(0).rows().len(), 2);
    assert_eq!(place.run(&["status", "--json", "--limit", "1"]).exits(0).rows().len(), 1);
}

#[test]
fn ids_may_be_given_by_either_end() {
    let place = analysed();
    let runs = place.run(&["status", "--json"]).exits(0).rows();
    let id = runs[1]["id"].as_str().expect("an id");
    for text in [id, &id[id.len() - 8..], &id[..id.len() - 1]] {
        let found = place.run(&["status", text, "--json"]).exits(0).json();
        assert_eq!(found["id"], id, "{text}");
    }
    let latest = place.run(&["status", "latest", "--json"]).exits(0).json();
    assert_eq!(latest["id"], runs[0]["id"]);
    let job = place.run(&["jobs", id, "--json", "--limit", "1"]).exits(0).rows()[0]["job_id"].clone();
    let job = job.as_str().expect("an id");
    for text in [job, &job[job.len() - 8..], &job[job.len() - 14..], &job[..job.len() - 1]] {
        let found = place.run(&["explain", &text.to_uppercase(), "--json"]).exits(0).json();
        assert_eq!(found["job_id"], job, "{text}");
    }
}

#[test]
fn an_unknown_id_is_told_with_advice() {
    let place = analysed();
    for args in
        [["jobs", "ffff-none"], ["results", "ffff-none"], ["facts", "ffff-none"], ["status", "ffff-none"]]
    {
        place.run(&args).exits(1).says(&["there is no run `ffff-none`", "fleetline status"]);
    }
    place
        .run(&["dead", "show", "ffff-none"])
        .exits(1)
        .says(&["there is no dead job `ffff-none`", "fleetline dead list"]);
    let empty = Place::new();
    empty.run(&["status"]).exits(1).says(&["fleetline.db"]);
    assert!(!empty.path("fleetline.db").exists(), "looking makes no database");
}

/// Commands that are shown can be copied.
#[test]
fn commands_that_are_shown_speak_of_the_same_database() {
    let place = Place::new();
    place.write("my settings.toml", "[run]\ntenant = 'acme'\n");
    place.write("a.log", log_of(1));
    let flags = ["--db", "my runs.db", "--config", "my settings.toml"];
    let run = |args: &[&str]| place.run(&[args, &flags].concat());
    let shown = "--db 'my runs.db' --config 'my settings.toml'";
    run(&["run", "a.log"]).exits(0).says(&[shown]);
    run(&["jobs", "ffff-none"]).exits(1).says(&[&format!("`fleetline status --limit 0 {shown}`")]);
    run(&["dead", "show", "ffff"]).exits(1).says(&[&format!("`fleetline dead list {shown}`")]);
}

#[test]
fn fingerprints_say_what_will_be_merged() {
    let place = Place::new();
    let file = "2024-05-01 10:00:00 ERROR took 15 ms\n2024-05-01 10:00:01 ERROR took 7 ms\n\
                java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n2024-05-01 10:00:02 WARN other\n";
    place.write("a.log", file);
    let rows = place.run(&["fingerprint", "a.log"]).exits(0).rows();
    let lines: Vec<_> =
        rows.iter().map(|row| (row["lines"]["first"].clone(), row["lines"]["last"].clone())).collect();
    assert_eq!(lines, [(1.into(), 1.into()), (2.into(), 4.into()), (5.into(), 5.into())]);
    assert!(rows.iter().all(|row| row["fingerprint"].is_string() && row["template"].is_string()));
    // As of `<(command)` too, which is a pipe with a name.
    for pipe in ["-", "/dev/stdin"] {
        let piped = place.run_fed(&["fingerprint", pipe], file.as_bytes()).exits(0).rows();
        assert_eq!(piped, rows);
    }
}

#[test]
fn a_document_may_come_from_a_pipe_with_a_name() {
    let place = Place::new();
    let document = format!("<orders>{}</orders>", "<order><item>1</item></order>".repeat(500));
    place.write("orders.xml", &document);
    let jobs = |ended: Ended| ended.exits(0).json()["forecast"].clone();
    let of_file = jobs(place.run(&["run", "orders.xml", "--dry-run", "--json"]));
    for pipe in ["-", "/dev/stdin"] {
        let command = ["run", pipe, "--pipeline", "discovery", "--dry-run", "--json"];
        assert_eq!(jobs(place.run_fed(&command, document.as_bytes())), of_file);
    }
}

#[test]
fn the_file_of_a_link_is_written_as_private_as_it_is() {
    let place = analysed();
    place.write("real.jsonl", "old");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(place.path("real.jsonl"), private).expect("it is ours");
    symlink("real.jsonl", place.path("link.jsonl")).expect("a link");
    place.run(&["run", &sample("service.log"), "--out", "link.jsonl"]).exits(0);
    assert!(place.path("link.jsonl").is_symlink());
    assert!(!place.rows("real.jsonl").is_empty());
    let mode = place.path("real.jsonl").metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_pipe_gets_the_results_and_stays_a_pipe() {
    let place = analysed();
    let made = Command::new("mkfifo").arg(place.path("pipe")).status().expect("it starts");
    assert!(made.success());
    let path = place.path("pipe");
    let reader = std::thread::spawn(move || std::fs::read_to_string(path).expect("it can be read"));
    place.run(&["run", &sample("service.log"), "--out", "pipe"]).exits(0);
    assert!(reader.join().expect("it ends").starts_with('{'));
    assert!(place.path("pipe").metadata().expect("it is there").file_type().is_fifo());
}

#[test]
fn the_configuration_is_checked_and_printed_without_secrets() {
    let place =
        Place::new().env("OPENAI_API_KEY", "sk-very-secret").env("FLEETLINE_WORKER__CONCURRENCY", "7");
    place.run(&["config", "check"]).exits(0).prints(&["fine"]);
    assert_eq!(place.run(&["config", "check", "--json"]).exits(0).json()["ok"], true);
    for args in [&["config", "print"][..], &["config", "print", "--json"]] {
        let printed = place.run(args).exits(0).prints(&["concurrency", "7"]);
        assert!(!format!("{printed:?}").contains("very-secret"), "{printed:#?}");
    }
    let default = place.run(&["config", "print", "--default"]).exits(0);
    place.write("copy.toml", &default.stdout);
    place.run(&["config", "check", "--config", "copy.toml"]).exits(0);
}

#[test]
fn completions_are_a_script() {
    Place::new().run(&["completions", "bash"]).exits(0).prints(&["_fleetline()", "complete -F"]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = analysed();
    let log = sample("service.log");
    let table: [&[&str]; 6] = [
        &["fingerprint", &log],
        &["results"],
        &["facts", "--json", "--limit", "0"],
        &["jobs", "--json", "--limit", "0"],
        &["completions", "bash"],
        &["config", "print", "--default"],
    ];
    for args in table {
        let mut child = place.command(args).spawn().expect("it starts");
        let mut first = String::new();
        BufReader::with_capacity(1, child.stdout.take().expect("piped"))
            .read_line(&mut first)
            .expect("a line");
        let ended = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {stderr}");
    }
}

#[test]
fn of_a_file_limits_and_backlog_are_shown() {
    let place = analysed();
    place.write("fleetline.toml", "[upstreams.openai]\nrequests = \"500/min\"\nconcurrency = 7\n");
    place.run(&["upstreams"]).exits(0).prints(&["openai", "?/500 requests/min", "?/7 concurrency"]);
    let view = place.run(&["upstreams", "--json"]).exits(0).json();
    assert_eq!(view["upstreams"][0]["limits"][0]["limit"], 500, "{view}");
    assert_eq!((&view["upstreams"][0]["is_known"], &view["without"]["due"]), (&false.into(), &0.into()));
}

/// What a tenant or a model may use of an upstream, and what waits for that.
#[test]
fn limits_within_an_upstreams_are_shown_and_explain() {
    let stub = OpenAiStub::start();
    let place = Place::with_stub(&stub);
    place.write("a.log", log_of(12));
    place.write(
        "fleetline.toml",
        "[upstreams.openai]\nper_tenant = { requests = '2/h' }\n\
         per_model = { 'gpt-4o-mini' = { tokens = '9M/min' }, 'gpt-4o' = { tokens = '1k/min' } }\n",
    );
    let run = place.start(&["run", "a.log"]);
    let recorded = "requests within the limit of tenant `default`";
    let deadline = Instant::now() + Duration::from_mins(1);
    let job = loop {
        let jobs = place.run(&["jobs", "--json", "--limit", "0"]).rows();
        if let Some(job) = jobs.into_iter().find(|job| job["error"] == recorded) {
            break job["job_id"].as_str().expect("an id").to_owned();
        }
        assert!(Instant::now() < deadline, "no job was put back");
    };
    run.signal(Signal::KILL);
    run.wait();
    let waits = "it waits for the limit of tenant `default` at upstream `openai`, 2 requests in 3600s";
    let own = "within openai: each tenant 2 requests/h; model gpt-4o-mini 9.0M tokens/min";
    let last = "recorded last: requests within the limit of tenant `default`";
    place.run(&["explain", &job]).exits(0).prints(&[waits, own, last]);
    let explained = place.run(&["explain", &job, "--json"]).exits(0).json();
    assert_eq!(
        (&explained["waits_for"][0]["what"], &explained["recorded"]),
        (&"quota".into(), &recorded.into())
    );
    assert!(explained["waits_for"][0]["for_ms"].is_u64(), "{explained}");
    let tenant = json!([{ "of": "requests", "limit": 2, "window_ms": 3_600_000 }]);
    assert_eq!(explained["per_tenant"], tenant, "{explained}");

    let all = "within openai: each tenant 2 requests/h; model gpt-4o 1.0k tokens/min; model gpt-4o-mini 9.0M";
    place.run(&["upstreams"]).exits(0).prints(&[all]);
    let openai = &place.run(&["upstreams", "--json"]).exits(0).json()["upstreams"][0];
    assert_eq!(openai["per_tenant"], tenant, "{openai}");
    assert_eq!(openai["per_model"]["gpt-4o"][0]["limit"], 1_000, "{openai}");
}

#[test]
fn a_job_of_a_file_is_explained() {
    let place = analysed();
    let job = place.run(&["jobs", "--json", "--limit", "1"]).exits(0).rows()[0]["job_id"].clone();
    let job = job.as_str().expect("an id");
    place.run(&["explain", &job[job.len() - 12..]]).exits(0).prints(&[job, "it has its result"]);
    assert_eq!(place.run(&["explain", job, "--json"]).exits(0).json()["state"], "succeeded");
    place.run(&["explain", "ffff-none"]).exits(1).says(&["there is no job `ffff-none`", "fleetline jobs"]);
}
