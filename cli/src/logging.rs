//! Logs on stderr: which lines, and in which form.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::GlobalArgs;
use crate::exit::CliError;
use crate::ui::has_colour;

const VARIABLE: &str = "FLEETLINE_LOG";

/// Starts to log. A filter that cannot be read is an error: its writer would wait for lines that never come.
pub(crate) fn start(global: &GlobalArgs) -> Result<(), CliError> {
    let given = std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().trim().to_owned());
    let filter = match given.filter(|given| !given.is_empty()) {
        Some(given) => filter(&given).map_err(CliError::Usage)?,
        None => EnvFilter::new(usual(global)),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(has_colour(stderr().is_terminal()))
        .with_target(false);
    if global.json {
        logs.json().init();
    } else {
        logs.without_time().init();
    }
    Ok(())
}

fn usual(global: &GlobalArgs) -> String {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    // The AMQP library reports as errors what the adapter asks for on purpose: is this queue there?
    if global.verbose < 2 { format!("{level},lapin=off") } else { level.to_owned() }
}

/// A word alone is a level: as the name of a part it would switch all others off, which is a slip.
fn filter(given: &str) -> Result<EnvFilter, String> {
    let wrong = |why: &str| {
        format!(
            "{VARIABLE}={given}: {why}; write a level, such as debug, or levels of parts, such as fleetline_worker=debug"
        )
    };
    let is_word = |part: &&str| !part.contains(['=', '[']);
    let slip =
        given.split(',').map(str::trim).filter(is_word).find(|part| part.parse::<LevelFilter>().is_err());
    if let Some(slip) = slip {
        return Err(wrong(&format!("`{slip}` is no level")));
    }
    given.parse().map_err(|error| wrong(&format!("{error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_told() {
        for good in ["debug", "INFO", "off", "fleetline_worker=debug", "warn,fleetline=trace", "[call]=debug"]
        {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["debgu", "fleetline_worker", "fleetline=loud", "info,", "a=b=c"] {
            let problem = filter(bad).err().unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(problem.contains(bad) && problem.contains("such as debug"), "{problem}");
        }
    }
}
