//! stub for a moment
use crate::app::App;
use crate::exit::CliError;
use fleetline_shared::ports::Ledger;
use std::sync::Arc;
pub async fn ledger(_app: &App) -> Result<Arc<dyn Ledger>, CliError> {
    Err(CliError::Usage("x".into()))
}
