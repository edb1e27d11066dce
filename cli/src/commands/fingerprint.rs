//! `fleetline fingerprint`: which events of a log count as the same.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use fleetline_producer::logs::fingerprint_events;

use crate::app::App;
use crate::args::FingerprintArgs;
use crate::exit::CliError;
use crate::input::Input;
use crate::present::{closed, write_line};

/// Prints one JSON line per event.
pub(super) fn fingerprint(app: &App, args: &FingerprintArgs) -> Result<(), CliError> {
    let input = Input::open(&args.file)?;
    let unreadable = |error: &dyn std::fmt::Display| CliError::Failure(format!("{}: {error}", input.name));
    let reader = input.reader().map_err(|error| unreadable(&error))?;
    let mut out = BufWriter::new(io::stdout());
    let mut failed = None;
    let report =
        fingerprint_events(reader, &app.log_options(), &mut |event| match write_line(&mut out, &event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })
        .map_err(|error| unreadable(&error))?;
    if let Some(error) = failed {
        return Err(error);
    }
    out.flush().map_err(|error| closed(&error))?;
    app.say(&format!("{} events in {} lines", report.events, report.lines));
    Ok(())
}
