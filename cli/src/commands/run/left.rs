//! What is said to who leaves a run before its end: what becomes of it, and what to do.

use fleetline_shared::domain::{NewRun, RunId, RunState};
use fleetline_shared::ports::RunRow;

use crate::app::App;

/// Where the input of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The same command has the same input, and goes on with the same run.
    Again,
    /// It could be read once, or there is none: the same command makes another run.
    Once,
    /// Another process reads it.
    Elsewhere,
}

impl Input {
    /// Of a run that is begun.
    pub fn of(run: &NewRun) -> Self {
        if run.idempotency_key.is_some() { Self::Again } else { Self::Once }
    }
}

/// Of a run that this process worked on, or followed.
pub(super) fn in_words(app: &App, run: &RunRow, input: Input) -> String {
    let is_open = run.state == RunState::Open;
    let flags = app.flags();
    if run.is_cancelling() {
        return "stopped watching: the run is cancelled, and over when its jobs under way have ended with their \
                attempts"
            .into();
    }
    if app.fleet() {
        of_fleet(run.id, is_open, input, &flags)
    } else {
        of_file(run.id, is_open, input, &flags)
    }
}

fn of_file(run: RunId, is_open: bool, input: Input, flags: &str) -> String {
    let more = if is_open { "; the rest of its input was not read, and is not kept" } else { "" };
    match input {
        Input::Once => format!(
            "interrupted: `fleetline run --resume {run}{flags}` goes on with what was accepted, and pays for nothing \
             twice{more}"
        ),
        Input::Again | Input::Elsewhere => {
            "interrupted: the same command goes on where this one stopped, and pays for nothing twice".into()
        }
    }
}

/// Of a run whose jobs the fleet works on. An open one that nobody goes on with is ended by `serve`.
pub fn of_fleet(run: RunId, is_open: bool, input: Input, flags: &str) -> String {
    if !is_open {
        return format!(
            "stopped watching: the fleet works on; `fleetline watch {run}{flags}` follows it again"
        );
    }
    let ends = format!(
        "the fleet ends it after a while (dispatch.left_after) with what was accepted, `fleetline run --resume \
         {run}{flags}` at once, `fleetline cancel {run}{flags}` without"
    );
    match input {
        Input::Again => format!(
            "interrupted: the input was not read to its end, and what was accepted of it is worked off. The same \
             command goes on with run {run}, or makes another one if the fleet has ended that (dispatch.left_after); \
             it pays for nothing twice"
        ),
        Input::Once => format!(
            "interrupted: the input was not read to its end, and cannot be read again; what was accepted of it is \
             worked off. Run {run} is still open: {ends}"
        ),
        Input::Elsewhere => format!(
            "stopped watching: the input of run {run} is not read to its end yet, and what was accepted of it is \
             worked off. If nobody submits it any more, the command that began it goes on with it; or {ends}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_what_is_true() {
        let run = RunId::new();
        let (watch, resume) = (format!("`fleetline watch {run} --fleet`"), format!("--resume {run}"));
        let same = "the same command goes on";
        let table: [(String, &[&str], &[&str]); 8] = [
            (of_file(run, true, Input::Again, ""), &[same], &[&resume]),
            (of_file(run, false, Input::Again, ""), &[same], &[&resume]),
            (of_file(run, true, Input::Once, " --db x"), &[&resume, "--db x", "not read"], &[same]),
            (of_file(run, false, Input::Once, ""), &[&resume], &[same, "not read"]),
            (of_fleet(run, false, Input::Once, " --fleet"), &["stopped watching", &watch], &[same]),
            (
                of_fleet(run, true, Input::Again, " --fleet"),
                &["The same command goes on"],
                &["stopped watching"],
            ),
            (
                of_fleet(run, true, Input::Once, " --fleet"),
                &[&resume, "cancel", "still open"],
                &["stopped watching", same],
            ),
            (of_fleet(run, true, Input::Elsewhere, " --fleet"), &["not read to its end", &resume], &[&watch]),
        ];
        for (said, with, without) in table {
            assert!(with.iter().all(|part| said.contains(part)), "{said}: all of {with:?}");
            assert!(!without.iter().any(|part| said.contains(part)), "{said}: none of {without:?}");
        }
    }
}
