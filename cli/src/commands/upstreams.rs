//! `fleetline upstreams`: how the upstreams stand.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::insight::{
    Insight, LimitView, QUOTAS, RateView, Unknown, UpstreamView, UpstreamsView,
};
use fleetline_shared::ports::Ledger;
use fleetline_shared::rules::dollars;
use tokio::time::sleep;

use crate::app::App;
use crate::args::UpstreamsArgs;
use crate::config::Upstream;
use crate::exit::CliError;
use crate::fleet;
use crate::lookup;
use crate::outage::Outages;
use crate::present::{write_line, write_text};
use crate::ui::format;
use crate::ui::table::{Column, Look, Table, Tone};

/// Time between two looks of `--watch`.
const AGAIN: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its top.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Shows all upstreams, once or until Ctrl-C.
pub(super) async fn upstreams(app: &App, args: UpstreamsArgs) -> Result<(), CliError> {
    let insight = insight(app, lookup::open(app).await?)?;
    let outages = (args.watch && app.fleet()).then(|| Outages::of(app));
    loop {
        let view = match &outages {
            Some(outages) => outages.outlast(|| insight.upstreams()).await?,
            None => insight.upstreams().await?,
        };
        if app.json() {
            write_line(&mut io::stdout(), &view)?;
        } else {
            let look = Look::of_stdout();
            let clear = if args.watch && look.width.is_some() { CLEAR } else { "" };
            write_text(&format!("{clear}{}", in_words(&view, look)))?;
            tell_unknown(app, &view.unknown);
            tell_shares(app, &view.unknown);
        }
        if !args.watch {
            return Ok(());
        }
        sleep(AGAIN).await;
    }
}

/// Who can be asked: of the fleet its servers, of a file the file.
pub(super) fn insight(app: &App, ledger: Arc<dyn Ledger>) -> Result<Insight, CliError> {
    if app.fleet() {
        return fleet::insight(app, ledger);
    }
    let kinds = app.registry().clone();
    let (limits, weights) = (fleet::limits(app), app.weights());
    let (static_shares, flags) = (BTreeSet::new(), app.flags());
    Ok(Insight { ledger, kinds, limits, static_shares, weights, fleet: None, flags })
}

/// Says what could not be asked.
pub(super) fn tell_unknown(app: &App, unknown: &[Unknown]) {
    for Unknown { what, error } in unknown {
        app.say(&format!("not known: {what}: {}", error.as_deref().unwrap_or("no answer")));
    }
}

/// Says what becomes of calls while Redis cannot be reached.
fn tell_shares(app: &App, unknown: &[Unknown]) {
    if app.fleet() && unknown.iter().any(|unknown| unknown.what == QUOTAS) {
        app.say(&without_redis(&app.config().upstreams));
    }
}

fn without_redis(upstreams: &BTreeMap<String, Upstream>) -> String {
    let (go_on, stop): (Vec<_>, Vec<_>) = upstreams
        .iter()
        .map(|(name, upstream)| (name.clone(), upstream.share()))
        .partition(|(_, share)| share.is_some());
    let share = |(name, share): (String, Option<u32>)| {
        let share = share.unwrap_or(1);
        format!("calls to {name} go on, each worker with 1/{share} of its limits")
    };
    let stop = stop.into_iter().map(|(name, _)| format!("no call to {name} is made"));
    let sentences: Vec<_> = go_on.into_iter().map(share).chain(stop).collect();
    format!("while Redis cannot be reached: {}", sentences.join("; "))
}

fn in_words(view: &UpstreamsView, look: Look) -> String {
    let mut table = Table::new(
        look,
        &[
            Column::Left("upstream"),
            Column::Text("used of limits"),
            Column::Right("rate"),
            Column::Left("state"),
            Column::Right("calling"),
            Column::Right("waiting"),
            Column::Right("finished in"),
        ],
    );
    for upstream in &view.upstreams {
        table.row(cells(upstream));
    }
    let within = view.upstreams.iter().filter_map(|upstream| {
        let limits = within(&upstream.per_tenant, &upstream.per_model)?;
        Some(format!("within {}\n", format::clean(&format!("{}: {limits}", upstream.name))))
    });
    let within: String = within.collect();
    let without = view.without.calls();
    let more = if without > 0 {
        format!("{} more jobs wait that call nobody\n", format::count(without))
    } else {
        String::new()
    };
    format!("{table}\n{within}{more}")
}

/// `each tenant 50k tokens/min; model gpt-4o 100 requests/min`
pub(super) fn within(tenant: &[RateView], models: &BTreeMap<String, Vec<RateView>>) -> Option<String> {
    let rates = |whose: &str, rates: &[RateView]| {
        let rates: Vec<_> = rates.iter().map(per_window).collect();
        (!rates.is_empty()).then(|| format!("{whose} {}", rates.join(", ")))
    };
    let models = models.iter().filter_map(|(name, of)| rates(&format!("model {name}"), of));
    let all: Vec<_> = rates("each tenant", tenant).into_iter().chain(models).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn per_window(rate: &RateView) -> String {
    format!("{} {}{}", amount(rate.of, rate.limit), rate.of, window(rate.window_ms))
}

fn cells(of: &UpstreamView) -> [(String, Tone); 7] {
    let (state, tone) = state(of);
    let waiting = of.backlog.calls() - of.backlog.dispatched;
    let finished = match of.finish_in_ms {
        Some(0) => "-".to_owned(),
        Some(ms) => format::duration(Duration::from_millis(ms)),
        None if !of.is_known && of.limits.iter().any(|limit| limit.window_ms.is_some()) => "?".to_owned(),
        None => "no rate".to_owned(),
    };
    [
        (of.name.clone(), Tone::Plain),
        (limits(&of.limits), Tone::Plain),
        (
            rate(of),
            if of.effective_percent.is_some_and(|share| share < 100.0) { Tone::Warn } else { Tone::Plain },
        ),
        (state, tone),
        (of.in_flight.map_or("?".to_owned(), |calls| format::count(calls.into())), Tone::Plain),
        (format::count(waiting), Tone::Plain),
        (finished, Tone::Plain),
    ]
}

fn state(of: &UpstreamView) -> (String, Tone) {
    match &of.paused {
        Some(pause) => {
            let left = format::duration(Duration::from_millis(pause.for_ms));
            (format!("paused {left}: {}", pause.why), Tone::Bad)
        }
        None if of.breaker.as_ref().is_some_and(|breaker| breaker.state != "closed") => breaker(of),
        None if of.is_known => ("ok".to_owned(), Tone::Good),
        None => ("?".to_owned(), Tone::Dim),
    }
}

fn breaker(of: &UpstreamView) -> (String, Tone) {
    match of.breaker.as_ref().and_then(|breaker| breaker.probe_in_ms) {
        Some(ms) => {
            let left = format::duration(Duration::from_millis(ms));
            (format!("breaker open, tried in {left}"), Tone::Bad)
        }
        None => ("breaker half-open".to_owned(), Tone::Warn),
    }
}

/// `482/500 requests/1m, 3/10 concurrency`
fn limits(limits: &[LimitView]) -> String {
    if limits.is_empty() {
        return "no limit".to_owned();
    }
    let one = |limit: &LimitView| {
        let amount = |units| amount(limit.of, units);
        let used = limit.used.map_or("?".to_owned(), |used| amount(used + limit.others.unwrap_or(0)));
        let window = limit.window_ms.map(window).unwrap_or_default();
        format!("{used}/{} {}{window}", amount(limit.limit), limit.of)
    };
    limits.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn amount(of: &str, units: u64) -> String {
    if of == "budget" { dollars(units) } else { format::short(units) }
}

fn window(ms: u64) -> String {
    match ms {
        1_000 => "/s".to_owned(),
        60_000 => "/min".to_owned(),
        3_600_000 => "/h".to_owned(),
        86_400_000 => "/day".to_owned(),
        ms => format!("/{}", format::duration(Duration::from_millis(ms))),
    }
}

/// `8.3/s`, or `5.8/s (70%)` after a 429.
fn rate(of: &UpstreamView) -> String {
    let Some(rate) = of.calls_per_second else { return "-".to_owned() };
    match of.effective_percent {
        Some(share) if share < 100.0 => format!("{} ({share:.0}%)", format::per_second(rate)),
        _ => format::per_second(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::Sources;

    #[test]
    fn money_is_shown_in_dollars() {
        let view =
            |of, limit, used| LimitView { of, limit, window_ms: Some(86_400_000), used, others: Some(0) };
        let views = [view("requests", 500, Some(3)), view("budget", 25_000_000, Some(1_500_000))];
        assert_eq!(limits(&views), "3/500 requests/day, 1.50 USD/25.00 USD budget/day");
    }

    #[test]
    fn limits_within_an_upstreams_are_said_without_their_use() {
        let rate = |of, limit| RateView { of, limit, window_ms: 60_000 };
        let tenant = [rate("tokens", 50_000), rate("budget", 5_000_000)];
        let models =
            BTreeMap::from([("free".into(), Vec::new()), ("gpt-4o".into(), vec![rate("requests", 100)])]);
        let said = within(&tenant, &models).expect("there are some");
        assert_eq!(said, "each tenant 50k tokens/min, 5.00 USD budget/min; model gpt-4o 100 requests/min");
        assert_eq!(within(&[], &BTreeMap::new()), None);
    }

    #[test]
    fn what_becomes_of_calls_without_redis() {
        let toml = "[upstreams.openai]\nrequests = '500/min'\nfail = 'static-share'\nreplicas = 4\n\
                    [upstreams.jira]\nbase_url = 'https://jira.example.com'";
        let said = without_redis(&Sources::new(toml).load().config.upstreams);
        let expected = "while Redis cannot be reached: calls to openai go on, each worker with 1/4 of its limits; \
                        no call to jira is made";
        assert_eq!(said, expected);
    }
}
