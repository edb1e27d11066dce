//! `fleetline status`: runs and what became of them.

use std::io;
use std::time::Duration;

use fleetline_shared::ports::{Page, RunRow};

use crate::app::App;
use crate::args::StatusArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::{write_line, write_text};
use crate::ui::format;
use crate::ui::table::{Column, Look, Table, Tone};

/// Lists runs, or shows one.
pub(super) async fn status(app: &App, args: StatusArgs) -> Result<(), CliError> {
    let ledger = lookup::open(app).await?;
    let runs = match &args.run {
        Some(text) => vec![lookup::find_run(app, &*ledger, text).await?],
        None => ledger.runs(None, Page::first(if args.limit == 0 { usize::MAX } else { args.limit })).await?,
    };
    if app.json() {
        return runs.iter().try_for_each(|run| write_line(&mut io::stdout(), run));
    }
    if runs.is_empty() {
        return write_text(&format!("no runs yet: `{}` makes one\n", app.first_command()));
    }
    let mut table = Table::new(
        Look::of_stdout(),
        &[
            Column::Left("run"),
            Column::Left("started"),
            Column::Path("input"),
            Column::Left("state"),
            Column::Right("done"),
            Column::Right("dead"),
            Column::Right("calls"),
        ],
    );
    for run in &runs {
        table.row(cells(run));
    }
    write_text(&format!("{table}\n"))?;
    if runs.iter().any(|run| run.finished_at_ms.is_none() && !run.is_cancelling()) {
        write_text(&how_they_go_on(app))?;
    }
    if runs.iter().any(RunRow::is_cancelling) {
        write_text(
            "of a run that is cancelling nothing begins any more; it is over when its jobs under way have ended with \
             their attempts\n",
        )?;
    }
    if args.run.is_some() {
        print_details(&runs[0])?;
    }
    Ok(())
}

fn how_they_go_on(app: &App) -> String {
    let flags = app.flags();
    if app.fleet() {
        return format!(
            "unfinished runs are worked off by the fleet: `fleetline watch RUN{flags}` follows one. An open one waits \
             for the rest of its input, until nobody has read it for dispatch.left_after\n"
        );
    }
    format!(
        "unfinished runs go on with the command that began them. `fleetline run --resume RUN{flags}` goes on without the \
         input; an open run has not read it to its end\n"
    )
}

fn cells(run: &RunRow) -> [(String, Tone); 7] {
    let counts = &run.counts;
    let dead = if counts.dead > 0 { Tone::Bad } else { Tone::Dim };
    let state = if run.finished_at_ms.is_some() { Tone::Good } else { Tone::Warn };
    [
        (format::short_id(&run.id.to_string()), Tone::Plain),
        (format::time(run.created_at_ms), Tone::Dim),
        (run.input.clone(), Tone::Plain),
        (state_of(run).to_owned(), state),
        (format!("{}/{}", format::count(counts.terminal()), format::count(counts.jobs)), Tone::Plain),
        (format::count(counts.dead), dead),
        (format::count(counts.usage.calls), Tone::Plain),
    ]
}

/// Of a cancelled run as people call it.
fn state_of(run: &RunRow) -> &'static str {
    match run.cancelled_at_ms {
        Some(_) if run.is_cancelling() => "cancelling",
        Some(_) => "cancelled",
        None => run.state.as_str(),
    }
}

fn print_details(run: &RunRow) -> Result<(), CliError> {
    let (counts, count) = (&run.counts, format::count);
    let took = run.finished_at_ms.map(|end| (end - run.created_at_ms).max(0).cast_unsigned());
    let took = took.map_or_else(|| "-".to_owned(), |ms| format::duration(Duration::from_millis(ms)));
    let under_way = counts.jobs - counts.terminal();
    let cancelled = match run.cancelled_at_ms {
        Some(at) if under_way > 0 => {
            format!("cancelled {}, {} jobs under way\n", format::time(at), count(under_way))
        }
        Some(at) => format!("cancelled {}\n", format::time(at)),
        None => String::new(),
    };
    let analyser = &run.settings["analyser"];
    let model = analyser["model"].as_str().map(|model| format!(", model {model}")).unwrap_or_default();
    write_text(&format!(
        "id        {}\npipeline  {}\nanalyser  {}{model}\nreused    {} results\nusage     {} calls, {} input tokens, \
         {} output tokens, {} retries\n{cancelled}took      {took}\n`--json` adds the settings and what was read\n",
        run.id,
        run.pipeline,
        analyser["name"].as_str().unwrap_or("-"),
        count(counts.reused),
        count(counts.usage.calls),
        count(counts.usage.input_tokens),
        count(counts.usage.output_tokens),
        count(counts.retries)
    ))
}
