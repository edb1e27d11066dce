//! `fleetline jobs`: the jobs of a run.

use std::io;

use fleetline_producer::rows::place;
use fleetline_shared::domain::JobState;
use fleetline_shared::ports::{JobFilter, JobRow, Page};

use crate::app::App;
use crate::args::JobsArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::{write_line, write_text};
use crate::ui::format;
use crate::ui::table::{Column, Look, Table, Tone};

/// Lists them.
pub(super) async fn jobs(app: &App, args: JobsArgs) -> Result<(), CliError> {
    let ledger = lookup::open(app).await?;
    let run = lookup::find_run(app, &*ledger, &args.run.run).await?;
    let filter = JobFilter { run: Some(run.id), state: args.state, ..JobFilter::default() };
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    if app.json() {
        let mut out = io::stdout().lock();
        let mut left = limit;
        return lookup::each_job(&*ledger, filter, |job| {
            if left == 0 {
                return Ok(());
            }
            left -= 1;
            write_line(&mut out, &job)
        })
        .await;
    }
    // One more, to know whether there are more.
    let rows = ledger.jobs(filter, Page { after: 0, limit: limit.saturating_add(1) }).await?;
    let mut table = Table::new(
        Look::of_stdout(),
        &[
            Column::Left("job"),
            Column::Left("state"),
            Column::Path("where"),
            Column::Right("events"),
            Column::Right("attempts"),
            Column::Right("calls"),
            Column::Text("last error"),
        ],
    );
    for job in rows.iter().take(limit) {
        table.row(cells(job));
    }
    write_text(&format!("{table}\n"))?;
    if rows.len() > limit {
        // The run counts all of them, whatever their state.
        let of_run = format!(" {}", format::count(run.counts.jobs));
        let all = if args.state.is_none() { of_run.as_str() } else { "" };
        write_text(&format!("the first {limit}; `--limit 0` lists all{all}\n"))?;
    }
    Ok(())
}

fn cells(job: &JobRow) -> [(String, Tone); 7] {
    let state = if job.reused { "reused".to_owned() } else { job.state.to_string() };
    [
        (format::short_id(&job.job_id.to_string()), Tone::Plain),
        (state, tone(job.state)),
        (place(&job.source), Tone::Plain),
        (format::count(job.occurrences), Tone::Plain),
        (job.attempts.to_string(), Tone::Plain),
        (job.usage.calls.to_string(), Tone::Plain),
        (job.error.clone().unwrap_or_default(), Tone::Plain),
    ]
}

fn tone(state: JobState) -> Tone {
    match state {
        JobState::Succeeded => Tone::Good,
        JobState::Dead => Tone::Bad,
        JobState::Cancelled => Tone::Warn,
        JobState::Ready | JobState::Dispatched | JobState::Attached => Tone::Plain,
    }
}
