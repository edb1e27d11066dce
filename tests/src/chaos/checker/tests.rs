//! Good evidence is accepted; whatever is not as promised is found.

use super::*;
use crate::chaos::evidence::Key;

/// Two runs, three jobs, two keys: one job reused the result of another. And how it came about.
fn good() -> (Evidence, Story) {
    let now = Instant::now();
    let key = |name: &str| -> Key { ("default".into(), "node.extract".into(), name.into()) };
    let job = |id: &str, run: &str, name: &str, reused| Job {
        id: id.into(),
        run: run.into(),
        key: key(name),
        state: "succeeded".into(),
        has_result: true,
        reused,
        dead_reason: None,
    };
    let run = |id: &str, jobs, reused| Run {
        id: id.into(),
        state: "finished".into(),
        counts: Counts { jobs, succeeded: jobs, reused, ..Counts::default() },
    };
    let evidence = Evidence {
        runs: vec![run("r1", 2, 0), run("r2", 1, 1)],
        jobs: vec![job("j1", "r1", "a", false), job("j2", "r1", "b", false), job("j3", "r2", "a", true)],
        results: vec![key("a"), key("b")],
        lines: vec![("line".into(), 0)],
        calls: vec![call("a", now), call("b", now + Duration::from_secs(1))],
        ..Evidence::default()
    };
    (evidence, Story { accepted: vec![("r1".into(), 2), ("r2".into(), 1)], ..Story::default() })
}

fn call(content: &str, at: Instant) -> Call {
    Call { content: content.into(), at }
}

/// What is found when the good evidence is changed so.
fn found(change: impl FnOnce(&mut Evidence, &mut Story)) -> String {
    let (mut evidence, mut story) = good();
    change(&mut evidence, &mut story);
    violations(&evidence, &story).join("\n")
}

#[test]
fn good_evidence_is_accepted() {
    assert_eq!(found(|_, _| {}), "");
}

#[test]
fn jobs_without_an_end_are_found() {
    let said = found(|evidence, _| {
        evidence.jobs[0].state = "dispatched".into();
        evidence.jobs[0].has_result = false;
    });
    assert!(said.contains("not terminal"), "{said}");
}

#[test]
fn jobs_that_died_without_cause_are_found() {
    let die = |evidence: &mut Evidence| {
        evidence.jobs[0].state = "dead".into();
        evidence.jobs[0].has_result = false;
        evidence.runs[0].counts.succeeded -= 1;
        evidence.runs[0].counts.dead += 1;
    };
    assert!(found(|evidence, _| die(evidence)).contains("1 jobs are dead, not 0"));
    let expected = found(|evidence, story| {
        die(evidence);
        story.dead = 1;
    });
    assert_eq!(expected, "");
}

#[test]
fn two_ends_of_a_job_are_found() {
    let said = found(|evidence, _| evidence.jobs.push(evidence.jobs[0].clone()));
    assert!(said.contains("two rows"), "{said}");
    let said = found(|_, story| story.changed.push("terminal job j1 was dead".into()));
    assert!(said.contains("was dead"), "{said}");
}

#[test]
fn accepted_work_that_is_gone_is_found() {
    assert!(found(|evidence, _| evidence.runs[0].id = "other".into()).contains("not there"));
    assert!(found(|evidence, _| evidence.runs[0].state = "open".into()).contains("not finished"));
    assert!(found(|_, story| story.accepted[0].1 = 1).contains("has 2 jobs, not 1"));
}

#[test]
fn counters_that_do_not_count_rows_are_found() {
    for change in [
        |counts: &mut Counts| counts.succeeded -= 1,
        |counts: &mut Counts| counts.reused += 1,
        |counts: &mut Counts| counts.dead += 1,
        |counts: &mut Counts| counts.cancelled += 1,
    ] {
        let said = found(|evidence, _| change(&mut evidence.runs[0].counts));
        assert!(said.contains("counters are not"), "{said}");
    }
}

#[test]
fn double_and_missing_results_are_found() {
    let said = found(|evidence, _| evidence.results.push(evidence.results[0].clone()));
    assert!(said.contains("3 results for 2 keys"), "{said}");
    let said = found(|evidence, _| drop(evidence.results.pop()));
    assert!(said.contains("without a result"), "{said}");
}

#[test]
fn a_result_without_a_call_is_found() {
    let said = found(|evidence, _| drop(evidence.calls.pop()));
    assert!(said.contains("only 1 were called for"), "{said}");
}

#[test]
fn a_second_call_needs_a_disturbance_between_the_two() {
    let fault = |story: &mut Story, at: Instant, calls_at_risk| {
        story.disturbances.push(Disturbance { what: "a kill".into(), from: at, until: at, calls_at_risk });
    };
    let second = Duration::from_secs(2);
    let again = |evidence: &mut Evidence| {
        let first = evidence.calls[0].at;
        evidence.calls.push(call("a", first + second));
        first
    };
    assert!(found(|evidence, _| _ = again(evidence)).contains("2 calls for one key, 1 allowed"));
    let between = |calls_at_risk| {
        found(|evidence, story| {
            let first = again(evidence);
            fault(story, first + second / 2, calls_at_risk);
        })
    };
    assert_eq!(between(1), "");
    assert!(between(0).contains("1 calls too many"));
    let later = found(|evidence, story| {
        let first = again(evidence);
        fault(story, first + 2 * second, 1);
    });
    assert!(later.contains("2 calls for one key, 1 allowed"), "{later}");
}

#[test]
fn more_calls_than_the_quota_are_found() {
    let quota = |calls, secs| Some(Quota { calls, window: Duration::from_secs(secs) });
    assert_eq!(found(|_, story| story.quota = quota(2, 60)), "");
    assert_eq!(found(|_, story| story.quota = quota(1, 1)), "");
    assert!(found(|_, story| story.quota = quota(1, 2)).contains("2 calls within"));
}

#[test]
fn whatever_is_left_is_found() {
    assert!(found(|evidence, _| evidence.lines[0].1 = 3).contains("3 messages are left"));
    assert!(found(|evidence, _| evidence.outbox = 1).contains("in the outbox"));
    assert!(found(|evidence, _| evidence.live = 1).contains("rows of live jobs"));
    assert!(found(|evidence, _| evidence.leases.push("a".into())).contains("leases are left"));
    assert!(found(|evidence, _| evidence.dead_letters = 1).contains("1 dead letters"));
}
