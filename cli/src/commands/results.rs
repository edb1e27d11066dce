//! `fleetline results`: a run's results as JSON lines.

use std::io::{self, BufWriter};
use std::path::Path;

use fleetline_shared::domain::Registry;

use crate::args::ResultsArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::write_results;

/// Prints the rows to standard output.
pub async fn results(db: &Path, registry: &Registry, args: ResultsArgs) -> Result<(), CliError> {
    let ledger = lookup::open(db)?;
    let run = lookup::find_run(&ledger, &args.run.run).await?;
    write_results(&ledger, registry, run.id, &mut BufWriter::new(io::stdout())).await?;
    Ok(())
}
