//! What people and reports read.

use fleetline_shared::domain::{DeadReason, JobId, JobState, NewRun, RunId};
use fleetline_shared::ports::{JobFilter, JobRow, Page};
use serde_json::json;

use super::Subject;
use super::prelude::*;

async fn list(ledger: &Subject, filter: JobFilter) -> Vec<JobRow> {
    ledger.jobs(filter, Page { after: 0, limit: 100 }).await.unwrap()
}

/// In the order in which they were added; jobs of other runs in between do not matter.
pub async fn jobs_come_in_pages(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    let other = open(ledger, TENANT).await;
    for seq in 1..=25 {
        add(ledger, run, jobs("a", seq, seq)).await;
        add(ledger, other, jobs("b", seq, seq)).await;
    }
    let filter = JobFilter { run: Some(run), ..JobFilter::default() };
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut after = 0;
    loop {
        let page = ledger.jobs(filter.clone(), Page { after, limit: 10 }).await.unwrap();
        sizes.push(page.len());
        let Some(last) = page.last() else { break };
        after = last.position;
        seen.extend(page.into_iter().map(|row| (row.run_id, row.source)));
    }
    assert_eq!(sizes, [10, 10, 5, 0]);
    let expected: Vec<_> = (1..=25).map(|seq| (run, job(seq, "a").source)).collect();
    assert_eq!(seen, expected);
}

/// Alone and together.
pub async fn filters_narrow_the_listing(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 3)).await;
    let other = run_of(ledger, jobs("b", 1, 2)).await;
    for envelope in take(ledger, 2).await {
        record(ledger, &envelope, die(DeadReason::Permanent)).await;
    }
    let dead = Some(JobState::Dead);
    let all = list(ledger, JobFilter::default()).await;
    assert_eq!(all.len(), 5);
    assert_eq!(list(ledger, JobFilter { run: Some(other), ..JobFilter::default() }).await.len(), 2);
    assert_eq!(list(ledger, JobFilter { state: dead, ..JobFilter::default() }).await.len(), 2);
    for filter in [(run, 1), (other, 1)] {
        let both = JobFilter { run: Some(filter.0), state: dead, ..JobFilter::default() };
        assert_eq!(list(ledger, both).await.len(), filter.1);
    }
    for row in &all {
        let one = JobFilter { job: Some(row.job_id), ..JobFilter::default() };
        let found = list(ledger, one).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].job_id, row.job_id);
    }
    let elsewhere = JobFilter { job: Some(all[0].job_id), run: Some(other), ..JobFilter::default() };
    assert!(list(ledger, elsewhere).await.is_empty());
}

/// Of several whose ends are the same, all.
pub async fn jobs_are_found_by_the_end_of_their_ids(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 40)).await;
    let all = list(ledger, JobFilter::default()).await;
    let ids: Vec<String> = all.iter().map(|row| row.job_id.to_string().replace('-', "")).collect();
    for end in
        [1, 4, 8, 16, 20, 32].into_iter().flat_map(|digits| [&ids[0][32 - digits..], &ids[33][32 - digits..]])
    {
        let of_run = JobFilter { ends_in: Some(end.to_owned()), run: Some(run), ..JobFilter::default() };
        for filter in [JobFilter { run: None, ..of_run.clone() }, of_run] {
            let found = list(ledger, filter).await;
            let found: Vec<_> = found.iter().map(|row| row.job_id.to_string().replace('-', "")).collect();
            let expected: Vec<_> = ids.iter().filter(|id| id.ends_with(end)).cloned().collect();
            assert_eq!(found, expected, "{end}");
        }
    }
    for none in ["fffffffff", "no digits"] {
        let filter = JobFilter { ends_in: Some(none.to_owned()), ..JobFilter::default() };
        assert!(list(ledger, filter).await.is_empty(), "{none}");
    }
}

/// A listing of many jobs need not carry them.
pub async fn results_are_read_when_asked_for(ledger: &Subject) {
    let run = run_of(ledger, jobs("a", 1, 1)).await;
    let mut result = done("out");
    result.facts = vec![json!(1)];
    let envelope = take_one(ledger).await;
    record(ledger, &envelope, fleetline_shared::domain::Decision::Succeed(result)).await;
    let filter = JobFilter { run: Some(run), ..JobFilter::default() };
    let bare = list(ledger, filter.clone()).await.remove(0);
    assert_eq!((bare.output_value(), bare.facts.len()), (None, 0));
    assert_eq!(bare.analyser.as_deref(), Some("tester"));
    let full = list(ledger, JobFilter { with_results: true, ..filter }).await.remove(0);
    assert_eq!((full.output_value(), full.facts), (Some(json!("out")), vec![json!(1)]));
}

/// And no more come than asked for.
pub async fn the_newest_run_comes_first(ledger: &Subject) {
    let mut opened = Vec::new();
    for _ in 0..5 {
        opened.insert(0, open(ledger, TENANT).await);
    }
    let ids = |limit| async move {
        ledger.runs(None, Page::first(limit)).await.unwrap().into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(100).await, opened);
    assert_eq!(ids(2).await, opened[..2]);
    assert!(ids(0).await.is_empty());
}

/// A page goes on where the one before ended, whatever was opened meanwhile and whose it is.
pub async fn runs_come_in_pages(ledger: &Subject) {
    let mut opened = Vec::new();
    for _ in 0..5 {
        opened.insert(0, open(ledger, TENANT).await);
        open(ledger, "other").await;
    }
    let mut seen = Vec::new();
    let mut page = Page::first(2);
    loop {
        let runs = ledger.runs(Some(TENANT), page).await.unwrap();
        assert!(runs.len() <= 2);
        let Some(last) = runs.last() else { break };
        page.after = last.position;
        seen.extend(runs.iter().map(|run| run.id));
        open(ledger, TENANT).await;
    }
    assert_eq!(seen, opened);
    let all = ledger.runs(None, Page::first(100)).await.unwrap();
    let rest = ledger.runs(None, Page { after: all[3].position, limit: 100 }).await.unwrap();
    assert_eq!(
        rest.iter().map(|run| run.id).collect::<Vec<_>>(),
        all[4..].iter().map(|run| run.id).collect::<Vec<_>>()
    );
}

/// Its settings among it.
pub async fn a_run_shows_what_it_was_given(ledger: &Subject) {
    let new = NewRun {
        tenant: "globex".into(),
        pipeline: "logs".into(),
        input: "übung.log".into(),
        settings: json!({"a": [1, null, "x"]}),
        ..new_run(TENANT)
    };
    ledger.open_run(new.clone()).await.unwrap();
    let row = run_row(ledger, new.id).await;
    assert_eq!((row.tenant, row.pipeline, row.input), (new.tenant, new.pipeline, new.input));
    assert_eq!(row.settings, new.settings);
    assert!(row.created_at_ms > 1_700_000_000_000, "milliseconds since 1970");
}

/// And no error.
pub async fn what_is_not_there_is_none(ledger: &Subject) {
    assert!(ledger.runs(None, Page::first(10)).await.unwrap().is_empty());
    assert!(ledger.run(RunId::new()).await.unwrap().is_none());
    assert!(list(ledger, JobFilter { run: Some(RunId::new()), ..JobFilter::default() }).await.is_empty());
    assert!(list(ledger, JobFilter { job: Some(JobId::new()), ..JobFilter::default() }).await.is_empty());
}

/// For services that may see their own work only.
pub async fn a_tenant_sees_its_own_only(ledger: &Subject) {
    let own = run_of(ledger, jobs("a", 1, 2)).await;
    let other = open(ledger, "other").await;
    add(ledger, other, jobs("a", 1, 1)).await;
    let runs = ledger.runs(Some(TENANT), Page::first(10)).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [own]);
    let of = |tenant: &str| JobFilter { tenant: Some(tenant.into()), ..JobFilter::default() };
    assert_eq!(list(ledger, of(TENANT)).await.len(), 2);
    assert_eq!(list(ledger, of("other")).await.len(), 1);
    assert!(list(ledger, JobFilter { run: Some(own), ..of("other") }).await.is_empty());
}
