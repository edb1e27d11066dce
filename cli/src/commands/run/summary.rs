//! What a run brought, for people: one block of figures, one table, the next commands.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetline_producer::rows::facts_of;
use fleetline_shared::domain::{JobState, Registry};
use fleetline_shared::ports::{JobFilter, JobRow, QueryLedger, RunRow};
use serde_json::Value;

use crate::app::App;
use crate::commands::facts::severity_tone;
use crate::exit::CliError;
use crate::lookup::each_job;
use crate::ui::format;
use crate::ui::table::{Column, Look, Table, Tone};

/// Rows of the table at most; the rest is one line.
const ROWS: usize = 12;

/// Figures of one group of jobs: a node type or an error type.
#[derive(Default)]
struct Group {
    jobs: u64,
    occurrences: u64,
    facts: u64,
    partial: u64,
    references: u64,
    severity: String,
    tickets: u64,
    example: String,
}

/// The tables of a run, grouped by what its kinds find.
pub(super) async fn tables(
    ledger: &dyn QueryLedger,
    registry: &Registry,
    run: &RunRow,
) -> Result<String, CliError> {
    let mut nodes = BTreeMap::new();
    let mut errors = BTreeMap::new();
    let filter = JobFilter {
        run: Some(run.id),
        state: Some(JobState::Succeeded),
        with_results: true,
        ..JobFilter::default()
    };
    each_job(ledger, filter, |job| {
        match job.output_value() {
            Some(output) if output["error_type"].is_string() => add_analysis(&mut errors, &job, &output),
            _ => add_facts(&mut nodes, registry, job),
        }
        Ok(())
    })
    .await?;
    let mut tables = Vec::new();
    if !nodes.is_empty() {
        tables.push(node_table(nodes));
    }
    if !errors.is_empty() {
        tables.push(log_table(errors));
    }
    Ok(tables.join("\n"))
}

fn add_facts(groups: &mut BTreeMap<String, Group>, registry: &Registry, mut job: JobRow) {
    for (n, fact) in facts_of(registry, &mut job).iter().enumerate() {
        let group = groups.entry(text(fact, "node_type")).or_default();
        group.jobs += u64::from(n == 0);
        group.facts += 1;
        group.references += fact["references"].as_array().map_or(0, |list| list.len() as u64);
        group.partial += u64::from(fact["quality"]["status"] != "complete");
        if group.example.is_empty() {
            group.example = text(fact, "summary");
        }
    }
}

fn add_analysis(groups: &mut BTreeMap<String, Group>, job: &JobRow, output: &Value) {
    let group = groups.entry(text(output, "error_type")).or_default();
    group.jobs += 1;
    group.occurrences += job.occurrences;
    group.tickets += u64::from(output["create_ticket"] == true);
    let severity = text(output, "severity");
    if rank(&severity) > rank(&group.severity) {
        group.severity = severity;
        group.example = text(output, "title");
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn rank(severity: &str) -> u8 {
    match severity {
        "high" => 3,
        "medium" => 2,
        "low" => 1,
        _ => 0,
    }
}

fn node_table(groups: BTreeMap<String, Group>) -> String {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.facts));
    let mut table = Table::new(
        Look::of_stdout(),
        &[
            Column::Left("node type"),
            Column::Right("jobs"),
            Column::Right("facts"),
            Column::Right("incomplete"),
            Column::Right("references"),
            Column::Text("for example"),
        ],
    );
    let more = groups.len().saturating_sub(ROWS);
    for (name, group) in groups.into_iter().take(ROWS) {
        // Elements inside other jobs' subtrees have facts, but no job of their own.
        let jobs = if group.jobs == 0 { "-".to_owned() } else { format::count(group.jobs) };
        let partial = if group.partial == 0 { Tone::Dim } else { Tone::Warn };
        table.row([
            (name, Tone::Plain),
            (jobs, Tone::Plain),
            (format::count(group.facts), Tone::Plain),
            (format::count(group.partial), partial),
            (format::count(group.references), Tone::Plain),
            (group.example, Tone::Dim),
        ]);
    }
    with_more(&table, more, "node types")
}

fn log_table(groups: BTreeMap<String, Group>) -> String {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| {
        (std::cmp::Reverse(rank(&group.severity)), std::cmp::Reverse(group.occurrences))
    });
    let mut table = Table::new(
        Look::of_stdout(),
        &[
            Column::Text("error type"),
            Column::Left("severity"),
            Column::Right("events"),
            Column::Right("messages"),
            Column::Right("tickets"),
            Column::Text("for example"),
        ],
    );
    let more = groups.len().saturating_sub(ROWS);
    for (name, group) in groups.into_iter().take(ROWS) {
        let tone = severity_tone(&group.severity);
        table.row([
            (name, Tone::Plain),
            (group.severity, tone),
            (format::count(group.occurrences), Tone::Plain),
            (format::count(group.jobs), Tone::Plain),
            (format::count(group.tickets), Tone::Plain),
            (group.example, Tone::Dim),
        ]);
    }
    with_more(&table, more, "error types")
}

fn with_more(table: &Table, more: usize, what: &str) -> String {
    if more == 0 { table.to_string() } else { format!("{table}\n… and {more} more {what}") }
}

/// The figures of a run in a few lines.
pub(super) fn figures(run: &RunRow, took: Duration) -> String {
    let analyser = run.settings["analyser"]["name"].as_str().unwrap_or("as before");
    let counts = &run.counts;
    let mut parts = vec![format!("{} succeeded", format::count(counts.succeeded))];
    if counts.reused > 0 {
        parts.push(format!("{} of them reused", format::count(counts.reused)));
    }
    if counts.dead > 0 {
        parts.push(format!("{} dead", format::count(counts.dead)));
    }
    if counts.cancelled > 0 {
        parts.push(format!("{} cancelled", format::count(counts.cancelled)));
    }
    let open = counts.jobs - counts.terminal();
    if open > 0 {
        let so = if run.is_cancelling() { "under way" } else { "left to do" };
        parts.push(format!("{} {so}", format::count(open)));
    }
    let events = if run.pipeline == "logs" {
        format!(" for {} log events", format::count(counts.occurrences))
    } else {
        String::new()
    };
    let paid = if counts.usage.calls == 0 {
        "nothing paid".to_owned()
    } else {
        format!(
            "{}, {} + {} tokens",
            plural(counts.usage.calls, "call"),
            format::count(counts.usage.input_tokens),
            format::count(counts.usage.output_tokens)
        )
    };
    let retries = match counts.retries {
        0 => String::new(),
        1 => " · 1 retry".to_owned(),
        n => format!(" · {} retries", format::count(n)),
    };
    format!(
        "{}{events}: {}\nanalyser {analyser} · {paid}{retries} · {}",
        plural(counts.jobs, "job"),
        parts.join(", "),
        format::duration(took)
    )
}

fn plural(n: u64, what: &str) -> String {
    format!("{} {what}{}", format::count(n), if n == 1 { "" } else { "s" })
}

/// The commands a person may want next, ready to copy.
pub(super) fn next_commands(app: &App, run: &RunRow) -> String {
    let db = app.flags();
    let id = format::short_id(&run.id.to_string());
    let mut commands = vec![
        (format!("fleetline facts {id}{db}"), "what was found"),
        (format!("fleetline results {id}{db} > results.jsonl"), "everything, one JSON line per job"),
    ];
    if run.counts.dead > 0 {
        commands.push((format!("fleetline dead list {id}{db}"), "why jobs are dead"));
        commands.push((format!("fleetline dead redrive --run {id}{db}"), "send them again"));
    }
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines: Vec<_> = commands.iter().map(|(command, why)| format!("  {command:width$}   {why}")).collect();
    lines.join("\n")
}
