//! What is refused, and leaves the target as it was.

use descartes_state::error::ErrorKind;
use descartes_state::{CopyOptions, StateStoreError, TransitionDraft, copy_store};
use descartes_state_testing::{agent, connect_to_tamper, event, populate};

use crate::{everything, in_file, kind, on_server, pairs};
use descartes_state::diesel::connection::SimpleConnection;

#[tokio::test]
async fn a_target_that_holds_something_else_is_refused_and_left_as_it_is() {
    for (from, to) in pairs().await {
        populate(&from).await;
        to.save_agent_state(&agent("another")).await.unwrap();
        let before = everything(&to, "").await;
        let refused = copy_store(&from, &to, CopyOptions::default()).await;
        assert_eq!(kind(&refused), ErrorKind::NotACopy);
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("agent_states"), "{said}");
        assert_eq!(everything(&to, "").await, before);
        // Under another prefix it is in nobody's way.
        let tenant = CopyOptions::default().prefix("tenant");
        copy_store(&from, &to, tenant).await.unwrap();
        assert_eq!(everything(&to, "").await, before);
    }
}

#[tokio::test]
async fn a_target_with_other_content_under_the_same_number_is_refused() {
    for (from, to) in pairs().await {
        from.save_event(&event("one")).await.unwrap();
        to.save_event(&event("other")).await.unwrap();
        let refused = copy_store(&from, &to, CopyOptions::default()).await;
        assert_eq!(kind(&refused), ErrorKind::NotACopy);
        assert!(refused.unwrap_err().to_string().contains("differ"));
    }
}

#[tokio::test]
async fn a_source_that_has_changed_what_was_copied_is_refused() {
    for (from, to) in pairs().await {
        populate(&from).await;
        let options = CopyOptions::default;
        copy_store(&from, &to, options()).await.unwrap();
        from.update_agent_status("agent", "other").await.unwrap();
        from.save_event(&event("later")).await.unwrap();
        let before = everything(&to, "").await;
        let refused = copy_store(&from, &to, options()).await;
        assert_eq!(kind(&refused), ErrorKind::NotACopy);
        assert_eq!(everything(&to, "").await, before);
    }
}

#[tokio::test]
async fn a_store_that_is_not_initialized_is_refused() {
    let from = in_file().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("empty.db");
    let options = descartes_state::StoreOptions::default();
    let empty = descartes_state::AnyStateStore::open(&path, options)
        .await
        .unwrap();
    for (from, to) in [(from.store(), &empty), (&empty, from.store())] {
        let refused = copy_store(from, to, CopyOptions::default()).await;
        assert_eq!(kind(&refused), ErrorKind::NotInitialized);
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named_and_not_copied_as_something_else() {
    let (from, to) = (in_file().await, in_file().await);
    let draft = TransitionDraft::new("agent", "x", "y");
    from.transitions().record(&draft).await.unwrap();
    let path = from.path().unwrap().to_owned();
    connect_to_tamper(&path)
        .unwrap()
        .batch_execute("UPDATE state_transitions SET state_after_codec = 1")
        .unwrap();
    let refused = copy_store(&from, &to, CopyOptions::default()).await;
    match refused {
        Err(StateStoreError::Corrupt {
            table: "state_transitions",
            key,
            column: "state_after",
            ..
        }) => assert_eq!(key, "1"),
        other => panic!("{other:?}"),
    }
    assert!(everything(&to, "").await.is_empty());
}

#[tokio::test]
async fn a_nul_character_is_refused_or_replaced_where_the_target_can_keep_none() {
    let Some(to) = on_server().await else {
        return;
    };
    let from = in_file().await;
    let mut state = agent("a");
    state.state_data = "a\0b".into();
    from.save_agent_state(&state).await.unwrap();
    from.save_event(&event("left\0right")).await.unwrap();
    let refused = copy_store(&from, &to, CopyOptions::default()).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("row 1 of events"), "{said}");
    assert!(everything(&to, "").await.is_empty());
    let replaced = CopyOptions::default().replace_nul(true);
    let report = copy_store(&from, &to, replaced.clone()).await.unwrap();
    assert_eq!(report.replaced_nul, 1);
    let found = to.search_events("right").await.unwrap();
    assert_eq!(found[0].content, "left\u{fffd}right");
    let kept = to.load_agent_state("a").await.unwrap().unwrap();
    assert_eq!(kept.state_data, "a\0b");
    // Once more: it is there.
    let report = copy_store(&from, &to, replaced).await.unwrap();
    assert_eq!(report.replaced_nul, 1);
    assert!(report.tables.iter().all(|table| table.copied == 0));
    // Going on behind what is there: each text counts once.
    from.save_event(&event("one\0more")).await.unwrap();
    let replaced = CopyOptions::default().replace_nul(true);
    let report = copy_store(&from, &to, replaced).await.unwrap();
    assert_eq!((report.replaced_nul, report.tables[0].copied), (2, 1));
}
