//! The long form: all faults in ever new order on servers of its own. `make chaos` runs it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetline_tests::chaos::faults;
use fleetline_tests::chaos::fleet::Site;
use fleetline_tests::chaos::report::{Report, summary};
use fleetline_tests::chaos::scenario::{Extent, Fault, Scenario, play};
use fleetline_tests::services::PrivateServers;
use futures_util::FutureExt;

use super::program;

/// Faults that one fleet lives through.
const ROUND: usize = 4;
/// The smallest that has an effect: the broker looks once a minute.
const CONSUMER_TIMEOUT: &str = "consumer_timeout = 60000";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as many minutes as MINUTES says; `make chaos` runs it"]
async fn everything_happens_for_a_long_time() {
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    let named = std::env::var("FAULT").unwrap_or_default();
    let minutes = number("MINUTES").unwrap_or(30);
    println!("SEED={seed} MINUTES={minutes} FAULT={named}");
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut extent = Extent { long: true, random: fastrand::Rng::with_seed(seed) };
    let mut site = new_site();
    let (mut deck, mut reports) = (Vec::new(), Vec::new());
    while Instant::now() < end {
        if deck.is_empty() {
            deck = faults::all();
            deck.retain(|fault| fault.name.contains(&named));
            assert!(!deck.is_empty(), "no fault has `{named}` in its name");
            extent.random.shuffle(&mut deck);
        }
        let faults = deck.split_off(deck.len().saturating_sub(ROUND));
        let report = round(&site, faults, &mut extent).await;
        println!("{report}");
        if !report.violations.is_empty() {
            // Nobody knows in which state it left its servers.
            site = new_site();
        }
        reports.push(report);
    }
    println!("\nSEED={seed}\n{}", summary(&reports));
    assert!(reports.iter().all(|report| report.violations.is_empty()), "see above");
}

async fn round(site: &Arc<Site>, faults: Vec<Fault>, extent: &mut Extent) -> Report {
    let scenario = Scenario::of(&faults);
    let played = AssertUnwindSafe(play(&scenario, &program(), site, extent)).catch_unwind().await;
    played.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Report {
            scenario: scenario.name,
            violations: vec![said.unwrap_or_else(|| "the test panicked".into())],
            ..Report::default()
        }
    })
}

fn new_site() -> Arc<Site> {
    Arc::new(Site::Own(PrivateServers::start_with(CONSUMER_TIMEOUT)))
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {value}")))
}
