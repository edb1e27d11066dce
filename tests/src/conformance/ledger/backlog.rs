//! What waits, and how one job stands.

use fleetline_shared::domain::{JobState, NewJob};
use fleetline_shared::ports::{Backlog, JobStanding};

use super::Subject;
use super::prelude::{HOUR, KIND, TENANT, add, job, jobs, open, record, rows, snooze, success, take};

fn of_upstream(upstream: &str, jobs: Vec<NewJob>) -> Vec<NewJob> {
    let upstream = Some(upstream.to_owned());
    jobs.into_iter().map(|job| NewJob { upstream: upstream.clone(), ..job }).collect()
}

async fn standing_of(ledger: &Subject, run: fleetline_shared::domain::RunId, place: usize) -> JobStanding {
    let job = rows(ledger, run).await[place].job_id;
    ledger.standing(job).await.unwrap().expect("it is there")
}

/// By upstream and kind, with what each kind of waiting is; terminal jobs are not counted.
pub async fn what_waits_is_counted(ledger: &Subject) {
    assert_eq!(ledger.backlog().await.unwrap(), []);
    let run = open(ledger, TENANT).await;
    add(ledger, run, jobs("plain", 1, 2)).await;
    add(ledger, run, of_upstream("api", jobs("api", 3, 7))).await;
    add(ledger, run, of_upstream("api", vec![job(8, "api-3")])).await;
    let taken = take(ledger, 100).await;
    for envelope in &taken {
        match envelope.upstream {
            None => record(ledger, envelope, success("done")).await,
            Some(_) if super::prelude::seq_of(envelope) == 7 => {
                record(ledger, envelope, snooze(HOUR)).await;
            }
            Some(_) => {}
        }
    }
    add(ledger, run, of_upstream("api", jobs("more", 9, 11))).await;
    let expected = Backlog {
        upstream: Some("api".into()),
        kind: KIND.into(),
        due: 3,
        later: 1,
        dispatched: 4,
        attached: 1,
        tokens: 7.0,
    };
    assert_eq!(ledger.backlog().await.unwrap(), [expected]);
}

/// A job's place: in its lane by priority and order, among the lanes by turns.
pub async fn a_job_knows_its_place(ledger: &Subject) {
    let (first, second) = (open(ledger, TENANT).await, open(ledger, TENANT).await);
    add(ledger, first, jobs("first", 1, 3)).await;
    add(ledger, first, vec![NewJob { priority: 5, ..job(4, "urgent") }]).await;
    add(ledger, second, jobs("second", 1, 9)).await;
    add(ledger, second, of_upstream("api", jobs("other", 10, 12))).await;
    let place = |standing: JobStanding| (standing.ahead, standing.lanes, standing.turns);
    assert_eq!(place(standing_of(ledger, first, 3).await), (0, 1, 1), "the urgent one");
    assert_eq!(place(standing_of(ledger, first, 0).await), (1, 1, 2));
    assert_eq!(place(standing_of(ledger, first, 2).await), (3, 1, 4));
    assert_eq!(place(standing_of(ledger, second, 8).await), (8, 1, 4), "no more than there are");
    assert_eq!(place(standing_of(ledger, second, 11).await), (2, 0, 0), "alone at its upstream");

    let third = open(ledger, "rival").await;
    add(ledger, third, jobs("third", 1, 6)).await;
    let of_two = standing_of(ledger, first, 2).await;
    assert_eq!(of_two.rivals, [("rival".to_owned(), 6)], "other tenants have turns of their own");
    assert_eq!(place(of_two), (3, 1, 4));
    let rival = standing_of(ledger, third, 0).await;
    assert_eq!((rival.rivals.clone(), place(rival)), (vec![(TENANT.to_owned(), 13)], (0, 0, 0)));
}

/// Each state with what belongs to it.
pub async fn a_job_says_what_it_waits_for(ledger: &Subject) {
    let run = open(ledger, TENANT).await;
    add(ledger, run, vec![NewJob { deadline: Some(HOUR), ..job(1, "a") }, job(2, "b")]).await;
    add(ledger, run, of_upstream("api", vec![job(3, "a"), job(4, "c")])).await;
    let ready = standing_of(ledger, run, 0).await;
    assert_eq!((ready.state, ready.run, ready.tenant.as_str()), (JobState::Ready, run, TENANT));
    assert_eq!((ready.due_in, ready.dispatched, ready.upstream.clone()), (None, None, None));
    assert!(ready.deadline_in.is_some_and(|left| left <= HOUR && left > HOUR / 2));
    assert_eq!((ready.estimate.input_tokens, ready.attempts, ready.max_attempts), (3, 0, 3));
    let attached = standing_of(ledger, run, 2).await;
    assert_eq!((attached.state, attached.twin), (JobState::Attached, Some(ready.job)));

    let taken = take(ledger, 2).await;
    let handed_out = ledger.standing(taken[0].job_id).await.unwrap().expect("it is there");
    assert_eq!((handed_out.state, handed_out.ahead), (JobState::Dispatched, 0));
    assert!(handed_out.dispatched.is_some() && handed_out.due_in.is_none());
    record(ledger, &taken[0], snooze(HOUR)).await;
    let snoozed = ledger.standing(taken[0].job_id).await.unwrap().expect("it is there");
    assert_eq!((snoozed.state, snoozed.error.as_deref()), (JobState::Ready, Some("quota")));
    assert!(snoozed.due_in.is_some_and(|left| left <= HOUR && left > HOUR / 2), "{snoozed:?}");
    assert_eq!(snoozed.dispatched, None);

    record(ledger, &taken[1], success("done")).await;
    let done = ledger.standing(taken[1].job_id).await.unwrap().expect("it is there");
    assert_eq!((done.state, done.ahead, done.due_in, done.dispatched), (JobState::Succeeded, 0, None, None));
    assert_eq!(ledger.standing(fleetline_shared::domain::JobId::new()).await.unwrap(), None);
}
