//! `fleetline watch`: a run of the fleet while it goes on.

use std::time::Instant;

use super::run::{Input, conclude, live};
use crate::app::App;
use crate::args::WatchArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::patient::RunLedger;

/// Follows the run until it is finished; returns the exit code of what became of it.
pub(super) async fn watch(app: &App, args: WatchArgs) -> Result<u8, CliError> {
    let started = Instant::now();
    let ledger = lookup::open(app).await?;
    let run = lookup::find_run(app, &*ledger, &args.run.run).await?;
    let ledger = RunLedger::new(app, ledger);
    let ended = live::watch(app, &ledger, &run).await?;
    conclude(app, &*ledger.query, ended, Input::Elsewhere, None, started).await
}
