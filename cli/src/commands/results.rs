//! `fleetline results`: a run's results as JSON lines.

use std::io::{self, BufWriter};

use crate::app::App;
use crate::args::ResultsArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::write_results;

/// Prints the rows to standard output.
pub(super) async fn results(app: &App, args: ResultsArgs) -> Result<(), CliError> {
    let ledger = lookup::open(app).await?;
    let run = lookup::find_run(app, &*ledger, &args.run.run).await?;
    write_results(&*ledger, app.registry(), run.id, &mut BufWriter::new(io::stdout())).await?;
    Ok(())
}
