//! `agents().step`: state, transition, events and session in one operation.

use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentRecord, AgentState, AnyStateStore, ChangeIf, Codec, Limits, ManualClock, PageRequest,
    Revision, SaveIf, Session, SessionStatus, StateStoreError, Step, StoreOptions,
    TransitionFilter, TransitionRecord, page::Order,
};
use descartes_state_testing::{NOW, Place, TestResult, agent, numbered_event};

/// A store on each database, and its clock.
async fn stores() -> Result<Vec<(Place, ManualClock)>, StateStoreError> {
    Ok(Place::everywhere_at(NOW).await)
}

fn with_data(id: &str, state_data: &str) -> AgentState {
    AgentState {
        state_data: state_data.to_owned(),
        ..agent(id)
    }
}

async fn history(store: &AnyStateStore) -> Result<Vec<TransitionRecord>, StateStoreError> {
    let page = PageRequest::new(100).order(Order::Ascending);
    let all = TransitionFilter::default();
    Ok(store.transitions().list(&all, &page).await?.items)
}

async fn states(store: &AnyStateStore) -> Result<Vec<(String, String)>, StateStoreError> {
    let history = history(store).await?.into_iter();
    let states = history.map(|record| record.transition);
    Ok(states
        .map(|transition| (transition.state_before, transition.state_after))
        .collect())
}

async fn found(store: &AnyStateStore, id: &str) -> Result<AgentRecord, StateStoreError> {
    let found = store.agents().get(id).await?;
    found.ok_or_else(|| StateStoreError::application("it is gone"))
}

#[tokio::test]
async fn a_step_writes_state_transition_events_and_session_and_returns_their_numbers() -> TestResult
{
    for (store, clock) in stores().await? {
        store.sessions().start(&Session::new("s", "a")).await?;
        clock.advance_seconds(5);
        let (one, two, three) = (
            numbered_event(1, "one"),
            numbered_event(2, "two"),
            numbered_event(3, "three"),
        );
        let metadata = json!({ "by": "alice" });
        let state = with_data("a", "first");
        let rest = [two.clone(), three.clone()];
        let step = Step::to(&state)
            .reason("began")
            .metadata(&metadata)
            .event(&one)
            .events(&rest)
            .session("s");
        let stepped = store.agents().step(&step).await?;

        let record = found(&store, "a").await?;
        assert_eq!((&record.state, record.revision), (&state, stepped.revision));
        let recorded = history(&store).await?;
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].seq, stepped.transition);
        let transition = &recorded[0].transition;
        assert_eq!(
            (
                transition.agent_id.as_str(),
                transition.state_before.as_str(),
                transition.state_after.as_str(),
                transition.reason.as_deref(),
                transition.timestamp,
                transition.metadata.as_ref()
            ),
            ("a", "", "first", Some("began"), NOW + 5, Some(&metadata))
        );
        let mut seqs = Vec::new();
        for event in [one, two, three] {
            let stored = store.events().get(&event.id).await?.ok_or("no event")?;
            assert_eq!(stored.event, event);
            seqs.push(stored.seq);
        }
        assert_eq!(stepped.events, seqs);
        let session = store.sessions().get("s").await?.ok_or("no session")?;
        assert_eq!(Some(session.revision), stepped.session);
        assert_eq!(session.updated_at, NOW + 5);
        let hits = store.search_events("three").await?;
        assert_eq!(hits.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn the_state_before_is_what_the_row_holds_when_the_step_runs() -> TestResult {
    for (store, clock) in stores().await? {
        store.agents().step(&Step::to(&with_data("a", "1"))).await?;
        store.agents().save(&with_data("a", "2")).await?;
        clock.advance_seconds(7);
        store.agents().step(&Step::to_state_data("a", "3")).await?;
        let record = found(&store, "a").await?;
        assert_eq!(record.state.status, agent("a").status);
        assert_eq!(record.state.updated_at, NOW + 7);
        store.agents().step(&Step::to_status("a", "busy")).await?;
        let record = found(&store, "a").await?;
        let now = (
            record.state.status.as_str(),
            record.state.state_data.as_str(),
        );
        assert_eq!(now, ("busy", "3"));
        // A deleted agent is none, and its state isn't the new one's.
        store.agents().delete("a", ChangeIf::Any).await?;
        store.agents().step(&Step::to(&with_data("a", "4"))).await?;
        let pairs = [("", "1"), ("2", "3"), ("3", "3"), ("", "4")];
        let expected = pairs.map(|(before, after)| (before.to_owned(), after.to_owned()));
        assert_eq!(states(&store).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_compressed_state_is_copied_as_it_is_stored() -> TestResult {
    for store in Place::everywhere(StoreOptions::default().compression(true)).await {
        let (long, longer) = ("long ".repeat(5_000), "longer ".repeat(5_000));
        store
            .agents()
            .step(&Step::to(&with_data("a", &long)))
            .await?;
        store.agents().step(&Step::to_status("a", "busy")).await?;
        store
            .agents()
            .step(&Step::to_state_data("a", &longer))
            .await?;
        let record = found(&store, "a").await?;
        assert_eq!(record.codec, Codec::Zstd);
        let expected = [
            (String::new(), long.clone()),
            (long.clone(), long.clone()),
            (long, longer),
        ];
        assert_eq!(states(&store).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_step_is_refused_where_the_agent_is_not_as_expected_and_leaves_nothing() -> TestResult {
    for (store, _) in stores().await? {
        let missing = store.agents().step(&Step::to_status("a", "busy")).await;
        assert!(
            matches!(missing, Err(StateStoreError::NotFound { .. })),
            "{missing:?}"
        );
        let state = with_data("a", "1");
        let first = store
            .agents()
            .step(&Step::to(&state).expect(SaveIf::Absent))
            .await?;
        let event = numbered_event(9, "lost");
        let again = Step::to(&state).expect(SaveIf::Absent).event(&event);
        let stale = Step::to_status("a", "x")
            .expect(Revision::from(7))
            .event(&event);
        for step in [again, stale] {
            let refused = store.agents().step(&step).await;
            assert!(
                matches!(&refused, Err(StateStoreError::Conflict { actual, .. }) if *actual == first.revision),
                "{refused:?}"
            );
        }
        let absent = Step::to_status("a", "x").expect(SaveIf::Absent);
        let refused = store.agents().step(&absent).await;
        assert!(
            matches!(
                refused,
                Err(StateStoreError::InvalidInput {
                    field: "condition",
                    ..
                })
            ),
            "{refused:?}"
        );
        let no_session = Step::to_status("a", "x").event(&event).session("none");
        let refused = store.agents().step(&no_session).await;
        assert!(
            matches!(
                refused,
                Err(StateStoreError::NotFound {
                    entity: "session",
                    ..
                })
            ),
            "{refused:?}"
        );
        store.sessions().start(&Session::new("s", "a")).await?;
        let completed = SessionStatus::Completed;
        store.sessions().end("s", completed, ChangeIf::Any).await?;
        let over = store
            .agents()
            .step(&Step::to_status("a", "x").session("s"))
            .await;
        assert!(
            matches!(over, Err(StateStoreError::InvalidState { .. })),
            "{over:?}"
        );
        store
            .agents()
            .step(&Step::to_status("a", "y").expect(first.revision))
            .await?;
        assert_eq!(found(&store, "a").await?.state.status, "y");
        assert_eq!(history(&store).await?.len(), 2);
        assert!(store.events().get(&event.id).await?.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn a_step_with_an_id_is_taken_once() -> TestResult {
    for (store, _) in stores().await? {
        store.sessions().start(&Session::new("s", "a")).await?;
        let state = with_data("a", "1");
        let event = numbered_event(1, "one");
        let id = Uuid::from_u128(7);
        let step = Step::to(&state)
            .id(id)
            .reason("r")
            .event(&event)
            .session("s");
        let taken = store.agents().step(&step).await?;
        assert_eq!(store.agents().step(&step).await?, taken);
        assert_eq!(history(&store).await?.len(), 1);

        let others = [
            step.clone().reason("another"),
            step.clone().timestamp(NOW - 1),
            Step::to_state_data("a", "2").id(id).reason("r"),
            Step::to_status("b", "x").id(id).reason("r"),
        ];
        for other in others {
            let refused = store.agents().step(&other).await;
            assert!(
                matches!(
                    refused,
                    Err(StateStoreError::Conflict {
                        entity: "transition",
                        ..
                    })
                ),
                "{refused:?}"
            );
        }
        assert_eq!(found(&store, "a").await?.revision, taken.revision);
    }
    Ok(())
}

#[tokio::test]
async fn steps_within_a_transaction_and_a_batch_see_each_other() -> TestResult {
    for (store, _) in stores().await? {
        store
            .transact(|tx| {
                tx.agents().step(&Step::to(&with_data("a", "1")))?;
                tx.agents().step(&Step::to_state_data("a", "2")).map(drop)
            })
            .await?;
        let mut batch = store.batch();
        let first = batch.agents().step(&Step::to_state_data("a", "3"))?;
        let second = batch.agents().step(&Step::to_state_data("a", "4"))?;
        let done = batch.commit().await?;
        assert!(done.get(first)?.revision < done.get(second)?.revision);
        let pairs = [("", "1"), ("1", "2"), ("2", "3"), ("3", "4")];
        let expected = pairs.map(|(before, after)| (before.to_owned(), after.to_owned()));
        assert_eq!(states(&store).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_step_holds_is_checked_before_anything_waits() -> TestResult {
    let limits = Limits::default().state_bytes(100);
    for store in Place::everywhere(StoreOptions::default().limits(limits)).await {
        store.agents().save(&agent("a")).await?;
        let long = "x".repeat(101);
        let refused = store.agents().step(&Step::to_state_data("a", &long)).await;
        assert!(
            matches!(
                refused,
                Err(StateStoreError::TooLarge {
                    field: "state_data",
                    ..
                })
            ),
            "{refused:?}"
        );
        let mut batch = store.batch();
        let refused = batch.agents().step(&Step::to_state_data("a", &long));
        assert!(matches!(refused, Err(StateStoreError::TooLarge { .. })));
        assert!(batch.is_empty());

        let few = StoreOptions::default().limits(Limits::default().bulk_rows(2));
        for store in Place::everywhere(few).await {
            let events = [1, 2, 3].map(|number| numbered_event(number, "many"));
            let state = agent("a");
            let refused = store.agents().step(&Step::to(&state).events(&events)).await;
            assert!(
                matches!(refused, Err(StateStoreError::TooLarge { unit: "rows", .. })),
                "{refused:?}"
            );
            assert!(store.agents().get("a").await?.is_none());
            store
                .agents()
                .step(&Step::to(&state).events(&events[..2]))
                .await?;
        }
    }
    Ok(())
}
