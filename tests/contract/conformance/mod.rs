//! The contract of `StateStore`, promise by promise, through `dyn StateStore`: one suite for every configuration.

mod agents;
mod configurations;
mod events;
mod history;
mod search;
mod snapshots;
mod store;
mod tasks;

macro_rules! suite {
    ($configuration:ident: $($module:ident :: $promise:ident),+ $(,)?) => { $(
        #[tokio::test]
        async fn $promise() -> TestResult {
            // Bound to a name, so that its directory outlives the test.
            let Some(subject) = $configuration().await? else {
                return Ok(());
            };
            super::$module::$promise(subject.store.clone()).await
        }
    )+ };
}

/// One test a promise for each configuration named.
macro_rules! every_promise_for {
    ($($configuration:ident),+) => { $(
        mod $configuration {
            use descartes_state_testing::{TestResult};
            use super::configurations::$configuration;
            // A promise that isn't listed is dead code, and so an error of clippy's.
            suite! {
                $configuration:
                agents::every_field_comes_back_as_it_was_saved,
                agents::numbers_in_metadata_come_back_to_the_last_bit,
                agents::saving_again_replaces_everything_but_created_at,
                agents::an_unknown_agent_is_none,
                agents::ids_are_compared_byte_by_byte,
                agents::agents_are_listed_by_id,
                agents::a_deleted_agent_is_not_found,
                agents::a_deleted_agent_begins_again_when_it_is_saved,
                agents::a_status_changes_alone_with_updated_at,
                agents::changing_or_deleting_a_missing_agent_is_not_found,
                agents::too_many_agents_are_an_error_never_a_cut,
                history::every_field_of_a_transition_comes_back,
                history::history_is_newest_first_whatever_the_clock_says,
                history::history_is_cut_at_its_limit_and_keeps_the_newest,
                history::history_is_of_one_agent_which_need_not_exist,
                history::too_long_a_history_is_an_error_never_a_cut,
                snapshots::a_restore_brings_the_whole_state_back,
                snapshots::a_snapshot_never_changes,
                snapshots::a_restore_revives_a_deleted_agent,
                snapshots::snapshots_are_listed_newest_first_by_agent,
                snapshots::a_snapshot_of_a_missing_agent_is_not_found,
                snapshots::restoring_a_missing_snapshot_is_not_found,
                snapshots::too_many_snapshots_are_an_error_never_a_cut,
                events::every_field_of_an_event_comes_back,
                events::the_same_event_again_is_a_no_op,
                events::other_content_under_the_same_id_is_a_conflict,
                events::events_of_a_session_are_newest_first_by_arrival,
                events::events_of_a_type_are_newest_first_across_sessions,
                events::too_many_events_are_an_error_never_a_cut,
                search::all_words_must_be_there_in_any_order,
                search::case_and_accents_do_not_count,
                search::what_looks_like_syntax_is_searched_as_words,
                search::a_text_without_words_finds_nothing,
                search::any_text_at_all_is_searched_without_an_error,
                search::an_event_is_found_by_each_of_its_words,
                search::content_behind_a_nul_character_is_found,
                search::hits_are_newest_first,
                search::too_many_hits_are_an_error_never_a_cut,
                tasks::every_field_of_a_task_comes_back,
                tasks::saving_a_task_again_replaces_everything_but_created_at,
                tasks::an_unknown_task_is_none,
                tasks::tasks_are_listed_newest_first_by_their_first_save,
                tasks::too_many_tasks_are_an_error_never_a_cut,
                store::initialize_may_be_called_again_and_keeps_every_row,
                store::the_history_of_migrations_is_complete_and_rising,
                store::many_tasks_may_use_one_store,
                store::a_refused_call_writes_nothing_and_harms_no_other,
            }
        }
    )+ };
}

every_promise_for!(plain, prefixed, compressed, temporary, relaxed, postgres);
