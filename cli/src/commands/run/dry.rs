//! `--dry-run`: the jobs, how many calls they need, and about how many tokens. Calls nobody.

use std::collections::HashMap;
use std::ops::ControlFlow;

use fleetline_shared::domain::{DedupKey, NewJob};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::plan::{Plan, SplitEnd};
use crate::app::App;
use crate::exit::{CliError, FAILURE, OK};
use crate::lookup;
use crate::present::write_text;
use crate::ui::format;

/// Lines of the tree at most; the rest is one line.
const TREE_LINES: usize = 60;
/// Keys that are looked up at once.
const LOOKUP: usize = 1_000;

/// What a run would do.
#[derive(Debug, Default, Serialize)]
struct Forecast {
    pipeline: &'static str,
    analyser: String,
    model: Option<String>,
    /// All jobs.
    jobs: u64,
    /// Events of the input that they stand for.
    occurrences: u64,
    /// Jobs that ask for the same as another job of the run.
    duplicates: u64,
    /// Distinct requests whose result is in the database.
    reused: u64,
    /// Calls that cost something.
    paid_calls: u64,
    /// Estimated tokens of those calls.
    input_tokens: u64,
    /// Estimated tokens of their answers.
    output_tokens: u64,
}

/// The distinct requests of a run, in no order.
#[derive(Default)]
struct Census {
    jobs: u64,
    kind: String,
    upstream: bool,
    distinct: HashMap<DedupKey, (u64, u64)>,
}

impl Census {
    fn count(&mut self, job: NewJob) {
        self.jobs += 1;
        self.upstream = job.upstream.is_some();
        let tokens = (job.estimate.input_tokens, job.estimate.output_tokens);
        self.distinct.insert(job.dedup_key, tokens);
        self.kind = job.kind;
    }
}

/// Splits the input and shows what would be sent.
pub(super) async fn dry_run(app: &App, plan: Plan) -> Result<u8, CliError> {
    let template = plan.template.clone();
    let pipeline = plan.pipeline.as_str();
    let split = spawn_blocking(move || {
        let mut census = Census::default();
        let end = plan.split(&mut |job| {
            census.count(job);
            ControlFlow::Continue(())
        })?;
        Ok::<_, CliError>((census, end))
    });
    let (census, end) =
        split.await.map_err(|error| CliError::Failure(format!("the splitter stopped: {error}")))??;
    let known = known_results(app, &census).await?;
    let mut forecast = forecast(&census, &known, &end);
    forecast.pipeline = pipeline;
    forecast.analyser = template.analyser.name;
    forecast.model = template.analyser.model;
    show(app, &forecast, &end)?;
    Ok(if end.problem.is_some() { FAILURE } else { OK })
}

/// Which distinct requests have a result already. No database: none has.
async fn known_results(app: &App, census: &Census) -> Result<Vec<DedupKey>, CliError> {
    if !app.fleet() && !app.db().exists() {
        return Ok(Vec::new());
    }
    let ledger = lookup::open(app).await?;
    let keys: Vec<_> = census.distinct.keys().copied().collect();
    let mut known = Vec::new();
    for keys in keys.chunks(LOOKUP) {
        let have = ledger.have_results(app.tenant(), &census.kind, keys.to_vec()).await?;
        known.extend(keys.iter().zip(have).filter(|(_, have)| *have).map(|(key, _)| *key));
    }
    Ok(known)
}

fn forecast(census: &Census, known: &[DedupKey], end: &SplitEnd) -> Forecast {
    let mut to_send = census.distinct.clone();
    for key in known {
        to_send.remove(key);
    }
    let repeated: u64 = end.occurrences.iter().map(|(_, count)| count - 1).sum();
    let (input, output) = to_send.values().fold((0, 0), |(input, output), (i, o)| (input + i, output + o));
    let paid = if census.upstream { to_send.len() as u64 } else { 0 };
    Forecast {
        jobs: census.jobs,
        occurrences: census.jobs + repeated,
        duplicates: census.jobs - census.distinct.len() as u64,
        reused: known.len() as u64,
        paid_calls: paid,
        input_tokens: if paid > 0 { input } else { 0 },
        output_tokens: if paid > 0 { output } else { 0 },
        ..Forecast::default()
    }
}

fn show(app: &App, forecast: &Forecast, end: &SplitEnd) -> Result<(), CliError> {
    if app.json() {
        let shown = serde_json::json!({
            "forecast": forecast, "input": end.notes, "tree": end.tree, "problem": end.problem
        });
        return write_text(&format!("{shown}\n"));
    }
    let mut lines = Vec::new();
    lines.extend(end.tree.as_ref().map(|tree| tree.render(TREE_LINES)));
    lines.push(what_is_there(forecast));
    lines.push(what_it_costs(forecast));
    lines.extend(end.problem.as_ref().map(|problem| format!("the input is not read to its end: {problem}")));
    write_text(&format!("{}\n", lines.join("\n")))?;
    app.say("dry run: nothing was sent, nothing was recorded");
    Ok(())
}

fn what_is_there(forecast: &Forecast) -> String {
    let count = format::count;
    let parts = [
        (true, forecast.jobs, "", " jobs"),
        (forecast.occurrences > forecast.jobs, forecast.occurrences, " for ", " log events"),
        (forecast.duplicates > 0, forecast.duplicates, ", ", " of them duplicates of others"),
        (forecast.reused > 0, forecast.reused, "; ", " results are in the database"),
    ];
    let shown = parts.iter().filter(|(shown, ..)| *shown);
    let texts: Vec<_> = shown.map(|(_, n, before, after)| format!("{before}{}{after}", count(*n))).collect();
    texts.concat()
}

fn what_it_costs(forecast: &Forecast) -> String {
    let count = format::count;
    let model = forecast.model.as_ref().map(|model| format!(" ({model})")).unwrap_or_default();
    if forecast.paid_calls == 0 {
        return format!("analyser {}{model}: no paid calls", forecast.analyser);
    }
    format!(
        "analyser {}{model}: {} paid calls, about {} input tokens, about {} output tokens",
        forecast.analyser,
        count(forecast.paid_calls),
        count(forecast.input_tokens),
        count(forecast.output_tokens)
    )
}
