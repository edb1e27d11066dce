//! The suite of the `Ledger` port.
//!
//! Each check gets a fresh, empty ledger and speaks to it through the port alone.
//! [`ledger_conformance!`](crate::ledger_conformance) makes one test of each check.

use std::sync::Arc;

use fleetline_shared::ports::Ledger;

pub mod backlog;
pub mod cancel;
pub mod changes;
pub mod dispatch;
pub mod fairness;
pub mod finish;
pub mod follow_ups;
pub mod history;
pub mod prelude;
pub mod query;
pub mod redrive;
pub mod reuse;
pub mod scope;
pub mod seal;
pub mod stand_ins;
pub mod submit;
pub mod sweep;
pub mod tenants;
pub mod terminal;
pub mod twins;
pub mod unread;
pub mod waiting;

/// The ledger under test.
pub type Subject = Arc<dyn Ledger>;

/// Makes a test of each check. `$fresh` is an async function that returns a [`Subject`] on an
/// empty ledger and whatever must live as long as it.
#[macro_export]
macro_rules! ledger_conformance {
    ($fresh:ident) => {
        $crate::ledger_conformance!(@tests $fresh;
            submit: [
                a_key_resumes_its_unfinished_run, a_finished_run_is_not_resumed, a_cancelled_run_is_not_resumed,
                a_key_of_once_finds_its_cancelled_run,
                another_tenants_run_is_not_resumed, runs_without_a_key_are_apart, a_number_is_added_once,
                of_many_submissions_of_a_key_one_is_ready, a_run_that_is_not_there_is_named,
                a_finished_run_takes_no_new_jobs, absurd_numbers_do_no_harm,
                a_key_of_once_finds_its_finished_run, the_newest_run_of_a_key_is_found, a_whole_run_is_submitted_at_once,
                a_number_is_submitted_once,
                of_many_small_runs_of_the_same_jobs_one_has_each,
                a_whole_run_without_jobs_is_finished, a_key_submits_its_whole_run_once,
                of_many_submissions_of_a_whole_run_one_counts,
            ];
            reuse: [
                a_fresh_result_is_reused_at_once, results_stay_within_tenant_and_kind,
                an_expired_result_is_paid_for_again, a_result_is_fresh_for_its_time,
            ];
            stand_ins: [
                an_old_result_is_given_where_one_will_do, without_an_old_result_the_other_decision_stands,
                a_stand_in_is_given_once_and_never_reused, a_cancelled_job_takes_no_old_result,
            ];
            dispatch: [
                a_message_says_all_a_worker_needs, each_dispatch_raises_the_fence, a_job_is_given_once,
                priority_goes_first_then_order, paused_upstreams_stay, no_more_than_asked_for,
                a_passed_deadline_kills, a_passed_deadline_kills_beside_another_run, an_expired_job_leaves_its_place,
                messages_can_be_had_again,
            ];
            waiting: [
                a_job_that_waits_is_not_given, a_short_wait_ends, the_soonest_is_next,
                nothing_waits_nothing_is_due,
            ];
            fairness: [
                a_short_run_gets_its_share, rounds_of_one_are_fair, a_small_round_serves_every_run,
                kinds_take_turns_apart, upstreams_of_a_run_take_turns, what_one_leaves_others_take,
                runs_that_wait_take_no_turns,
            ];
            tenants: [
                shares_follow_the_weights, tenants_without_weights_are_equal,
                who_was_away_has_its_share_and_no_more, what_a_tenant_leaves_others_take,
                a_tenants_runs_take_turns, priority_stays_within_a_tenant, turns_of_upstreams_are_apart,
                a_runs_own_scope_knows_no_tenants,
            ];
            scope: [
                a_run_gets_its_own_jobs_only, a_run_gets_the_twins_it_waits_for,
                a_run_sweeps_the_twins_it_waits_for, a_run_waits_for_its_own_and_its_twins,
            ];
            finish: [
                an_older_fence_writes_nothing, answers_come_in_order, a_job_finishes_once_in_a_batch,
                success_stores_result_and_facts, usage_is_counted_whatever_came_of_it,
                attempts_count_failures_only, ignore_leaves_the_job_alone, only_the_last_dispatch_is_current,
                a_jobs_args_can_be_read,
            ];
            terminal: [
                success_never_changes, death_never_changes, cancellation_never_changes,
                a_reused_result_never_changes,
            ];
            twins: [
                a_duplicate_shares_the_result, twins_of_other_runs_share_it_too, the_attached_stay_while_it_retries,
                the_oldest_takes_an_exhausted_twins_place, the_oldest_takes_a_cancelled_twins_place,
                a_hopeless_twin_takes_all_along, attached_jobs_follow_a_second_heir,
                who_is_too_late_takes_nobodys_place,
            ];
            follow_ups: [
                they_come_once_with_the_success, they_keep_the_run_unfinished, they_are_deduplicated,
                they_inherit_tenant_and_run, a_number_that_is_there_is_skipped, none_come_after_a_cancel,
                they_come_where_they_are_still_wanted,
            ];
            sweep: [
                only_older_dispatches_are_swept, a_swept_job_goes_again, losses_end_in_a_crash_loop,
                an_heir_takes_a_crash_loopers_place, what_is_not_dispatched_is_left,
                a_late_success_is_not_paid_for_twice, any_late_outcome_counts, a_dispatch_has_one_outcome,
                what_has_ended_meanwhile_stays, the_wait_on_the_line_is_not_the_calls,
                a_deadline_passes_on_the_line_too, a_deadline_passes_though_nobody_hands_the_job_out, deadlines_of_twins_pass_together,
            ];
            seal: [
                a_run_finishes_when_sealed_and_done, an_empty_run_finishes_at_its_seal,
                occurrences_are_set_not_added, sealing_again_changes_notes_only,
            ];
            unread: [
                a_run_that_was_left_is_sealed, an_upload_that_was_left_is_cancelled,
                an_empty_run_that_was_left_is_finished, a_run_that_is_read_stays_open,
                runs_that_are_read_to_their_end_are_not_left, the_same_input_again_is_another_run,
            ];
            query: [
                jobs_come_in_pages, filters_narrow_the_listing, jobs_are_found_by_the_end_of_their_ids,
                results_are_read_when_asked_for,
                the_newest_run_comes_first, runs_come_in_pages, a_run_shows_what_it_was_given, what_is_not_there_is_none,
                a_tenant_sees_its_own_only,
            ];
            redrive: [
                dead_jobs_go_again_in_a_new_run, nothing_is_redriven_twice, by_job_by_run_or_all,
                other_tenants_dead_stay, a_redriven_job_is_what_it_was, with_nothing_dead_there_is_no_run,
            ];
            cancel: [
                what_waits_is_cancelled_at_once, a_job_handed_out_ends_before_its_call,
                a_success_under_way_is_recorded, a_failure_under_way_is_not_tried_again,
                a_lost_one_is_not_handed_out_again, an_attached_job_of_another_run_takes_its_place,
                one_job_can_be_cancelled, terminal_jobs_stay_as_they_are, a_cancelled_run_takes_no_more_jobs,
                other_tenants_work_cannot_be_cancelled, a_finished_run_was_not_cancelled,
                a_cancelled_run_is_over_with_its_attempts,
            ];
            backlog: [what_waits_is_counted, a_job_knows_its_place, a_job_says_what_it_waits_for];
            changes: [new_work_wakes, a_finish_wakes, a_sweep_wakes, a_dispatch_does_not_wake, an_expiry_wakes];
        );

        #[test]
        fn any_history_keeps_the_promises() {
            $crate::conformance::ledger::history::run_many($fresh);
        }
    };
    (@tests $fresh:ident; $($theme:ident: [$($check:ident),* $(,)?];)*) => {
        $(mod $theme {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let (ledger, _keep) = super::$fresh().await;
                    $crate::conformance::ledger::$theme::$check(&ledger).await;
                }
            )*
        })*
    };
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn every_check_is_registered() {
        let is_part_of_name = |c: char| c.is_alphanumeric() || c == '_';
        let listed: Vec<&str> = include_str!("mod.rs").split(|c| !is_part_of_name(c)).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance/ledger");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.ends_with("prelude.rs") {
                continue;
            }
            let code = std::fs::read_to_string(&path).unwrap();
            for line in code.lines() {
                let Some(check) = line.strip_prefix("pub async fn ") else { continue };
                let name = check.split('(').next().unwrap();
                assert!(listed.contains(&name), "`{name}` of {} is not in the list", path.display());
            }
        }
    }
}
