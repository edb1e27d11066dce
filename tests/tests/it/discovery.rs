//! Splitting XML: every element in exactly one job, whatever the document looks like.

mod big;
mod bounds;
mod canonical;
mod context;
mod malformed;
mod nodes;
mod random;
mod real;
mod reassemble;

use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::PathBuf;

use fleetline_producer::discovery::{DiscoveryOptions, XmlError, XmlReport};
use fleetline_producer::pipelines::{Appraiser, JobTemplate, split_xml};
use fleetline_shared::domain::{AnalyserRef, Estimate, NewJob, NodeArgs};

/// What all jobs of these tests have in common.
fn template(analyser: &str) -> JobTemplate {
    JobTemplate {
        analyser: AnalyserRef { name: analyser.into(), model: None, version: "1".into() },
        max_attempts: 5,
        deadline: None,
        fresh_for: None,
        appraiser: Appraiser::new(|json| {
            let args: NodeArgs = serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
            Ok(args.appraise(Estimate { input_tokens: args.xml.len() as u64, output_tokens: 300 }))
        }),
    }
}

/// The jobs of a document with their args, in order of their numbers.
struct Split {
    jobs: Vec<(NewJob, NodeArgs)>,
    report: XmlReport,
}

fn split_as(document: &[u8], options: &DiscoveryOptions, analyser: &str) -> Result<Split, XmlError> {
    let open = || -> std::io::Result<Box<dyn std::io::Read>> { Ok(Box::new(Cursor::new(document.to_vec()))) };
    let mut jobs = Vec::new();
    let report = split_xml(open, "test.xml", options, &template(analyser), &mut |job| {
        let args: NodeArgs = serde_json::from_str(job.args.get()).expect("args parse");
        jobs.push((job, args));
        ControlFlow::Continue(())
    })?;
    jobs.sort_by_key(|(job, _)| job.seq);
    Ok(Split { jobs, report })
}

fn split(document: &str, options: &DiscoveryOptions) -> Split {
    split_as(document.as_bytes(), options, "builtin").unwrap_or_else(|error| panic!("{error}\n{document}"))
}

fn options(max_subtree: u64) -> DiscoveryOptions {
    DiscoveryOptions { max_subtree, ..DiscoveryOptions::default() }
}

/// `make` of the first numbers, one after the other.
fn concat(count: u64, make: impl Fn(u64) -> String) -> String {
    (0..count).map(make).collect()
}

/// `path: xml` of each job.
fn outline(split: &Split) -> Vec<String> {
    split.jobs.iter().map(|(_, args)| format!("{}: {}", args.path, args.xml)).collect()
}

/// A file of the shared test data; `None`, with a word why, where it is not there.
fn shared(file: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("FLEETLINE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = folder.join("data/xml").join(file);
    let bytes = std::fs::read(&path);
    if bytes.is_err() {
        eprintln!("skipped: {} is not there", path.display());
    }
    bytes.ok()
}
