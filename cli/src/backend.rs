//! Where a command's runs are recorded and worked off: in this process, or by the fleet.

use std::sync::Arc;

use fleetline_shared::ports::{Ledger, Scope};

use crate::app::App;
use crate::engine::{Embedded, RunningEngine};
use crate::exit::CliError;
use crate::fleet;

/// A ledger, and who works on its jobs.
pub enum Backend {
    /// This process.
    Embedded(Embedded),
    /// Workers elsewhere.
    Fleet(Arc<dyn Ledger>),
}

impl Backend {
    /// Opens what the settings name.
    pub async fn open(app: &App) -> Result<Self, CliError> {
        if app.fleet() {
            Ok(Self::Fleet(fleet::ledger(app).await?))
        } else {
            Ok(Self::Embedded(Embedded::open(app.db(), app.max_losses()).await?))
        }
    }

    /// The ledger.
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        match self {
            Self::Embedded(embedded) => Arc::new(embedded.ledger.clone()),
            Self::Fleet(ledger) => Arc::clone(ledger),
        }
    }

    /// Starts to work on the jobs, if that is this process's task.
    pub fn start(&self, app: &App, scope: Scope) -> Option<RunningEngine> {
        match self {
            Self::Embedded(embedded) => {
                Some(embedded.start(app.registry().clone(), app.engine_options(), scope))
            }
            Self::Fleet(_) => None,
        }
    }
}
