//! `fleetline facts`: what a run found.

use std::io;

use fleetline_producer::rows::{fact_rows, type_of};
use fleetline_shared::domain::JobState;
use fleetline_shared::ports::JobFilter;
use serde_json::Value;

use crate::app::App;
use crate::args::FactsArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::{write_line, write_text};
use crate::ui::format;
use crate::ui::table::{Column, Look, Table, Tone};

/// Lists facts of nodes, or the analyses of log messages.
pub(super) async fn facts(app: &App, args: FactsArgs) -> Result<(), CliError> {
    let ledger = lookup::open(app).await?;
    let run = lookup::find_run(app, &*ledger, &args.run.run).await?;
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
    lookup::each_job(&*ledger, filter, |job| {
        for fact in fact_rows(app.registry(), job) {
            if args.r#type.as_ref().is_some_and(|wanted| *wanted != type_of(&fact)) {
                continue;
            }
            total += 1;
            if total > limit {
                continue;
            }
            if app.json() {
                write_line(&mut out, &fact)?;
            } else {
                // What no value can hold has no class and no text to show.
                rows.push(cells(&serde_json::from_str(fact.get()).unwrap_or_default()));
            }
        }
        Ok(())
    })
    .await?;
    if !app.json() {
        print_table(rows, run.pipeline == "logs", total)?;
    }
    Ok(())
}

/// The cells of a fact, or of an analysis.
fn cells(fact: &Value) -> Vec<(String, Tone)> {
    let text = |field: &str| fact[field].as_str().unwrap_or_default().to_owned();
    if fact["error_type"].is_string() {
        let events = fact["occurrences"].as_u64().unwrap_or(1);
        return vec![
            (text("error_type"), Tone::Plain),
            (text("severity"), severity_tone(&text("severity"))),
            (format::count(events), Tone::Plain),
            (text("place"), Tone::Dim),
            (text("title"), Tone::Plain),
        ];
    }
    let status = fact["quality"]["status"].as_str().unwrap_or_default();
    let tone = if status == "complete" { Tone::Good } else { Tone::Warn };
    vec![
        (text("node_type"), Tone::Plain),
        (status.to_owned(), tone),
        (text("path"), Tone::Dim),
        (text("summary"), Tone::Plain),
    ]
}

/// How a severity looks.
pub(in crate::commands) fn severity_tone(severity: &str) -> Tone {
    match severity {
        "high" => Tone::Bad,
        "medium" => Tone::Warn,
        _ => Tone::Dim,
    }
}

const ANALYSES: [Column; 5] = [
    Column::Text("error type"),
    Column::Left("severity"),
    Column::Right("events"),
    Column::Left("first"),
    Column::Text("title"),
];
const FACTS: [Column; 4] =
    [Column::Left("node type"), Column::Left("quality"), Column::Path("path"), Column::Text("summary")];

fn print_table(rows: Vec<Vec<(String, Tone)>>, logs: bool, total: usize) -> Result<(), CliError> {
    let shown = rows.len();
    let mut table = Table::new(Look::of_stdout(), if logs { &ANALYSES } else { &FACTS });
    for row in rows {
        table.row(row);
    }
    write_text(&format!("{table}\n"))?;
    if total > shown {
        write_text(&format!(
            "{} of {}; `--limit 0` lists all\n",
            format::count(shown as u64),
            format::count(total as u64)
        ))?;
    }
    Ok(())
}
