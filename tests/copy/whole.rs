//! What is copied is the same, and the target goes on as the source would.

use descartes_state::{ChangeIf, CopyOptions, PageRequest, SaveIf, Session, copy_store};
use descartes_state_testing::{agent, event, populate, task};

use crate::{assert_is_indexed, copied, everything, pairs};

#[tokio::test]
async fn every_record_is_the_same_and_found_by_the_same_words() {
    for (from, to) in pairs().await {
        populate(&from).await;
        let tenant = from.with_prefix("租户 %:");
        let mut long = agent("长");
        long.state_data = "a long state, compressed ".repeat(1000);
        tenant.save_agent_state(&long).await.unwrap();
        let gone = tenant.agents().delete("长", ChangeIf::Any).await;
        gone.unwrap();
        let escaped = r#"{"text":"caf\u00e9 \u0000 服务端"}"#;
        tenant.save_event(&event(escaped)).await.unwrap();
        let report = copy_store(&from, &to, CopyOptions::default()).await;
        let report = report.unwrap();
        assert_eq!(copied(&report, "agent_states"), (3, 3));
        assert_eq!(copied(&report, "events"), (7, 7));
        for prefix in ["", "tenant", "租户 %:"] {
            let expected = everything(&from, prefix).await;
            assert_eq!(everything(&to, prefix).await, expected);
        }
        for (prefix, text, found) in [
            ("", "findable number", 3),
            ("tenant", "words", 3),
            ("租户 %:", "café", 1),
            ("租户 %:", "服务", 1),
            ("租户 %:", "findable", 0),
        ] {
            let store = to.with_prefix(prefix);
            let events = store.search_events(text).await.unwrap();
            assert_eq!(events.len(), found, "{text}");
        }
        from.close().await.unwrap();
        to.close().await.unwrap();
        assert_is_indexed(&to);
    }
}

#[tokio::test]
async fn numbers_and_revisions_go_on_where_the_source_was() {
    for (from, to) in pairs().await {
        populate(&from).await;
        // What was purged leaves its number and its revision behind.
        let last = task("last");
        from.save_task(&last).await.unwrap();
        let purged = from.tasks().purge(&last.id, ChangeIf::Any).await;
        purged.unwrap();
        from.agents().purge("agent", ChangeIf::Any).await.unwrap();
        let report = copy_store(&from, &to, CopyOptions::default()).await;
        report.unwrap();
        for store in [&from, &to] {
            let revision = store
                .agents()
                .save_if(&agent("agent"), SaveIf::Absent)
                .await;
            assert_eq!(revision.unwrap().get(), 2);
            store.save_task(&task("next")).await.unwrap();
            let session = Session::new("next", "agent");
            store.sessions().start(&session).await.unwrap();
            store.save_event(&event("next")).await.unwrap();
            let draft = store.record_state_transition("agent", "{}", "{}", None);
            draft.await.unwrap();
            store.create_snapshot("agent", None).await.unwrap();
        }
        let newest = PageRequest::new(1);
        macro_rules! last {
            ($aggregate:ident, $Filter:ident) => {
                let filter = descartes_state::$Filter::default();
                let mine = to.$aggregate().list(&filter, &newest).await.unwrap();
                let theirs = from.$aggregate().list(&filter, &newest).await.unwrap();
                assert_eq!(
                    mine.items[0].seq, theirs.items[0].seq,
                    stringify!($aggregate)
                );
            };
        }
        last!(tasks, TaskFilter);
        last!(sessions, SessionFilter);
        last!(events, EventFilter);
        last!(transitions, TransitionFilter);
        last!(snapshots, SnapshotFilter);
    }
}

#[tokio::test]
async fn one_prefix_is_copied_beside_others_of_the_same_source() {
    for (from, to) in pairs().await {
        populate(&from).await;
        let only = |prefix: &str| CopyOptions::default().prefix(prefix);
        // The one with the higher numbers first: the other's events are below what is indexed.
        let tenant = copy_store(&from, &to, only("tenant")).await;
        assert_eq!(copied(&tenant.unwrap(), "events"), (3, 3));
        assert!(everything(&to, "").await.is_empty());
        to.events().rebuild_search().await.unwrap();
        let none = copy_store(&from, &to, only("")).await;
        assert_eq!(copied(&none.unwrap(), "events"), (3, 3));
        for prefix in ["", "tenant"] {
            let expected = everything(&from, prefix).await;
            assert_eq!(everything(&to, prefix).await, expected);
            let store = to.with_prefix(prefix);
            assert_eq!(store.search_events("findable").await.unwrap().len(), 3);
        }
        // Both together are the whole source.
        let whole = copy_store(&from, &to, CopyOptions::default()).await;
        assert_eq!(copied(&whole.unwrap(), "events"), (6, 0));
        to.close().await.unwrap();
        assert_is_indexed(&to);
    }
}

#[tokio::test]
async fn there_and_back_again_is_the_same_by_the_same_hashes() {
    let (Some(server), file) = (crate::on_server().await, crate::in_file().await) else {
        return;
    };
    let back = crate::in_file().await;
    populate(&file).await;
    let there = copy_store(&file, &server, CopyOptions::default()).await;
    let again = copy_store(&server, &back, CopyOptions::default()).await;
    assert_eq!(there.unwrap(), again.unwrap());
}
