//! `fleetline cancel`: work that is not wanted any more.

use fleetline_shared::ports::{CancelJobs, JobFilter};

use crate::app::App;
use crate::args::CancelArgs;
use crate::backend::Backend;
use crate::exit::CliError;
use crate::lookup;
use crate::present::write_text;
use crate::ui::format::clean;

/// Cancels a run or a job, and says what that ended.
pub(super) async fn cancel(app: &App, args: CancelArgs) -> Result<(), CliError> {
    // Opened for reading first, so that a wrong path makes no new database.
    let reader = lookup::open(app).await?;
    let run = lookup::find_run(app, &*reader, &args.run).await?;
    let which = match &args.job {
        None => CancelJobs::Run(run.id),
        Some(text) => {
            let of_run = JobFilter { run: Some(run.id), ..JobFilter::default() };
            CancelJobs::Job(lookup::find_job(app, &*reader, text, of_run).await?.job_id)
        }
    };
    // The writer closes the file last, when it goes: only it can bring it up to date.
    drop(reader);
    let backend = Backend::open(app).await?;
    let ledger = backend.ledger();
    let ended = ledger.cancel(&run.tenant, which).await?;
    ledger.settled().await;
    if app.json() {
        return write_text(&format!("{}\n", serde_json::json!(ended)));
    }
    let under_way = match ended.under_way {
        0 => String::new(),
        n => format!("; {n} handed out end with their attempt"),
    };
    let what = if args.job.is_some() { "a job of " } else { "" };
    let input = clean(&run.input);
    write_text(&format!("{what}run {} of `{input}`: {} cancelled{under_way}\n", run.id, ended.cancelled))
}
