//! A job has the same key, upstream and estimate whichever way it comes in.

use std::io::{self, Cursor, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use fleetline_producer::discovery::DiscoveryOptions;
use fleetline_producer::logs::LogOptions;
use fleetline_producer::pipelines::{split_logs, split_xml};
use fleetline_shared::domain::{Appraisal, Estimate, KindPolicy, NewJob};
use fleetline_worker::analysers::openai::{ChatClient, OpenAiConfig};
use fleetline_worker::kinds::Kinds;

use super::fixture::{registry, template};
use crate::cli::harness::sample;

fn kinds() -> Kinds {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = OpenAiConfig { api_key: Some("sk-test".into()), ..OpenAiConfig::default() };
    Kinds::all(Some(&Arc::new(ChatClient::new(config).expect("good settings"))), KindPolicy::default())
}

fn jobs_of(kinds: &Kinds, kind: &str, analyser: &str) -> Vec<NewJob> {
    let template = template(kinds, kind, analyser);
    let mut jobs = Vec::new();
    let mut sink = |job| {
        jobs.push(job);
        ControlFlow::Continue(())
    };
    if kind == "node.extract" {
        let text = std::fs::read(sample("airline-order.xml")).expect("the sample");
        let open = || Ok::<_, io::Error>(Box::new(Cursor::new(text.clone())) as Box<dyn Read>);
        split_xml(open, "a.xml", &DiscoveryOptions::default(), &template, &mut sink).expect("it is XML");
    } else {
        let log = std::fs::File::open(sample("service.log")).expect("the sample");
        split_logs(log, "a.log", &LogOptions::default(), &template, &mut sink).expect("it is a log");
    }
    jobs
}

#[test]
fn kinds_say_what_pipelines_say() {
    let kinds = kinds();
    for kind in ["node.extract", "log.analyze"] {
        for analyser in ["builtin", "openai"] {
            let jobs = jobs_of(&kinds, kind, analyser);
            assert!(jobs.len() > 5, "{kind} {analyser}");
            for NewJob { args, dedup_key, upstream, estimate, .. } in jobs {
                assert_eq!(upstream.is_some(), analyser == "openai");
                assert_eq!(estimate.output_tokens > 0, analyser == "openai");
                let said = kinds.registry().get(kind).expect("it is there").appraise(&args);
                assert_eq!(said, Ok(Appraisal { dedup_key, upstream, estimate }));
            }
        }
    }
}

#[test]
fn an_analyser_that_is_not_configured_is_refused() {
    let jobs = jobs_of(&kinds(), "log.analyze", "openai");
    let said = registry().get("log.analyze").expect("it is there").appraise(&jobs[0].args).unwrap_err();
    assert!(said.contains("openai") && said.contains("there is builtin"), "{said}");
}

#[test]
fn a_kind_that_says_nothing_goes_by_the_whole_args() {
    let appraise = |json: &str| {
        let args = serde_json::value::RawValue::from_string(json.into()).expect("JSON");
        registry().get("test.echo").expect("it is there").appraise(&args)
    };
    let one = appraise(r#"{"n":1,"panic":false}"#).expect("good args");
    assert_eq!((one.upstream.as_deref(), one.estimate), (None, Estimate::default()));
    assert_eq!(Ok(one.clone()), appraise(r#"{ "panic": false, "n": 1 }"#));
    assert_ne!(Ok(one), appraise(r#"{"n":2,"panic":false}"#));
    assert!(appraise(r#"{"n":"1"}"#).unwrap_err().contains("invalid type"));
}
