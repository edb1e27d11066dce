//! Results and facts: pages and streams hold the same rows, and the command line's.

use serde_json::{Value, json};

use super::fixture::{Site, echoes};
use crate::cli::harness::sample;

/// All rows, page by page.
async fn pages(site: &Site, path: &str, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        let page = site.json(&format!("{path}?limit={limit}{after}")).await;
        let items = page["items"].as_array().expect("a list");
        rows.extend(items.iter().cloned());
        let Some(next) = page["next"].as_str() else { return rows };
        after = format!("&after={next}");
    }
}

/// All rows, as a stream.
async fn lines(site: &Site, path: &str) -> Vec<Value> {
    let response = site.get(path).header("accept", "application/x-ndjson").send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.expect("a body");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn runs_come_in_pages() {
    let site = Site::start().await;
    for _ in 0..5 {
        site.submit(&echoes([1])).await;
    }
    let all = site.runs().await;
    assert_eq!(all.len(), 5);
    assert_eq!(pages(&site, "/v1/runs", 2).await, all);
    assert_eq!(pages(&site, "/v1/runs", 5).await, all);
    let first = site.json("/v1/runs?limit=2").await;
    site.submit(&echoes([2])).await;
    let after = first["next"].as_str().expect("there are more");
    let second = site.json(&format!("/v1/runs?limit=2&after={after}")).await;
    assert_eq!(second["items"].as_array().expect("a list"), &all[2..4], "what is new is on the first page");
}

fn run_of(accepted: &Value) -> String {
    accepted["run_id"].as_str().or_else(|| accepted["id"].as_str()).expect("an id").to_owned()
}

#[tokio::test]
async fn thousands_of_rows_are_the_same_both_ways() {
    let site = Site::with(|parts| parts.options.jobs.jobs = 5_000).await;
    let run = run_of(&site.submit(&echoes(0..3_000)).await);
    assert_eq!(site.work(2_990).await, 2_990);
    let path = format!("/v1/runs/{run}/results");
    let streamed = lines(&site, &path).await;
    assert_eq!(streamed.len(), 3_000);
    assert_eq!(streamed, pages(&site, &path, 200).await);
    for (n, row) in streamed.iter().enumerate().take(2_990) {
        assert_eq!((&row["output"]["n"], &row["state"]), (&json!(n), &json!("succeeded")));
    }
    assert_eq!(lines(&site, &format!("{path}?state=ready")).await.len(), 10);
    assert_eq!(lines(&site, &format!("/v1/runs/{run}/facts")).await.len(), 2_990);
    let jobs = pages(&site, &format!("/v1/runs/{run}/jobs"), 1_000).await;
    assert_eq!(jobs.len(), 3_000);
    assert_eq!((&jobs[0]["job_id"], &jobs[0]["attempts"]), (&streamed[0]["job_id"], &json!(1)));
}

/// Or who asks for two hundred large results takes the memory of all others.
#[tokio::test]
async fn a_page_of_large_results_has_fewer_jobs() {
    let site = Site::with(|parts| parts.options.page_bytes = 2_000_000).await;
    let job =
        |n| json!({ "kind": "test.echo", "args": { "n": n, "output": { "large": "x".repeat(50_000) } } });
    let run = run_of(&site.submit(&(0..100).map(job).collect()).await);
    assert_eq!(site.work(100).await, 100);
    let path = format!("/v1/runs/{run}/results");
    let first = site.json(&format!("{path}?limit=100")).await;
    let jobs = first["items"].as_array().expect("a list").len();
    assert!((40..100).contains(&jobs), "{jobs}");
    assert_eq!(pages(&site, &path, 100).await, lines(&site, &path).await);
}

#[tokio::test]
async fn lines_come_to_those_who_accept_them() {
    let site = Site::start().await;
    let run = run_of(&site.submit(&echoes([1])).await);
    for (accept, lines) in [
        ("application/json, application/X-NDJSON", true),
        ("application/x-ndjson; q=0.5", true),
        ("application/x-ndjson;q=0, application/json", false),
        ("application/x-ndjson ; Q = 0.000", false),
        ("*/*", false),
    ] {
        let sent = site.get(&format!("/v1/runs/{run}/results")).header("accept", accept).send().await;
        let found = sent.expect("an answer").headers()["content-type"] == "application/x-ndjson";
        assert_eq!(found, lines, "{accept}");
    }
}

#[tokio::test]
async fn results_that_are_no_objects_are_facts_too() {
    let site = Site::start().await;
    let outputs = [json!([1, 2]), json!("three"), json!({ "four": 4 })];
    let job = |(n, output)| json!({ "kind": "test.echo", "args": { "n": n, "output": output } });
    let run = run_of(&site.submit(&outputs.iter().enumerate().map(job).collect()).await);
    site.work(10).await;
    let expected = [
        json!({ "value": [1, 2], "place": "request 0", "occurrences": 1 }),
        json!({ "value": "three", "place": "request 1", "occurrences": 1 }),
        json!({ "four": 4, "place": "request 2", "occurrences": 1 }),
    ];
    assert_eq!(lines(&site, &format!("/v1/runs/{run}/facts")).await, expected);
}

/// An API may answer with numbers and levels that no value can hold. It is paid for, and spoils no other's row.
#[tokio::test]
async fn results_come_as_they_were_given() {
    let site = Site::start().await;
    let texts = [
        r#"{"far":1e999,"id":12345678901234567890123}"#.to_owned(),
        format!("{}1{}", "[".repeat(300), "]".repeat(300)),
        r#"{"id":12345678901234567890123,"price":0.12345678901234567890}"#.to_owned(),
        "1".to_owned(),
        "{\r\n  \"several\": 12345678901234567890123\n}".to_owned(),
    ];
    let job = |(n, text)| json!({ "kind": "test.echo", "args": { "n": n, "text": text } });
    let run = run_of(&site.submit(&texts.iter().enumerate().map(job).collect()).await);
    site.work(10).await;
    for accept in ["application/json", "application/x-ndjson"] {
        let path = format!("/v1/runs/{run}/results");
        let all = site.get(&path).header("accept", accept).send().await.expect("an answer").text().await;
        let all = all.expect("a body");
        for text in texts.iter().map(|text| text.replace(['\r', '\n'], " ")) {
            assert!(all.contains(&format!(r#""output":{text},"#)), "{text} in {all}");
        }
    }
    let rows =
        site.get(&format!("/v1/runs/{run}/results")).header("accept", "application/x-ndjson").send().await;
    let rows = rows.expect("an answer").text().await.expect("a body");
    assert_eq!(rows.lines().count(), texts.len(), "a row is a line");
    for accept in ["application/json", "application/x-ndjson"] {
        let path = format!("/v1/runs/{run}/facts");
        let all = site.get(&path).header("accept", accept).send().await.expect("an answer").text().await;
        let all = all.expect("a body");
        for fact in [
            r#"{"far":1e999,"id":12345678901234567890123,"occurrences":1,"place":"request 0"}"#.to_owned(),
            format!(r#"{{"occurrences":1,"place":"request 1","value":{}}}"#, texts[1]),
            r#""id":12345678901234567890123,"occurrences":1,"place":"request 2","price":0.12345678901234567890"#
                .to_owned(),
            r#""place":"request 3","value":1}"#.to_owned(),
            r#""place":"request 4","several":12345678901234567890123}"#.to_owned(),
        ] {
            assert!(all.contains(&fact), "{fact} in {all}");
        }
    }
    let jobs = pages(&site, &format!("/v1/runs/{run}/jobs"), 10).await;
    let job = jobs[0]["job_id"].as_str().expect("an id");
    let view = site.get(&format!("/v1/jobs/{job}")).send().await.expect("an answer").text().await;
    assert!(view.expect("a body").contains("1e999"));
}

#[tokio::test]
async fn args_are_shown_as_they_were_submitted() {
    let site = Site::start().await;
    let args = r#"{"n":1,"far":1e999,"id":12345678901234567890123}"#;
    let body = format!(r#"{{"kind":"test.echo","args":{args}}}"#);
    let request = site.post("/v1/jobs").header("content-type", "application/json").body(body);
    let run = run_of(&request.send().await.expect("an answer").json().await.expect("JSON"));
    let jobs = pages(&site, &format!("/v1/runs/{run}/jobs"), 10).await;
    let job = jobs[0]["job_id"].as_str().expect("an id");
    let view = site.get(&format!("/v1/jobs/{job}")).send().await.expect("an answer");
    assert_eq!(view.status(), 200);
    assert!(view.text().await.expect("a body").contains(args));
}

#[tokio::test]
async fn rows_are_those_of_the_command_line() {
    let site = Site::start().await;
    let document = std::fs::read(sample("airline-order.xml")).expect("the sample");
    let run = run_of(&site.upload("discovery&input=airline-order.xml", document).await);
    let log = std::fs::read(sample("service.log")).expect("the sample");
    let log_run = run_of(&site.upload("logs&input=service.log", log).await);
    while site.work(1_000).await > 0 {}

    for (run, file) in [(run, "airline-order.xml"), (log_run, "service.log")] {
        let place = crate::cli::harness::Place::new();
        std::fs::copy(sample(file), place.path(file)).expect("a copy");
        place.run(&["run", file]).exits(0);
        let same = |rows: Vec<Value>, theirs: Vec<Value>| {
            assert!(!rows.is_empty());
            let plain = |row: Value| {
                let mut row = row;
                // What differs from one run to the next.
                for field in ["job_id", "run_id"] {
                    row.as_object_mut().expect("an object").remove(field);
                }
                row
            };
            let [ours, theirs] = [rows, theirs].map(|rows| rows.into_iter().map(plain).collect::<Vec<_>>());
            assert_eq!(ours, theirs);
        };
        same(lines(&site, &format!("/v1/runs/{run}/results")).await, place.run(&["results"]).exits(0).rows());
        let facts = lines(&site, &format!("/v1/runs/{run}/facts")).await;
        same(facts.clone(), place.run(&["facts", "--json", "--limit", "0"]).exits(0).rows());
        assert_eq!(facts, pages(&site, &format!("/v1/runs/{run}/facts"), 7).await);
        let wanted = facts[0]["node_type"].as_str().or(facts[0]["error_type"].as_str()).expect("a type");
        let of_type = lines(&site, &format!("/v1/runs/{run}/facts?type={wanted}")).await;
        assert!(!of_type.is_empty() && of_type.len() < facts.len());
    }
}
