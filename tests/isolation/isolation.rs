//! Isolation of every public method, both ways, between namespaces whose rows have the same ids.

use std::collections::BTreeSet;
use std::error::Error;

use descartes_state::{
    AgentFilter, AnyStateStore, ChangeIf, Durability, ManualClock, Revision, SnapshotOptions,
    StateStoreError, StoreOptions, Transaction, TransitionDraft,
};

use crate::table::{Call, Method, Own, table};
use descartes_state_testing::{NOW, Place, TestResult, agent, dump, public_async_methods};
use uuid::Uuid;

/// As many rows in each of the six, one agent, task and session of them soft-deleted, one snapshot expired.
async fn fill(
    store: &AnyStateStore,
    mark: &'static str,
    rows: i64,
) -> Result<Own, StateStoreError> {
    let work = move |transaction: &mut Transaction<'_>| {
        let mut own = Own {
            mark: mark.to_owned(),
            rows,
            snapshot: String::new(),
        };
        for number in 1..=rows {
            let (id, session) = match number {
                1 => ("agent".to_owned(), "session".to_owned()),
                2 => ("deleted".to_owned(), "deleted".to_owned()),
                _ => (number.to_string(), number.to_string()),
            };
            let number = number.unsigned_abs().into();
            transaction.agents().save(&own.agent(&id))?;
            transaction.events().append(&own.event(number))?;
            transaction.tasks().save(&own.task(number))?;
            transaction.sessions().start(&own.session(&session))?;
            let id = Uuid::from_u128(number);
            transaction.transitions().record(&own.draft().id(id))?;
            let mut options = SnapshotOptions::default().description(mark);
            if number == 2 {
                options = options.expires_at(NOW);
            }
            own.snapshot = transaction.snapshots().create("agent", &options)?;
        }
        transaction.agents().delete("deleted", ChangeIf::Any)?;
        transaction.sessions().delete("deleted", ChangeIf::Any)?;
        transaction.tasks().delete(&own.task(2).id, ChangeIf::Any)?;
        Ok(own)
    };
    store.transact(work).await
}

struct Filled {
    mine: AnyStateStore,
    my_own: Own,
    theirs: AnyStateStore,
    empty: AnyStateStore,
    _place: Place,
}

/// A store on each database, with two filled namespaces and an empty one.
async fn filled(mine: &str, theirs: &str) -> Result<Vec<Filled>, StateStoreError> {
    // Some hundred are made here; no power cut is part of the promise.
    let options = StoreOptions::default()
        .durability(Durability::Relaxed)
        .clock(ManualClock::at_seconds(NOW));
    let mut all = Vec::new();
    for place in Place::everywhere(options).await {
        all.push(fill_both(place, mine, theirs).await?);
    }
    Ok(all)
}

async fn fill_both(place: Place, mine: &str, theirs: &str) -> Result<Filled, StateStoreError> {
    let store = place.store().clone();
    let (mine, theirs) = (store.with_prefix(mine), store.with_prefix(theirs));
    // Theirs first and last: neither first nor last rows are mine by chance.
    fill(&theirs, "of-theirs", 4).await?;
    let my_own = fill(&mine, "of-mine", 3).await?;
    theirs
        .transitions()
        .record(&TransitionDraft::new("agent", "", "of-theirs"))
        .await?;
    let empty = store.with_prefix("empty");
    Ok(Filled {
        mine,
        my_own,
        theirs,
        empty,
        _place: place,
    })
}

/// One before the other, one inside the other, and what SQL or the index might take for something else.
const PAIRS: [(&str, &str); 5] = [
    ("", "worker"),
    ("worker", ""),
    ("a", "a:b"),
    ("a%", "a"),
    ("n", "'\"*"),
];

async fn is_isolated(name: &str, method: Method) -> TestResult {
    let call: Call = match method {
        Method::Unscoped(_) => return Ok(()),
        Method::Shows(call) | Method::Counts(call) | Method::Writes(call) => call,
    };
    for (mine, theirs) in PAIRS {
        for file in filled(mine, theirs).await? {
            let before = dump(&file.theirs, Some(theirs)).await?;
            let my_before = dump(&file.mine, Some(mine)).await?;

            // Who has no rows sees none, and harms none, not even with ids that others have.
            let from_nothing = call(&file.empty, &file.my_own).await;
            let text = format!("{from_nothing:?}");
            let shows = matches!(method, Method::Shows(_)) && text.contains("of-mine");
            assert!(
                !shows && !text.contains("of-theirs"),
                "{name} {mine:?}: {text}"
            );
            if matches!(method, Method::Counts(_)) {
                assert_eq!(from_nothing?, "0", "{name}");
            }
            assert_eq!(
                dump(&file.mine, Some(mine)).await?,
                my_before,
                "{name} {mine:?}"
            );

            let text = call(&file.mine, &file.my_own)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            assert!(
                !text.contains("of-theirs"),
                "{name} {mine:?} {theirs:?}: {text}"
            );
            let my_after = dump(&file.mine, Some(mine)).await?;
            match method {
                Method::Shows(_) => assert!(text.contains("of-mine"), "{name}: {text}"),
                Method::Counts(_) => assert_eq!(text, file.my_own.rows.to_string(), "{name}"),
                // It did something at all: otherwise it harmed nobody for a bad reason.
                _ => assert_ne!(my_after, my_before, "{name} wrote nothing"),
            }
            assert_eq!(
                dump(&file.theirs, Some(theirs)).await?,
                before,
                "{name} {mine:?} {theirs:?}"
            );
        }
    }
    Ok(())
}

/// A few methods a test, so that they run side by side and a failure names its aggregate.
async fn are_isolated(group: &str) -> TestResult {
    let mut tried = 0;
    for (name, method) in table() {
        if name.split_once('.').map_or("", |(handle, _)| handle) == group {
            is_isolated(name, method).await?;
            tried += 1;
        }
    }
    assert!(tried > 0);
    Ok(())
}

macro_rules! isolation {
    ($($test:ident $group:literal),+ $(,)?) => { $(
        #[tokio::test]
        async fn $test() -> TestResult {
            are_isolated($group).await
        }
    )+

        #[test]
        fn every_handle_has_its_isolation_test() {
            let tested = BTreeSet::from([$($group),+, "migrations"]);
            let groups = table().into_iter().map(|(name, _)| name.split_once('.').map_or("", |part| part.0));
            assert_eq!(groups.collect::<BTreeSet<_>>(), tested);
        }
    };
}

isolation! {
    the_stores_own_methods_are_isolated "",
    agents_are_isolated "agents",
    transitions_are_isolated "transitions",
    snapshots_are_isolated "snapshots",
    events_are_isolated "events",
    tasks_are_isolated "tasks",
    sessions_are_isolated "sessions",
    batches_are_isolated "batch",
}

#[test]
fn every_public_method_stands_in_the_table() -> TestResult {
    let table = table();
    let listed: BTreeSet<String> = table.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        listed.len(),
        table.len(),
        "a method stands twice in the table"
    );
    let methods = public_async_methods()?;
    assert!(
        methods.len() > 70,
        "the sources are read wrongly: {methods:?}"
    );
    let missing: Vec<_> = methods.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "write an isolation test for {missing:?}"
    );
    let gone: Vec<_> = listed.difference(&methods).collect();
    assert!(gone.is_empty(), "take from the table {gone:?}");
    for (name, method) in table {
        if let Method::Unscoped(reason) = method {
            assert!(!reason.is_empty(), "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_call_of_a_handle_with_an_illegal_prefix_is_invalid_input() -> TestResult {
    for file in filled("", "worker").await? {
        let before = dump(&file.mine, None).await?;
        for prefix in ["a\0b".to_owned(), "x".repeat(256)] {
            let illegal = file.mine.with_prefix(&prefix);
            let mut results: Vec<(&str, Result<String, StateStoreError>)> = Vec::new();
            for (name, method) in table() {
                if let Method::Shows(call) | Method::Counts(call) | Method::Writes(call) = method {
                    results.push((name, call(&illegal, &file.my_own).await));
                }
            }
            let migrations = illegal.migrations();
            let text = |done: Result<(), StateStoreError>| done.map(|()| String::new());
            results.push(("initialize", text(illegal.initialize().await)));
            results.push((
                "history",
                text(illegal.get_migration_history().await.map(drop)),
            ));
            results.push(("applied", text(migrations.applied().await.map(drop))));
            results.push(("pending", text(migrations.pending().await.map(drop))));
            results.push((
                "preview_revert",
                text(migrations.preview_revert().await.map(drop)),
            ));
            results.push(("revert", text(migrations.revert().await.map(drop))));
            for (name, result) in results {
                assert!(
                    matches!(
                        result,
                        Err(StateStoreError::InvalidInput {
                            field: "prefix",
                            ..
                        })
                    ),
                    "{name}: {result:?}"
                );
            }
        }
        assert_eq!(dump(&file.mine, None).await?, before);
        // Closing is every handle's right.
        file.mine.with_prefix("\0").close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_snapshot_of_another_namespace_is_not_found() -> TestResult {
    for file in filled("one", "two").await? {
        let (id, any) = (&file.my_own.snapshot, ChangeIf::Any);
        let before = dump(&file.mine, None).await?;
        let snapshots = file.theirs.snapshots();
        assert_eq!(snapshots.get(id).await?, None);
        for result in [
            file.theirs.restore_snapshot(id).await,
            snapshots.restore(id, any).await.map(drop),
            snapshots
                .update(id, &SnapshotOptions::default(), any)
                .await
                .map(drop),
            snapshots.purge(id, any).await,
        ] {
            assert!(
                matches!(result, Err(StateStoreError::NotFound { .. })),
                "{result:?}"
            );
        }
        assert_eq!(dump(&file.mine, None).await?, before);
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_is_of_the_namespace_of_its_handle() -> TestResult {
    for file in filled("one", "two").await? {
        let counts: Result<(i64, i64), Box<dyn Error>> = async {
            let count = |store: AnyStateStore| async move {
                store
                    .transact(|tx| tx.agents().count(&AgentFilter::default().include_deleted()))
                    .await
            };
            Ok((
                count(file.mine.clone()).await?,
                count(file.theirs.clone()).await?,
            ))
        }
        .await;
        assert_eq!(counts?, (3, 4));
    }
    Ok(())
}

#[tokio::test]
async fn revisions_of_one_namespace_say_nothing_of_another() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let (one, two) = (store.with_prefix("one"), store.with_prefix("two"));
        for _ in 0..5 {
            one.agents().save(&agent("a")).await?;
        }
        one.agents().purge("a", ChangeIf::Any).await?;
        assert_eq!(two.agents().save(&agent("a")).await?, Revision::from(1));
        assert_eq!(one.agents().save(&agent("a")).await?, Revision::from(6));
    }
    Ok(())
}
