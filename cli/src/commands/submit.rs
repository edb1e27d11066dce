//! `fleetline submit`: hands a file to the fleet and goes.

use serde_json::json;

use super::run::plan::Plan;
use super::run::submission;
use crate::app::App;
use crate::args::SubmitArgs;
use crate::exit::{CliError, FAILURE, INTERRUPTED, OK};
use crate::lookup;
use crate::present::{tell, write_text};
use crate::signals::Signals;

/// Answers when the whole input is accepted; returns the exit code.
pub(super) async fn submit(app: &App, args: SubmitArgs) -> Result<u8, CliError> {
    let ledger = lookup::open(app).await?;
    let plan = Plan::new(app, &args.input.file, args.input.pipeline)?;
    let new_run = plan.new_run(app.tenant())?;
    let mut signals = Signals::new()?;
    let Some(mut submission) = submission::start(ledger.clone(), plan, new_run, &mut signals).await? else {
        app.say("stopped before any job was accepted");
        return Ok(INTERRUPTED);
    };
    let opened = submission.opened;
    let ended = tokio::select! {
        ended = &mut submission.task => ended,
        () = signals.asked_to_stop() => {
            submission.halt.cancel();
            let _ = submission.task.await;
            app.say(&format!("interrupted: the same command goes on with run {}", opened.id));
            return Ok(INTERRUPTED);
        }
    };
    let problem = ended.map_err(|error| CliError::Failure(format!("the submission stopped: {error}")))??;
    let run = lookup::find_run(&*ledger, &opened.id.to_string()).await?;
    if app.json() {
        let shown =
            json!({ "id": run.id, "resumed": opened.resumed, "state": run.state, "counts": run.counts });
        write_text(&format!("{shown}\n"))?;
    } else {
        write_text(&format!("{}\n", run.id))?;
        let counts = &run.counts;
        app.say(&format!("{} jobs accepted, {} of them with a result already", counts.jobs, counts.reused));
        app.say(&format!("next:  fleetline watch {}", run.id));
    }
    if let Some(problem) = &problem {
        tell(&format!("error: {problem}\n  what came before it was accepted"));
    }
    Ok(if problem.is_some() { FAILURE } else { OK })
}
