//! The process is killed with SIGKILL at each named step of a job's way, and at random. What is
//! true afterwards is read from outside: the stub's own count of calls, and the rows of the file.

mod evidence;
mod world;

use std::os::unix::process::ExitStatusExt;

use evidence::Evidence;
use proptest::prelude::*;
use world::World;

/// Kills the process at a point (`name:n`: the n-th time it is passed), runs the command again,
/// and looks at what is there.
fn killed_at(point: &str) {
    let world = World::new();
    let killed = world.run(&["--sequential"], Some(point));
    assert_eq!(killed.status.signal(), Some(9), "the point is passed: {killed:?}");

    let resumed = world.run(&["--sequential"], None);
    assert!(resumed.status.success(), "{resumed:?}");
    let evidence = Evidence::read(&world);
    evidence.is_complete(&world);
    assert!(
        evidence.calls <= evidence.keys + 1,
        "one kill costs one call at most: {} calls for {} keys",
        evidence.calls,
        evidence.keys
    );
    pays_nothing_twice(&world, &evidence);
}

/// The same command once more, on a finished run.
fn pays_nothing_twice(world: &World, before: &Evidence) {
    let again = world.run(&[], None);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(world.stub.call_count() as u64, before.calls, "nothing is paid again");
}

macro_rules! kill_points {
    ($($test:ident: $point:literal;)*) => {
        $(#[test]
        fn $test() {
            killed_at($point);
        })*
    };
}

kill_points! {
    before_the_first_submit: "submit.before_commit";
    after_the_first_submit: "submit.after_commit";
    between_dispatch_and_publish: "dispatch.after_commit";
    after_publish: "dispatch.published";
    when_a_delivery_is_taken: "delivery.taken";
    when_a_later_delivery_is_taken: "delivery.taken:4";
    under_the_lease: "lease.acquired";
    when_quota_is_set_aside: "quota.admitted";
    before_the_call_leaves: "call.sent";
    when_the_answer_is_here: "call.returned";
    when_a_later_answer_is_here: "call.returned:5";
    before_the_outcome_is_committed: "finish.before_commit";
    after_the_outcome_is_committed: "finish.after_commit";
    after_the_acknowledgement: "delivery.acked";
    after_the_last_acknowledgement: "delivery.acked:8";
}

/// One kill after another, each at a later call.
#[test]
fn killed_at_every_second_call() {
    let world = World::new();
    let mut kills = 0;
    while world.run(&["--sequential"], Some("call.returned:2")).status.signal() == Some(9) {
        kills += 1;
        assert!(kills < 50, "each try gets further");
    }
    let evidence = Evidence::read(&world);
    evidence.is_complete(&world);
    assert!(kills > 1 && evidence.calls <= evidence.keys + kills, "{kills} kills: {evidence:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    /// Kills from outside, at random times, with several calls under way.
    #[test]
    fn killed_at_random(kill_after in prop::collection::vec(0_usize..6, 1..5)) {
        const CONCURRENCY: usize = 4;
        let world = World::with_latency_ms(15);
        let mut kills = 0;
        for more_calls in kill_after {
            kills += u64::from(world.kill_after_calls(more_calls, CONCURRENCY));
        }
        let last = world.run(&[], None);
        prop_assert!(last.status.success(), "{last:?}");
        let evidence = Evidence::read(&world);
        evidence.is_complete(&world);
        prop_assert!(evidence.most_calls_of_a_key <= 1 + kills, "{kills} kills: {evidence:?}");
        prop_assert!(evidence.calls <= evidence.keys + kills * CONCURRENCY as u64, "{kills} kills: {evidence:?}");
    }
}
