use std::time::Duration;

use fleetline_shared::domain::{AnalyserRef, Estimate};

use super::*;
use crate::pipelines::Appraiser;

fn template(name: &str) -> JobTemplate {
    JobTemplate {
        analyser: AnalyserRef { name: name.into(), model: Some("m-1".into()), version: "1".into() },
        max_attempts: 4,
        deadline: Some(Duration::from_hours(1)),
        fresh_for: None,
        appraiser: Appraiser::new(|json| {
            let args: LogArgs = serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
            Ok(args.appraise(Estimate { input_tokens: args.message.len() as u64, output_tokens: 300 }))
        }),
    }
}

fn split(log: &str, options: &LogOptions, name: &str) -> (Vec<NewJob>, LogReport) {
    let mut jobs = Vec::new();
    let mut sink = |job| {
        jobs.push(job);
        ControlFlow::Continue(())
    };
    let report = split_logs(log.as_bytes(), "app.log", options, &template(name), &mut sink).unwrap();
    (jobs, report)
}

fn args(job: &NewJob) -> LogArgs {
    serde_json::from_str(job.args.get()).unwrap()
}

const LOG: &str = "2024-01-01 10:00:00 ERROR [main] org.acme.Api: Order 5 failed\n\
    java.io.IOException: x\n\tat org.acme.A.b(A.java:1)\n\
    2024-01-01 10:00:01 INFO [main] org.acme.Api: Started\n\
    2024-01-01 10:00:02 ERROR [main] org.acme.Api: Order 6 failed\n\
    java.io.IOException: x\n\tat org.acme.A.b(A.java:9)\n";

#[test]
fn each_group_is_one_job_with_its_first_event() {
    let (jobs, report) = split(LOG, &LogOptions::default(), "openai");
    assert_eq!(jobs.iter().map(|job| job.seq).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!((report.events, report.groups, &report.occurrences[..]), (3, 2, &[(0, 2)][..]));
    let first = args(&jobs[0]);
    assert_eq!(
        (first.logger.as_str(), first.level.as_str(), first.message.as_str()),
        ("org.acme.Api", "ERROR", "Order 5 failed")
    );
    assert_eq!(first.template, "Order <num> failed | java.io.IOException: x");
    assert_eq!(first.timestamp.as_deref(), Some("2024-01-01 10:00:00"));
    assert_eq!(jobs[0].source, Source::Lines { input: "app.log".into(), first_line: 1, last_line: 3 });
    assert_eq!((jobs[0].kind.as_str(), jobs[0].occurrences, jobs[0].max_attempts), ("log.analyze", 1, 4));
    let estimate = Estimate { input_tokens: first.message.len() as u64, output_tokens: 300 };
    assert_eq!(jobs[0].estimate, estimate, "the kind's own");
}

#[test]
fn only_outside_analysers_have_an_upstream() {
    assert_eq!(split(LOG, &LogOptions::default(), "openai").0[0].upstream.as_deref(), Some("openai"));
    assert_eq!(split(LOG, &LogOptions::default(), "builtin").0[0].upstream, None);
}

#[test]
fn the_key_says_who_analyses_what() {
    let key = |log: &str, name: &str| split(log, &LogOptions::default(), name).0[0].dedup_key;
    assert_eq!(key(LOG, "openai"), key(&LOG.replace("Order 5", "Order 77"), "openai"));
    assert_ne!(key(LOG, "openai"), key(LOG, "builtin"));
    assert_ne!(key(LOG, "openai"), key(&LOG.replace("org.acme.Api", "org.acme.Web"), "openai"));
    assert_ne!(key(LOG, "openai"), key(&LOG.replace("failed", "vanished"), "openai"));
}

#[test]
fn events_below_the_level_are_counted_not_sent() {
    let options = LogOptions { min_level: Some(crate::logs::Level::Error), ..LogOptions::default() };
    let (jobs, report) = split(LOG, &options, "builtin");
    assert_eq!((jobs.len(), report.events, report.below_level), (1, 3, 1));
}

#[test]
fn a_full_sink_stops_the_reading() {
    let mut seen = 0;
    let mut sink = |_| {
        seen += 1;
        ControlFlow::Break(())
    };
    let report =
        split_logs(LOG.as_bytes(), "x", &LogOptions::default(), &template("builtin"), &mut sink).unwrap();
    assert_eq!((seen, report.groups), (1, 1));
}
