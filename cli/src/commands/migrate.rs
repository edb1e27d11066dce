//! `fleetline migrate`: the fleet's database, forward to this version.

use fleetline_shared::postgres;

use crate::app::App;
use crate::exit::CliError;
use crate::fleet;
use crate::present::write_text;

/// Applies what is missing. Several at once are fine: one waits for the other.
pub(super) async fn migrate(app: &App) -> Result<(), CliError> {
    postgres::migrate(&fleet::postgres_options(app)?).await?;
    write_text("the database is up to date\n")
}
