//! `fleetline status`: runs and what became of them.

use std::io;
use std::time::Duration;

use fleetline_shared::ports::{QueryLedger, RunRow};

use crate::app::App;
use crate::args::StatusArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::{write_line, write_text};
use crate::ui::format;
use crate::ui::table::{Column, Look, Table};

/// Lists runs, or shows one.
pub(super) async fn status(app: &App, args: StatusArgs) -> Result<(), CliError> {
    let ledger = lookup::open(app.db())?;
    let runs = match &args.run {
        Some(text) => vec![lookup::find_run(&ledger, text).await?],
        None => ledger.runs(args.limit).await?,
    };
    if app.json() {
        return runs.iter().try_for_each(|run| write_line(&mut io::stdout(), run));
    }
    if runs.is_empty() {
        write_text("no runs yet: `fleetline run FILE` makes one\n")?;
        return Ok(());
    }
    let mut table = Table::new(
        Look::of_stdout(),
        &[
            Column::Left("run"),
            Column::Left("started"),
            Column::Left("pipeline"),
            Column::Left("input"),
            Column::Left("state"),
            Column::Right("jobs"),
            Column::Right("done"),
            Column::Right("reused"),
            Column::Right("dead"),
            Column::Right("calls"),
            Column::Right("took"),
        ],
    );
    for run in &runs {
        table.plain_row(cells(run));
    }
    write_text(&format!("{table}\n"))?;
    if runs.iter().any(|run| run.finished_at_ms.is_none()) {
        write_text(
            "unfinished runs go on with the command that began them, or with `fleetline run --resume RUN`\n",
        )?;
    }
    if args.run.is_some() {
        print_details(&runs[0])?;
    }
    Ok(())
}

fn cells(run: &RunRow) -> [String; 11] {
    let counts = &run.counts;
    let took =
        run.finished_at_ms.map(|end| Duration::from_millis((end - run.created_at_ms).max(0).cast_unsigned()));
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

fn print_details(run: &RunRow) -> Result<(), CliError> {
    write_text(&format!(
        "id        {}\nsettings  {}\ninput     {}\nusage     {} calls, {} input tokens, {} output tokens, {} retries\n",
        run.id,
        run.settings,
        run.notes,
        format::count(run.counts.usage.calls),
        format::count(run.counts.usage.input_tokens),
        format::count(run.counts.usage.output_tokens),
        format::count(run.counts.retries)
    ))
}
