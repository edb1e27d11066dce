//! `logs`: one job for each group of events that are the same problem.

use std::io::Read;
use std::ops::ControlFlow;

use fleetline_shared::domain::{Appraisal, LogArgs, NewJob, Source};
use serde_json::value::to_raw_value;

use super::JobTemplate;
use crate::logs::{
    EventReader, Fingerprinted, Groups, LogError, LogEvent, LogOptions, LogReport, fingerprint,
};

/// Reads a log and hands a job to `sink` at the first sight of each group, until it breaks.
///
/// `input` names the log for people. The report says how often each group occurred in the end;
/// the jobs themselves carry 1. The same log and options give the same jobs and numbers.
pub fn split_logs(
    reader: impl Read,
    input: &str,
    options: &LogOptions,
    target: &JobTemplate,
    sink: &mut dyn FnMut(NewJob) -> ControlFlow<()>,
) -> Result<LogReport, LogError> {
    let mut events = EventReader::open(reader, options)?;
    let mut groups = Groups::default();
    while let Some(event) = events.next_passing()? {
        let print = fingerprint(&event);
        if let Some(seq) = groups.add(print.fingerprint)
            && sink(job(seq, event, print, input, target)).is_break()
        {
            break;
        }
    }
    let mut report = events.into_report();
    report.groups = groups.len();
    report.occurrences = groups.repeated();
    Ok(report)
}

fn job(seq: u64, event: LogEvent, print: Fingerprinted, input: &str, target: &JobTemplate) -> NewJob {
    let Fingerprinted { fingerprint, template } = print;
    let fingerprint = fingerprint.to_string();
    let (first_line, last_line) = (event.first_line, event.last_line);
    let args = LogArgs {
        analyser: target.analyser.clone(),
        logger: event.logger,
        level: event.level,
        message: event.message,
        stack: event.stack,
        timestamp: event.timestamp,
        service: event.service,
        fingerprint,
        template,
    };
    let args = to_raw_value(&args).expect("log args are plain JSON");
    let Appraisal { dedup_key, upstream, estimate } = target.appraiser.appraise(&args);
    NewJob {
        seq: Some(seq),
        kind: LogArgs::KIND.to_owned(),
        args,
        dedup_key,
        priority: 0,
        upstream,
        estimate,
        source: Source::Lines { input: input.to_owned(), first_line, last_line },
        occurrences: 1,
        max_attempts: target.max_attempts,
        deadline: target.deadline,
        fresh_for: target.fresh_for,
    }
}

#[cfg(test)]
mod tests;
