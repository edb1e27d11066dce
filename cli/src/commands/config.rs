//! `fleetline config`: the settings in force. Wrong ones are reported before a command starts.

use std::io;

use crate::app::App;
use crate::args::{ConfigAction, ConfigArgs};
use crate::exit::CliError;
use crate::present::{write_line, write_text};

/// Says that all is well, or prints every value with its origin.
pub(super) fn config(app: &App, args: &ConfigArgs) -> Result<(), CliError> {
    match args.action {
        ConfigAction::Check => {
            // Only who takes files reads the node configuration: elsewhere, at a worker say, it may be missing.
            app.discovery_options()?;
            if app.json() {
                return write_line(&mut io::stdout(), &serde_json::json!({ "ok": true }));
            }
            write_text("the configuration is fine\n")
        }
        ConfigAction::Print { .. } if app.json() => write_line(&mut io::stdout(), &app.loaded().origins),
        ConfigAction::Print { .. } => write_text(&app.loaded().origins.to_string()),
    }
}
