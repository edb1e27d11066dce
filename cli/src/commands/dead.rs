//! `fleetline dead`: jobs that were parked, and sending them again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Instant;

use fleetline_producer::rows::place;
use fleetline_shared::domain::{JobId, JobState, NewRun, RunId};
use fleetline_shared::ports::{DeadJobs, JobDetail, JobFilter, JobRow, Ledger, QueryLedger};
use serde::Serialize;
use serde_json::json;

use super::run::{Input, analysers, conclude, live};
use crate::app::App;
use crate::args::{DeadAction, DeadArgs};
use crate::backend::Backend;
use crate::exit::{CliError, INTERRUPTED, OK};
use crate::lookup::{self, each_job, find_job, find_run};
use crate::patient::RunLedger;
use crate::present::{write_line, write_text};
use crate::ui::format;
use crate::ui::table::{Column, Look, Table};

/// Does what was asked for; returns the exit code.
pub(super) async fn dead(app: &App, args: DeadArgs) -> Result<u8, CliError> {
    match args.action.unwrap_or(DeadAction::List { run: None }) {
        DeadAction::List { run } => list(app, run.as_deref()).await,
        DeadAction::Show { job } => show(app, &job).await,
        DeadAction::Redrive { jobs, run, all } => redrive(app, &jobs, run.as_deref(), all).await,
    }
}

fn dead_jobs(run: Option<RunId>) -> JobFilter {
    JobFilter { run, state: Some(JobState::Dead), ..JobFilter::default() }
}

async fn list(app: &App, run: Option<&str>) -> Result<u8, CliError> {
    let ledger = lookup::open(app).await?;
    let run = match run {
        Some(text) => Some(find_run(app, &*ledger, text).await?.id),
        None => None,
    };
    let mut table = Table::new(
        Look::of_stdout(),
        &[
            Column::Left("job"),
            Column::Left("run"),
            Column::Path("where"),
            Column::Left("reason"),
            Column::Right("attempts"),
            Column::Left("sent again in"),
            Column::Text("error"),
        ],
    );
    let mut count = 0;
    each_job(&*ledger, dead_jobs(run), |job| {
        count += 1;
        if app.json() {
            return write_line(&mut io::stdout(), &job);
        }
        table.plain_row(cells(&job));
        Ok(())
    })
    .await?;
    if app.json() {
        return Ok(OK);
    }
    if count == 0 {
        write_text("no dead jobs\n")?;
        return Ok(OK);
    }
    write_text(&format!("{table}\n"))?;
    let db = app.flags();
    write_text(&format!("next:  fleetline dead show JOB{db}      its args and errors\n"))?;
    write_text(&format!("       fleetline dead redrive JOB{db}   send it again\n"))?;
    Ok(OK)
}

fn cells(job: &JobRow) -> [String; 7] {
    [
        format::short_id(&job.job_id.to_string()),
        format::short_id(&job.run_id.to_string()),
        place(&job.source),
        job.dead_reason.map(|reason| reason.to_string()).unwrap_or_default(),
        job.attempts.to_string(),
        job.sent_again_in.map(|run| format::short_id(&run.to_string())).unwrap_or_default(),
        job.error.clone().unwrap_or_default(),
    ]
}

/// What `dead show` prints: args and output as they are stored, whatever numbers they hold.
#[derive(Serialize)]
struct Shown {
    job: JobRow,
    detail: Option<JobDetail>,
}

async fn show(app: &App, text: &str) -> Result<u8, CliError> {
    let ledger = lookup::open(app).await?;
    let job = find_job(app, &*ledger, text, dead_jobs(None)).await?;
    let detail = ledger.job_detail(job.job_id).await?;
    let shown = serde_json::to_string_pretty(&Shown { job, detail })
        .map_err(|error| CliError::Failure(error.to_string()))?;
    write_text(&format!("{shown}\n"))?;
    Ok(OK)
}

async fn redrive(app: &App, jobs: &[String], run: Option<&str>, all: bool) -> Result<u8, CliError> {
    // Opened for reading first, so that a wrong path makes no new database.
    let reader = lookup::open(app).await?;
    let chosen = if all {
        of_all_tenants(&*reader).await?
    } else if let Some(text) = run {
        let run = find_run(app, &*reader, text).await?;
        BTreeMap::from([(run.tenant, DeadJobs::Run(run.id))])
    } else {
        by_tenant(app, &*reader, jobs).await?
    };
    for (tenant, which) in &chosen {
        analysers::of_dead(app, tenant, which).await?;
    }
    // The writer closes the file last: only it can bring it up to date.
    drop(reader);
    let backend = Backend::open(app).await?;
    // All before any is followed: whoever stops following has sent them.
    let mut runs = Vec::new();
    for (tenant, which) in chosen {
        runs.extend(send_again(app, &*backend.ledger(), tenant, which).await?);
    }
    if runs.is_empty() {
        write_text("nothing to redrive: no such job is dead, or all were sent again before\n")?;
    }
    let mut worst = OK;
    for run in runs {
        let code = follow(app, &backend, run).await?;
        worst = worst.max(code);
        if code == INTERRUPTED {
            break;
        }
    }
    Ok(worst)
}

/// Whoever has dead jobs, as `dead list` shows them.
async fn of_all_tenants(ledger: &dyn QueryLedger) -> Result<BTreeMap<String, DeadJobs>, CliError> {
    let mut runs = BTreeSet::new();
    each_job(ledger, dead_jobs(None), |job| {
        runs.insert(job.run_id);
        Ok(())
    })
    .await?;
    let mut chosen = BTreeMap::new();
    for run in runs {
        chosen.extend(ledger.run(run).await?.map(|run| (run.tenant, DeadJobs::All)));
    }
    Ok(chosen)
}

/// These jobs, by whose they are.
async fn by_tenant(
    app: &App,
    ledger: &dyn QueryLedger,
    jobs: &[String],
) -> Result<BTreeMap<String, DeadJobs>, CliError> {
    let mut ids = BTreeMap::<String, Vec<JobId>>::new();
    for text in jobs {
        let job = find_job(app, ledger, text, dead_jobs(None)).await?;
        let run = find_run(app, ledger, &job.run_id.to_string()).await?;
        ids.entry(run.tenant).or_default().push(job.job_id);
    }
    Ok(ids.into_iter().map(|(tenant, ids)| (tenant, DeadJobs::Jobs(ids))).collect())
}

/// Sends a tenant's jobs again, in a run; `None`: there are none to be sent.
async fn send_again(
    app: &App,
    ledger: &dyn Ledger,
    tenant: String,
    which: DeadJobs,
) -> Result<Option<RunId>, CliError> {
    let into = NewRun {
        id: RunId::new(),
        tenant,
        pipeline: "redrive".into(),
        input: "dead jobs".into(),
        idempotency_key: None,
        once: false,
        settings: json!({}),
    };
    let id = into.id;
    let redriven = ledger.redrive(which, into).await?;
    if redriven == 0 {
        return Ok(None);
    }
    app.say(&format!("{redriven} jobs sent again as run {id}"));
    Ok(Some(id))
}

async fn follow(app: &App, backend: &Backend, run: RunId) -> Result<u8, CliError> {
    let started = Instant::now();
    let ledger = RunLedger::new(app, backend.ledger());
    let run = find_run(app, &*ledger.query, &run.to_string()).await?;
    let ended = live::resume(app, backend, &ledger, &run).await?;
    conclude(app, &*ledger.query, ended, Input::Once, None, started).await
}
