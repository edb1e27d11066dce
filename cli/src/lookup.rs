//! Finding what a user means by `latest` or by the first digits of an id.

use std::sync::Arc;

use fleetline_shared::domain::JobState;
use fleetline_shared::embedded::SqliteLedger;
use fleetline_shared::ports::{JobFilter, JobRow, Ledger, Page, QueryLedger, RunRow};

use crate::app::App;
use crate::exit::CliError;
use crate::fleet;
use crate::ui::format::count;

/// Runs that are searched for first digits.
const SEARCHED_RUNS: usize = 10_000;
/// Fewer digits are at the end of too many ids.
const SHORTEST_END: usize = 4;
/// Rows read at once where all are wanted.
const PAGE: usize = 500;
/// The same with results, which may be large.
const PAGE_WITH_RESULTS: usize = 32;

/// Opens the ledger to look at.
pub async fn open(app: &App) -> Result<Arc<dyn Ledger>, CliError> {
    if app.fleet() { fleet::ledger(app).await } else { Ok(Arc::new(SqliteLedger::open_read_only(app.db())?)) }
}

/// The run that the user means.
pub async fn find_run(app: &App, ledger: &dyn QueryLedger, text: &str) -> Result<RunRow, CliError> {
    if let Ok(id) = text.parse() {
        return ledger.run(id).await?.ok_or_else(|| unknown(app, "run", text));
    }
    if text == "latest" {
        // Others' runs come and go in a fleet; this one may be cancelled by that name.
        let own = ledger.runs(Some(app.tenant()), Page::first(1)).await?;
        return own.into_iter().next().ok_or_else(|| {
            let tenant = app.tenant();
            CliError::Failure(format!(
                "tenant `{tenant}` has no run yet: `{}` makes one; `run.tenant` says which tenant is meant",
                app.first_command()
            ))
        });
    }
    let runs = ledger.runs(None, Page::first(SEARCHED_RUNS)).await?;
    let is_part = runs.len() == SEARCHED_RUNS;
    let found: Vec<_> = runs.into_iter().filter(|run| starts_with(&run.id.to_string(), text)).collect();
    if found.is_empty() && is_part {
        return Err(CliError::Failure(not_searched(text)));
    }
    only(app, "run", text, found)
}

fn not_searched(text: &str) -> String {
    format!("there is no run `{text}` among the newest {}: give the whole id", count(SEARCHED_RUNS as u64))
}

/// The job that the user means.
pub async fn find_job(
    app: &App,
    ledger: &dyn QueryLedger,
    text: &str,
    filter: JobFilter,
) -> Result<JobRow, CliError> {
    let what = if filter.state == Some(JobState::Dead) { "dead job" } else { "job" };
    let filter = JobFilter { job: text.parse().ok(), ..filter };
    // The last digits, which tables show, are found without a walk through all jobs.
    if let Some(end) = end_of_id(text).filter(|_| filter.job.is_none()) {
        let ending = JobFilter { ends_in: Some(end), ..filter.clone() };
        let found = ledger.jobs(ending, Page::first(PAGE)).await?;
        if !found.is_empty() {
            return only(app, what, text, found);
        }
    }
    let mut found = Vec::new();
    each_job(ledger, filter, |job| {
        if starts_with(&job.job_id.to_string(), text) {
            found.push(job);
        }
        Ok(())
    })
    .await?;
    only(app, what, text, found)
}

/// Calls `row` for every job, page by page.
pub async fn each_job(
    ledger: &dyn QueryLedger,
    filter: JobFilter,
    mut row: impl FnMut(JobRow) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let limit = if filter.with_results { PAGE_WITH_RESULTS } else { PAGE };
    let mut page = Page { after: 0, limit };
    loop {
        let jobs = ledger.jobs(filter.clone(), page).await?;
        let Some(last) = jobs.last() else { return Ok(()) };
        page.after = last.position;
        for job in jobs {
            row(job)?;
        }
    }
}

/// The text as the end of an id, if it is long enough to mean one.
fn end_of_id(text: &str) -> Option<String> {
    let digits = text.replace('-', "").to_ascii_lowercase();
    (digits.len() >= SHORTEST_END && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// Ids of one minute share their first digits, so the last ones are accepted too: they are what
/// tables show.
fn starts_with(id: &str, text: &str) -> bool {
    let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
    let (id, text) = (plain(id), plain(text));
    !text.is_empty() && (id.starts_with(&text) || id.ends_with(&text))
}

fn only<T>(app: &App, what: &str, text: &str, mut found: Vec<T>) -> Result<T, CliError> {
    match found.len() {
        0 => Err(unknown(app, what, text)),
        1 => Ok(found.remove(0)),
        n => Err(CliError::Failure(format!("{n} {what}s match `{text}`: give more of the id"))),
    }
}

fn unknown(app: &App, what: &str, text: &str) -> CliError {
    let list = match what {
        "run" => "status --limit 0",
        "dead job" => "dead list",
        _ => "jobs RUN --limit 0",
    };
    let flags = app.flags();
    CliError::Failure(format!(
        "there is no {what} `{text}` in this database: `fleetline {list}{flags}` lists them"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_either_end() {
        let id = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001";
        for (text, found) in [
            ("0199aaaa", true),
            ("0199aaaa-bb", true),
            ("0199AAAABB", true),
            ("ffff0001", true),
            ("aaaa", false),
            ("", false),
        ] {
            assert_eq!(starts_with(id, text), found, "{text}");
        }
    }
}
