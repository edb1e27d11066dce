//! Files that become runs.

use fleetline_shared::domain::{NewRun, RunId};
use fleetline_shared::ports::{CancelJobs, CancelLedger, Page, QueryLedger, SubmitLedger};
use serde_json::{Value, json};

use super::fixture::{Site, problem};
use crate::cli::harness::sample;

pub(super) const LOG: &str = "2024-01-01 10:00:00 ERROR [main] org.acme.Api: Order 5 failed\n\
    2024-01-01 10:00:01 ERROR [main] org.acme.Db: no connection\n\
    2024-01-01 10:00:02 ERROR [main] org.acme.Api: Order 6 failed\n";

/// A log that is longer than what its reader looks at before the first job. 100,000 bytes or more.
pub(super) fn long_log() -> String {
    LOG.repeat(100_000 / LOG.len() + 1)
}

/// The names in the spool folder.
pub(super) fn spooled(site: &Site) -> usize {
    std::fs::read_dir(site.folder.path().join("spool")).expect("the folder").count()
}

#[tokio::test]
async fn a_log_becomes_a_run() {
    let site = Site::start().await;
    let run = site.upload("logs&input=app.log", LOG).await;
    assert_eq!(
        (&run["pipeline"], &run["input"], &run["state"]),
        (&json!("logs"), &json!("app.log"), &json!("running"))
    );
    assert_eq!((&run["counts"]["jobs"], &run["counts"]["occurrences"]), (&json!(2), &json!(3)));
    assert_eq!((&run["notes"]["lines"], &run["repeated"]), (&json!(3), &json!(false)));
    assert_eq!(site.work(10).await, 2);
    let run = site.json(&format!("/v1/runs/{}", run["id"].as_str().expect("an id"))).await;
    assert_eq!(run["state"], "finished");
}

#[tokio::test]
async fn a_document_becomes_a_run_and_leaves_no_file() {
    let site = Site::start().await;
    let document = std::fs::read(sample("airline-order.xml")).expect("the sample");
    let run = site.upload("discovery", document).await;
    let notes = &run["notes"];
    assert_eq!((&notes["elements_in_jobs"], &run["counts"]["jobs"]), (&notes["elements"], &notes["jobs"]));
    assert_eq!(spooled(&site), 0);
}

#[tokio::test]
async fn a_form_brings_its_first_file() {
    let site = Site::start().await;
    let form = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\nno file\r\n\
         --XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"app.log\"\r\n\r\n{}\r\n\
         --XX\r\nContent-Disposition: form-data; name=\"more\"\r\n\r\nx\r\n--XX--\r\n",
        long_log()
    );
    let send = |form: String| {
        let post = site.post("/v1/runs?pipeline=logs&input=ignored");
        post.header("content-type", "multipart/form-data; boundary=XX").body(form)
    };
    let answer = send(form.clone()).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let run: Value = answer.json().await.expect("JSON");
    assert_eq!((&run["input"], &run["counts"]["jobs"]), (&json!("app.log"), &json!(2)));

    let said = problem(
        send("--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--XX--\r\n".into()),
        400,
    )
    .await;
    assert!(said["detail"].as_str().expect("a text").contains("no file"), "{said}");
    let cut = problem(send(form[..form.len() - 40].to_owned()), 400).await;
    let cancelled = cut["cancelled_run"].as_str().expect("a run was begun");
    assert_eq!(site.json(&format!("/v1/runs/{cancelled}")).await["counts"]["cancelled"], 2);
    let without = site.post("/v1/runs?pipeline=logs").header("content-type", "multipart/form-data").body("x");
    assert!(problem(without, 400).await["detail"].as_str().expect("a text").contains("boundary"));
}

#[tokio::test]
async fn the_same_file_again_is_the_same_run() {
    let site = Site::start().await;
    for (pipeline, body, other) in [("logs", LOG, "ERROR x"), ("discovery", "<a><b/></a>", "<a/>")] {
        let send = |body: &'static str| {
            site.post(&format!("/v1/runs?pipeline={pipeline}")).header("idempotency-key", pipeline).body(body)
        };
        let first: Value = send(body).send().await.expect("an answer").json().await.expect("JSON");
        while site.work(10).await > 0 {}
        let again: Value = send(body).send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!((&first["repeated"], &again["repeated"]), (&json!(false), &json!(true)));
        assert_eq!((&again["id"], &again["state"]), (&first["id"], &json!("finished")));
        problem(send(other), 409).await;
        assert_eq!(
            site.json(&format!("/v1/runs/{}", first["id"].as_str().expect("an id"))).await["counts"]["cancelled"],
            0
        );
    }
    assert_eq!(site.runs().await.len(), 2);
}

#[tokio::test]
async fn a_log_with_nothing_to_analyse_is_a_finished_run() {
    let errors = Some(fleetline_producer::logs::Level::Error);
    let site = Site::with(|parts| parts.pipelines.log_options.min_level = errors).await;
    let run = site.upload("logs", "2024-01-01 10:00:00 INFO [main] org.acme.Api: fine\n").await;
    assert_eq!((&run["state"], &run["notes"]["below_level"]), (&json!("finished"), &json!(1)));
}

/// Kilobytes of memory that this process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Prints the memory of the whole process: run it alone, `--run-ignored all --no-capture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; prints figures"]
async fn a_hundred_megabytes_with_flat_memory() {
    const BLOCK: usize = 1 << 20;
    let site = Site::start().await;
    let item = |n: usize| format!("<Item id=\"I{n}\"><Name>{}</Name></Item>\n", "x".repeat(400));
    for megabytes in [10, 100] {
        let mut raw = super::connections::Raw::open(&site).await;
        let mut items = Vec::new();
        let (mut n, mut bytes) = (0, 0);
        while bytes < megabytes * BLOCK {
            bytes += item(n).len();
            n += 1;
        }
        raw.head(&site, "/v1/runs?pipeline=discovery", bytes + "<Order></Order>".len()).await;
        raw.send(b"<Order>").await;
        for n in 0..n {
            items.extend_from_slice(item(n).as_bytes());
            if items.len() > BLOCK {
                raw.send(&items).await;
                items.clear();
            }
        }
        raw.send(&items).await;
        raw.send(b"</Order>").await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        println!("{megabytes} MB, {n} items: {} KiB at most", resident());
    }
}

/// What a request with a key finds if an earlier one with it was cut off.
#[tokio::test]
async fn a_run_that_was_begun_is_gone_on_with_or_refused() {
    let site = Site::start().await;
    let send =
        |key: &'static str| site.post("/v1/runs?pipeline=logs").header("idempotency-key", key).body(LOG);
    let whole: Value = send("first").send().await.expect("an answer").json().await.expect("JSON");
    let row = site.ledger.runs(None, Page::first(1)).await.expect("runs").remove(0);
    let new_run = |key: &str, settings: &Value| NewRun {
        id: RunId::new(),
        tenant: row.tenant.clone(),
        pipeline: row.pipeline.clone(),
        input: row.input.clone(),
        once: true,
        idempotency_key: Some(key.to_owned()),
        settings: settings.clone(),
    };
    let begun = site.ledger.open_run(new_run("begun", &row.settings)).await.expect("a run").id;
    let again: Value = send("begun").send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&again["id"], &again["repeated"]), (&json!(begun), &json!(true)));
    assert_eq!(again["counts"]["jobs"], whole["counts"]["jobs"]);

    let mut other = row.settings.clone();
    other["options"]["something"] = json!("else");
    site.ledger.open_run(new_run("other", &other)).await.expect("a run");
    let said = problem(send("other"), 409).await;
    assert!(said["detail"].as_str().expect("a text").contains("other settings"), "{said}");

    let cancelled = site.ledger.open_run(new_run("cancelled", &row.settings)).await.expect("a run").id;
    site.ledger.cancel(&row.tenant, CancelJobs::Run(cancelled)).await.expect("cancelled");
    let said = problem(send("cancelled"), 409).await;
    assert!(said["detail"].as_str().expect("a text").contains("use a new key"), "{said}");
}

/// What was kept of a file that was not whole is told again.
#[tokio::test]
async fn a_repeated_request_hears_of_the_problem_again() {
    let keep = fleetline_producer::discovery::OnMalformed::Keep;
    let site = Site::with(|parts| parts.pipelines.discovery_options.on_malformed = keep).await;
    let send = || site.post("/v1/runs?pipeline=discovery").header("idempotency-key", "k").body("<a><b/><c>");
    let first: Value = send().send().await.expect("an answer").json().await.expect("JSON");
    let again: Value = send().send().await.expect("an answer").json().await.expect("JSON");
    assert!(first["problem"].is_string(), "{first}");
    assert_eq!((&again["problem"], &again["repeated"]), (&first["problem"], &json!(true)));
}
