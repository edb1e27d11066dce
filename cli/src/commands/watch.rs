//! `fleetline watch`: a run of the fleet while it goes on.

use std::time::Instant;

use super::run::{conclude, live};
use crate::app::App;
use crate::args::WatchArgs;
use crate::exit::CliError;
use crate::lookup;

/// Follows the run until it is finished; returns the exit code of what became of it.
pub(super) async fn watch(app: &App, args: WatchArgs) -> Result<u8, CliError> {
    let started = Instant::now();
    let ledger = lookup::open(app).await?;
    let run = lookup::find_run(&*ledger, &args.run.run).await?;
    let ended = live::watch(app, ledger.clone(), &run).await?;
    conclude(app, &*ledger, ended, None, None, started).await
}
