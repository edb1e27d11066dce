//! Whether this process can do the jobs that wait: without their analysers they would all die.

use fleetline_shared::domain::{AnalyserRef, RunId};
use fleetline_shared::embedded::SqliteLedger;
use fleetline_shared::ports::DeadJobs;

use crate::app::App;
use crate::config::NOT_CONFIGURED;
use crate::exit::CliError;

/// Of a run's unfinished jobs. In a fleet others work on them.
pub(super) async fn of_run(app: &App, run: RunId) -> Result<(), CliError> {
    if app.fleet() {
        return Ok(());
    }
    all_here(app, &SqliteLedger::open_read_only(app.db())?.analysers_of_run(run).await?)
}

/// Of dead jobs that are to be sent again.
pub async fn of_dead(app: &App, tenant: &str, which: &DeadJobs) -> Result<(), CliError> {
    if app.fleet() {
        return Ok(());
    }
    let ledger = SqliteLedger::open_read_only(app.db())?;
    all_here(app, &ledger.analysers_of_dead(tenant, which.clone()).await?)
}

fn all_here(app: &App, asked: &[(String, AnalyserRef)]) -> Result<(), CliError> {
    let lacking = asked.iter().find_map(|(kind, wanted)| lacking(&app.kinds().analysers(kind), wanted));
    lacking.map_or(Ok(()), |why| Err(CliError::Usage(format!("{why}; nothing was done"))))
}

/// What to do if the wanted one is not here. A kind without analysers lacks none.
fn lacking(here: &[&AnalyserRef], wanted: &AnalyserRef) -> Option<String> {
    if here.is_empty() || here.contains(&wanted) {
        return None;
    }
    let jobs_ask = format!("the jobs ask for the analyser {}", in_words(wanted));
    Some(match here.iter().find(|choice| choice.name == wanted.name) {
        None if wanted.name == "openai" => format!("{jobs_ask}, and {NOT_CONFIGURED}"),
        None => format!("{jobs_ask}, which this release does not have: run the one that made them"),
        Some(other) if other.model != wanted.model => format!(
            "{jobs_ask}, and {} is configured: set OPENAI_MODEL={}",
            in_words(other),
            wanted.model.as_deref().unwrap_or("none")
        ),
        Some(other) => {
            format!("{jobs_ask}, and this release has {}: run the one that made them", in_words(other))
        }
    })
}

fn in_words(analyser: &AnalyserRef) -> String {
    let model = analyser.model.as_ref().map(|model| format!("model {model}, ")).unwrap_or_default();
    format!("{} ({model}version {})", analyser.name, analyser.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analyser(name: &str, model: Option<&str>, version: &str) -> AnalyserRef {
        AnalyserRef { name: name.into(), model: model.map(Into::into), version: version.into() }
    }

    #[test]
    fn what_is_lacking_is_told_with_what_to_do() {
        let builtin = analyser("builtin", None, "1");
        let openai = analyser("openai", Some("m"), "1");
        let all = [&builtin, &openai];
        for (here, wanted, told) in [
            (&all[..], analyser("builtin", None, "1"), None),
            (&all[..], analyser("openai", Some("m"), "1"), None),
            (&all[..0], analyser("openai", Some("m"), "1"), None),
            (&all[..], analyser("openai", Some("other"), "1"), Some("set OPENAI_MODEL=other")),
            (&all[..], analyser("builtin", None, "2"), Some("this release has builtin (version 1)")),
            (&all[..1], analyser("openai", Some("m"), "1"), Some("set OPENAI_API_KEY")),
            (&all[..], analyser("magic", None, "1"), Some("does not have")),
        ] {
            match (lacking(here, &wanted), told) {
                (None, None) => {}
                (Some(said), Some(part)) => assert!(said.contains(part), "{said}"),
                (said, _) => panic!("{wanted:?}: {said:?}"),
            }
        }
    }
}
