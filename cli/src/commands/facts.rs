//! `fleetline facts`: what a run found.

use std::io;

use fleetline_shared::domain::{JobState, Registry};
use fleetline_shared::ports::{JobFilter, JobRow};
use serde_json::{Value, json};

use super::jobs::place;
use crate::app::App;
use crate::args::FactsArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::{facts_of, write_line, write_text};
use crate::ui::format;
use crate::ui::table::{Column, Look, Table};

/// Lists facts of nodes, or the analyses of log messages.
pub(super) async fn facts(app: &App, args: FactsArgs) -> Result<(), CliError> {
    let ledger = lookup::open(app.db())?;
    let run = lookup::find_run(&ledger, &args.run.run).await?;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let filter = JobFilter {
        run: Some(run.id),
        state: Some(JobState::Succeeded),
        with_results: true,
        ..JobFilter::default()
    };
    let mut rows = Vec::new();
    let mut total = 0;
    let mut out = io::stdout().lock();
    lookup::each_job(&ledger, filter, |job| {
        for fact in rows_of(app.registry(), &job) {
            if args.r#type.as_deref().is_some_and(|wanted| wanted != type_of(&fact)) {
                continue;
            }
            total += 1;
            if total > limit {
                continue;
            }
            if app.json() {
                write_line(&mut out, &fact)?;
            } else {
                rows.push(cells(&fact));
            }
        }
        Ok(())
    })
    .await?;
    if !app.json() {
        print_table(&rows, run.pipeline == "logs", total)?;
    }
    Ok(())
}

/// A job's facts; a result without facts is one itself.
fn rows_of(registry: &Registry, job: &JobRow) -> Vec<Value> {
    let facts = facts_of(registry, job);
    if !facts.is_empty() {
        return facts;
    }
    let Some(Value::Object(mut output)) = job.output.clone() else { return Vec::new() };
    output.insert("place".into(), json!(place(&job.source)));
    output.insert("occurrences".into(), json!(job.occurrences));
    vec![Value::Object(output)]
}

fn type_of(fact: &Value) -> &str {
    fact["node_type"].as_str().or_else(|| fact["error_type"].as_str()).unwrap_or_default()
}

fn cells(fact: &Value) -> [String; 4] {
    let text = |field: &str| fact[field].as_str().unwrap_or_default().to_owned();
    if fact["error_type"].is_string() {
        let events =
            format!("{}×  {}", format::count(fact["occurrences"].as_u64().unwrap_or(1)), text("place"));
        return [type_of(fact).to_owned(), text("severity"), events, format::truncate(&text("title"), 70)];
    }
    let status = fact["quality"]["status"].as_str().unwrap_or_default().to_owned();
    [
        type_of(fact).to_owned(),
        status,
        format::truncate(&text("path"), 50),
        format::truncate(&text("summary"), 70),
    ]
}

fn print_table(rows: &[[String; 4]], logs: bool, total: usize) -> Result<(), CliError> {
    let headers = if logs {
        ["error type", "severity", "events", "title"]
    } else {
        ["type", "quality", "path", "summary"]
    };
    let mut table = Table::new(Look::of_stdout(), &headers.map(Column::Left));
    for row in rows {
        table.plain_row(row);
    }
    write_text(&format!("{table}\n"))?;
    if total > rows.len() {
        write_text(&format!(
            "{} of {}; `--limit 0` lists all\n",
            format::count(rows.len() as u64),
            format::count(total as u64)
        ))?;
    }
    Ok(())
}
