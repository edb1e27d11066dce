//! `fleetline run`: an input in, every node or message analysed once, results in the database.

pub mod analysers;
mod dry;
mod left;
pub mod live;
mod out;
mod patience;
pub mod plan;
pub mod submission;
mod summary;
mod unread;

use std::path::Path;
use std::time::{Duration, Instant};

use fleetline_shared::domain::JobState;
use fleetline_shared::ports::{JobFilter, Page, QueryLedger, RunRow};
use serde_json::json;

use crate::app::App;
use crate::args::RunArgs;
use crate::backend::Backend;
use crate::engine::files_of;
use crate::exit::{CliError, FAILURE, GAVE_UP, INTERRUPTED, NOT_ALL, OK};
use crate::lookup;
use crate::patient::RunLedger;
use crate::present::{tell, write_text};
use crate::signals::Signals;
pub use left::{Input, of_fleet};
use live::Ended;
use out::{OutFile, Taken};
use plan::Plan;

/// Does what was asked for; returns the exit code.
pub async fn run(app: &App, args: RunArgs) -> Result<u8, CliError> {
    let started = Instant::now();
    let mut out = args.out.as_deref().map(|out| OutFile::create(out, &taken(app, &args))).transpose()?;
    if let Some(text) = &args.resume {
        return resume(app, text, out, started).await;
    }
    let file = args.file.as_deref().ok_or_else(|| CliError::Usage("no input given".into()))?;
    let plan = Plan::new(app, file, args.pipeline)?;
    if args.dry_run {
        return dry::dry_run(app, plan).await;
    }
    let new_run = plan.new_run(app.tenant())?;
    let input = Input::of(&new_run);
    let backend = Backend::open(app).await?;
    let ledger = RunLedger::new(app, backend.ledger());
    let ended = live::run_plan(app, &backend, &ledger, plan, new_run).await?;
    conclude(app, &*ledger.query, ended, input, out.take(), started).await
}

/// The files that `--out` must not overwrite.
fn taken(app: &App, args: &RunArgs) -> Vec<Taken> {
    let mut taken = Vec::new();
    if !app.fleet() {
        taken.extend(files_of(app.db()).map(|file| ("a file of the database", file)));
    }
    let input = args.file.as_deref().map(|file| if file == "-" { Path::new("/dev/stdin") } else { file });
    let read = [
        ("the input", input),
        ("the node configuration", app.config().discovery.nodes.as_deref()),
        ("the configuration file", app.loaded().file.as_deref()),
        ("the file of the API key", app.config().openai.api_key_file.as_deref()),
    ];
    taken.extend(read.into_iter().filter_map(|(what, file)| Some((what, file?.to_owned()))));
    taken
}

async fn resume(app: &App, text: &str, out: Option<OutFile>, started: Instant) -> Result<u8, CliError> {
    // Opened for reading first, so that a wrong path makes no new database.
    let run = lookup::find_run(app, &*lookup::open(app).await?, text).await?;
    analysers::of_run(app, run.id).await?;
    let backend = Backend::open(app).await?;
    let ledger = RunLedger::new(app, backend.ledger());
    let ended = live::resume(app, &backend, &ledger, &run).await?;
    conclude(app, &*ledger.query, ended, Input::Again, out, started).await
}

/// Writes `--out` if the run has ended, shows what it brought, and says how it ended.
pub async fn conclude(
    app: &App,
    ledger: &dyn QueryLedger,
    ended: Ended,
    input: Input,
    out: Option<OutFile>,
    started: Instant,
) -> Result<u8, CliError> {
    let (run, interrupted, down) = match ended {
        Ended::Finished(run) => (run, false, None),
        Ended::Interrupted(run) => (run, true, None),
        Ended::GaveUp(run, down) => (run, false, Some(down)),
        Ended::NothingAccepted => {
            app.say("stopped before any job was accepted");
            return Ok(INTERRUPTED);
        }
        Ended::LeftAway(run) => {
            app.say(&format!(
                "stopped while the ledger is away: what was accepted is kept, and when it is back \
                 `fleetline watch {run}{}` shows how far it is",
                app.flags()
            ));
            return Ok(INTERRUPTED);
        }
    };
    let has_ended = !interrupted && down.is_none();
    let shown = async {
        let written = match out {
            Some(out) if has_ended => Some(out.write(app, ledger, run.id).await?),
            Some(out) => {
                tell(&out.left_alone(app, run.id));
                None
            }
            None => None,
        };
        show(app, ledger, &run, started.elapsed(), written.as_deref()).await
    };
    let mut signals = Signals::new()?;
    tokio::select! {
        shown = shown => shown?,
        () = signals.asked_to_stop() => return Ok(INTERRUPTED),
    }
    let problem = unread::problem(&run);
    if let Some(problem) = &problem {
        let kept = if run.cancelled_at_ms.is_some() {
            ""
        } else {
            "\n  what came before it is kept and was analysed"
        };
        tell(&format!("error: {problem}{kept}\n"));
    }
    if interrupted {
        app.say(&left::in_words(app, &run, input));
    }
    if let Some(down) = down {
        tell(&gave_up(app, &run, &down, last_error(ledger, &run).await?));
        return Ok(GAVE_UP);
    }
    Ok(exit_code(&run, interrupted, problem.is_some()))
}

/// Jobs among which one with an error is looked for.
const SOME: usize = 100;

/// Of a job that waits: it says more than that calls fail. A failed call's if there was one: what was recorded since may
/// only be that the job waits.
async fn last_error(ledger: &dyn QueryLedger, run: &RunRow) -> Result<Option<String>, CliError> {
    let waiting = JobFilter { run: Some(run.id), state: Some(JobState::Ready), ..JobFilter::default() };
    let first = ledger.jobs(waiting, Page::first(SOME)).await?;
    if let Some(tried) = first.iter().find(|job| job.attempts > 0)
        && let Some(failed) =
            ledger.job_detail(tried.job_id).await?.and_then(|detail| detail.attempts.into_iter().last())
    {
        return Ok(Some(failed.error));
    }
    Ok(first.into_iter().find_map(|job| job.error))
}

/// What people need to know to go on.
fn gave_up(app: &App, run: &RunRow, down: &[String], error: Option<String>) -> String {
    let waited = app.config().run.give_up_after.unwrap_or_default();
    let left = run.counts.jobs - run.counts.terminal();
    let why = error.map(|error| format!("  the last error: {error}\n")).unwrap_or_default();
    format!(
        "error: gave up: {} fails, and nothing has succeeded for {}; {left} jobs are left, and kept\n{why}  \
         when it answers again: fleetline run --resume {}{}\n  \
         to wait for longer: run.give_up_after, \"never\" for as long as it takes\n",
        down.join(", "),
        humantime::format_duration(waited),
        run.id,
        app.flags(),
    )
}

fn exit_code(run: &RunRow, interrupted: bool, problem: bool) -> u8 {
    match (interrupted, problem, run.counts.dead + run.counts.cancelled) {
        (true, _, _) => INTERRUPTED,
        (false, true, _) => FAILURE,
        (false, false, 0) => OK,
        (false, false, _) => NOT_ALL,
    }
}

async fn show(
    app: &App,
    ledger: &dyn QueryLedger,
    run: &RunRow,
    took: Duration,
    out: Option<&str>,
) -> Result<(), CliError> {
    if app.json() {
        let shown = json!({ "run": run, "out": out, "took_ms": took.as_secs_f64() * 1000.0 });
        write_text(&format!("{shown}\n"))?;
        return Ok(());
    }
    let tables = summary::tables(ledger, app.registry(), run).await?;
    if !tables.is_empty() {
        write_text(&format!("{tables}\n"))?;
    }
    write_text(&format!("{}\n", summary::figures(run, took)))?;
    if let Some(out) = out {
        write_text(&format!("written to {out}\n"))?;
    }
    app.say(&format!("\nnext:\n{}", summary::next_commands(app, run)));
    Ok(())
}
