//! `fleetline explain`: what a job waits for, and when it will probably run.

use std::io;
use std::time::Duration;

use fleetline_producer::insight::Explanation;
use fleetline_shared::ports::JobFilter;

use super::upstreams::{insight, tell_unknown, within};
use crate::app::App;
use crate::args::ExplainArgs;
use crate::exit::CliError;
use crate::lookup;
use crate::present::{write_line, write_text};
use crate::ui::format;

/// Explains one job.
pub(super) async fn explain(app: &App, args: ExplainArgs) -> Result<(), CliError> {
    let ledger = lookup::open(app).await?;
    let job = lookup::find_job(app, &*ledger, &args.job, JobFilter::default()).await?.job_id;
    let explained = insight(app, ledger)?.explain(job, None).await?;
    let gone = || CliError::Failure(format!("there is no job `{}`", args.job));
    let explanation = explained.ok_or_else(gone)?;
    if app.json() {
        return write_line(&mut io::stdout(), &explanation);
    }
    tell_unknown(app, &explanation.unknown);
    write_text(&in_words(&explanation))
}

fn in_words(of: &Explanation) -> String {
    let ms = |ms| format::duration(Duration::from_millis(ms));
    let mut text = format!(
        "job       {}\nrun       {}\nkind      {}\nupstream  {}\nstate     {}, {} of {} attempts\n\n{}\n",
        of.job_id,
        of.run_id,
        of.kind,
        of.upstream.as_deref().unwrap_or("none"),
        of.state,
        of.attempts,
        of.max_attempts,
        format::clean(&of.summary)
    );
    let waits = of.waits_for.iter().filter(|_| of.waits_for.len() > 1).map(|wait| {
        let time = wait.for_ms.map(|time| format!(", {} more", ms(time))).unwrap_or_default();
        format!("  - {}{time}\n", format::clean(&wait.detail))
    });
    text.extend(waits);
    // Often it is part of what it waits for.
    let recorded = of.recorded.as_ref().filter(|recorded| !of.summary.contains(recorded.as_str()));
    text.extend(recorded.map(|recorded| format!("recorded last: {}\n", format::clean(recorded))));
    let limits = of.upstream.as_ref().zip(within(&of.per_tenant, &of.per_model));
    text.extend(
        limits.map(|(upstream, limits)| {
            format!("within {}\n", format::clean(&format!("{upstream}: {limits}")))
        }),
    );
    let expected = of.expected.iter();
    text.extend(
        expected.map(|of| format!("expected to run in about {}: {}\n", ms(of.in_ms), format::clean(&of.why))),
    );
    text.extend(of.deadline_in_ms.map(|deadline| format!("its deadline is in {}\n", ms(deadline))));
    text
}
