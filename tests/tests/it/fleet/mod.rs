//! The distributed mode as processes, and what may happen to it. The long form is `make chaos`.

mod chaos;
mod drained;
mod ledger_away;
mod left;
mod long;
mod lost;
mod mutants;
mod proxy;
mod without_key;
mod without_redis;

use std::sync::Arc;

use fleetline_tests::chaos::fleet::{Program, Site};
use fleetline_tests::chaos::report::Report;
use fleetline_tests::chaos::scenario::{Extent, Fault, Scenario, play};

/// The program with kill points.
fn program() -> Program {
    Program(env!("CARGO_BIN_EXE_fleetline-under-test").into())
}

/// Plays the short form of these faults; panics if anything is not as promised.
async fn survives(site: Site, faults: &[Fault]) -> Report {
    plays_well(site, &Scenario::of(faults)).await
}

async fn plays_well(site: Site, scenario: &Scenario) -> Report {
    let mut extent = Extent { long: false, random: fastrand::Rng::new() };
    let report = play(scenario, &program(), &Arc::new(site), &mut extent).await;
    eprintln!("{report}");
    assert_eq!(report.violations, Vec::<String>::new());
    report
}
