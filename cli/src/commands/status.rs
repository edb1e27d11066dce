//! `fleetline status`: runs and what became of them.

use std::io;
use std::path::Path;
use std::time::Duration;

use fleetline_shared::ports::{QueryLedger, RunRow};

use crate::args::StatusArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::write_line;
use crate::ui::format;
use crate::ui::table::Table;

/// Lists runs, or shows one.
pub async fn status(db: &Path, json: bool, args: StatusArgs) -> Result<(), CliError> {
    let ledger = lookup::open(db)?;
    let runs = match &args.run {
        Some(text) => vec![lookup::find_run(&ledger, text).await?],
        None => ledger.runs(args.limit).await?,
    };
    if json {
        return runs.iter().try_for_each(|run| write_line(&mut io::stdout(), run));
    }
    if runs.is_empty() {
        println!("no runs yet: `fleetline run FILE` makes one");
        return Ok(());
    }
    let mut table = Table::new([
        "run", "started", "pipeline", "input", "state", "jobs", "done", "reused", "dead", "calls", "took",
    ]);
    for run in &runs {
        table.row(cells(run));
    }
    println!("{table}");
    if runs.iter().any(|run| run.finished_at_ms.is_none()) {
        println!("unfinished runs go on with the command that began them, or with `fleetline run --resume RUN`");
    }
    if args.run.is_some() {
        print_details(&runs[0]);
    }
    Ok(())
}

fn cells(run: &RunRow) -> [String; 11] {
    let counts = &run.counts;
    let took = run.finished_at_ms.map(|end| Duration::from_millis((end - run.created_at_ms).max(0).cast_unsigned()));
    [
        format::short_id(&run.id.to_string()),
        format::time(run.created_at_ms),
        run.pipeline.clone(),
        format::truncate(&run.input, 40),
        run.state.to_string(),
        format::count(counts.jobs),
        format::count(counts.terminal()),
        format::count(counts.reused),
        format::count(counts.dead),
        format::count(counts.usage.calls),
        took.map(format::duration).unwrap_or_default(),
    ]
}

fn print_details(run: &RunRow) {
    println!("id        {}", run.id);
    println!("settings  {}", run.settings);
    println!("input     {}", run.notes);
    println!(
        "usage     {} calls, {} input tokens, {} output tokens, {} retries",
        format::count(run.counts.usage.calls),
        format::count(run.counts.usage.input_tokens),
        format::count(run.counts.usage.output_tokens),
        format::count(run.counts.retries)
    );
}
