//! `fleetline submit`: hands a file to the fleet and goes.

use fleetline_shared::ports::RunRow;
use serde_json::json;

use super::run::plan::Plan;
use super::run::submission::{self, Submission};
use super::run::{Input, of_fleet};
use crate::app::App;
use crate::args::SubmitArgs;
use crate::exit::{CliError, FAILURE, INTERRUPTED, OK};
use crate::lookup;
use crate::patient::RunLedger;
use crate::present::{tell, write_text};
use crate::signals::Signals;

/// Answers when the whole input is accepted; returns the exit code.
pub(super) async fn submit(app: &App, args: SubmitArgs) -> Result<u8, CliError> {
    let ledger = RunLedger::new(app, lookup::open(app).await?);
    let plan = Plan::new(app, &args.input.file, args.input.pipeline)?;
    let new_run = plan.new_run(app.tenant())?;
    let input = Input::of(&new_run);
    let mut signals = Signals::new()?;
    let submitting = submission::start(ledger.jobs.clone(), plan, new_run, &mut signals);
    let Some(submission) = submitting.await? else {
        app.say("stopped before any job was accepted");
        return Ok(INTERRUPTED);
    };
    let Submission { opened, halt, task } = submission;
    let mut is_open = true;
    let accepted = async {
        let ended = task.await.map_err(|error| CliError::Failure(format!("the submission stopped: {error}")));
        let problem = ended??;
        is_open = false;
        Ok::<_, CliError>((problem, lookup::find_run(app, &*ledger.query, &opened.id.to_string()).await?))
    };
    let accepted = tokio::select! {
        accepted = accepted => accepted,
        () = signals.asked_to_stop() => {
            halt.cancel();
            app.say(&of_fleet(opened.id, is_open, input, &app.flags()));
            return Ok(INTERRUPTED);
        }
    };
    let (problem, run) =
        accepted.inspect_err(|_| app.say(&of_fleet(opened.id, is_open, input, &app.flags())))?;
    show(app, &run, opened.resumed)?;
    if let Some(problem) = &problem {
        tell(&format!("error: {problem}\n  what came before it was accepted"));
    }
    Ok(if problem.is_some() { FAILURE } else { OK })
}

fn show(app: &App, run: &RunRow, resumed: bool) -> Result<(), CliError> {
    let counts = &run.counts;
    if app.json() {
        let shown = json!({ "id": run.id, "resumed": resumed, "state": run.state, "counts": counts });
        return write_text(&format!("{shown}\n"));
    }
    write_text(&format!("{}\n", run.id))?;
    app.say(&format!("{} jobs accepted, {} of them with a result already", counts.jobs, counts.reused));
    app.say(&format!("next:  fleetline watch {}{}", run.id, app.flags()));
    Ok(())
}
