//! Tenants share an upstream by their weights, measured in tokens.

use fleetline_shared::domain::{NewJob, Weights};
use fleetline_shared::ports::{DispatchAsk, Scope};

use super::Subject;
use super::prelude::*;

/// 3:1 by tokens, whatever the jobs are like and however much is asked for at a time.
pub async fn shares_follow_the_weights(ledger: &Subject) {
    run_with(ledger, "acme", 900, &[70, 130, 100]).await;
    run_with(ledger, "globex", 900, &[400, 10, 40]).await;
    let mut taken = Vec::new();
    for limit in [1, 7, 2, 64, 3, 40, 1, 1, 1, 100, 33].into_iter().cycle().take(33) {
        let more = ledger.dispatch(weighted(limit, &[("acme", 3)])).await.unwrap();
        assert_eq!(more.len(), limit);
        taken.extend(more);
    }
    let (acme, globex) = (tokens_of(&taken, "acme"), tokens_of(&taken, "globex"));
    let share = acme as f64 / (acme + globex) as f64;
    assert!((share - 0.75).abs() < 0.015, "{acme} and {globex} tokens");
}

/// Without weights, and whoever has more runs.
pub async fn tenants_without_weights_are_equal(ledger: &Subject) {
    for _ in 0..9 {
        run_with(ledger, "acme", 30, &[10]).await;
    }
    run_with(ledger, "globex", 200, &[10]).await;
    for limit in [1, 9, 20, 70] {
        let mut taken = ledger.dispatch(weighted(limit, &[])).await.unwrap();
        taken.extend(ledger.dispatch(weighted(limit, &[])).await.unwrap());
        assert_eq!(tokens_of(&taken, "acme"), tokens_of(&taken, "globex"), "two of {limit}");
    }
}

/// Its time without work is not made up for, nor is it held against it.
pub async fn who_was_away_has_its_share_and_no_more(ledger: &Subject) {
    run_with(ledger, "acme", 400, &[10]).await;
    // It has an unfinished run, and no work.
    open(ledger, "globex").await;
    ledger.dispatch(weighted(200, &[])).await.unwrap();
    run_with(ledger, "globex", 200, &[10]).await;
    let taken = ledger.dispatch(weighted(40, &[])).await.unwrap();
    assert_eq!((tokens_of(&taken, "acme"), tokens_of(&taken, "globex")), (200, 200));
}

/// No room stays empty while anybody has work.
pub async fn what_a_tenant_leaves_others_take(ledger: &Subject) {
    run_with(ledger, "acme", 300, &[10]).await;
    run_with(ledger, "globex", 3, &[10]).await;
    run_with(ledger, "initech", 5, &[1_000]).await;
    let taken = ledger.dispatch(weighted(250, &[("globex", 900), ("initech", 100)])).await.unwrap();
    assert_eq!(taken.len(), 250);
    assert_eq!((tokens_of(&taken, "globex"), tokens_of(&taken, "initech")), (30, 5_000));
    assert_eq!(ledger.dispatch(weighted(250, &[])).await.unwrap().len(), 58);
}

/// As ever, and each counts for itself.
pub async fn a_tenants_runs_take_turns(ledger: &Subject) {
    run_with(ledger, "globex", 100, &[10]).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(run_with(ledger, "acme", 100, &[10]).await);
    }
    for limit in [1, 1, 1, 1, 1, 1, 2, 4, 12, 24] {
        ledger.dispatch(weighted(limit, &[])).await.unwrap();
    }
    let taken = ledger.dispatch(weighted(66, &[])).await.unwrap();
    for run in runs {
        let of_run = taken.iter().filter(|job| job.run_id == run).count();
        assert_eq!(of_run, 11);
    }
}

/// Within a run the more urgent job goes first; whose turn it is it does not change.
pub async fn priority_stays_within_a_tenant(ledger: &Subject) {
    let run = open(ledger, "acme").await;
    let urgent = |job: NewJob| NewJob { priority: 9, ..job };
    add(ledger, run, jobs("calm", 1, 20)).await;
    add(ledger, run, jobs("urgent", 21, 40).into_iter().map(urgent).collect()).await;
    let other = open(ledger, "globex").await;
    add(ledger, other, jobs("calm", 1, 40)).await;
    let taken = ledger.dispatch(weighted(40, &[])).await.unwrap();
    let of_acme: Vec<_> = taken.into_iter().filter(|job| job.tenant == "acme").collect();
    assert_eq!(seqs(&of_acme), (21..=40).collect::<Vec<_>>());
}

/// A paused upstream's jobs stay, and its tenants' turns with them.
pub async fn turns_of_upstreams_are_apart(ledger: &Subject) {
    for tenant in ["acme", "globex"] {
        run_with(ledger, tenant, 100, &[10]).await;
        let run = open(ledger, tenant).await;
        let to_other = |job: NewJob| NewJob { upstream: Some("other".into()), ..job };
        add(ledger, run, jobs("other", 1, 100).into_iter().map(to_other).collect()).await;
    }
    let skipping =
        |upstream: &str, limit| DispatchAsk { skip_upstreams: vec![upstream.into()], ..weighted(limit, &[]) };
    for limit in [1, 5, 9] {
        let taken = ledger.dispatch(skipping("other", limit)).await.unwrap();
        assert!(taken.iter().all(|job| job.upstream.as_deref() == Some("api")), "{taken:?}");
    }
    let both = ledger.dispatch(weighted(40, &[])).await.unwrap();
    assert_eq!(both.iter().filter(|job| job.upstream.as_deref() == Some("other")).count(), 20);
    let of_other = ledger.dispatch(skipping("api", 10)).await.unwrap();
    assert_eq!(tokens_of(&of_other, "acme"), tokens_of(&of_other, "globex"));
}

/// One run's process takes of no other tenant.
pub async fn a_runs_own_scope_knows_no_tenants(ledger: &Subject) {
    let run = run_with(ledger, "acme", 10, &[10]).await;
    run_with(ledger, "globex", 10, &[10]).await;
    let of_run = DispatchAsk { scope: Scope::Run(run), weights: Weights::default(), ..weighted(20, &[]) };
    assert_eq!(ledger.dispatch(of_run).await.unwrap().len(), 10);
}
