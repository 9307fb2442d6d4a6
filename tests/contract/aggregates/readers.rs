//! A read transaction: the readers see what the handles see, all of one moment, and cannot write.

use descartes_state::{
    AgentFilter, EventFilter, PageRequest, ReadTransaction, SessionFilter, SnapshotFilter,
    StateStoreError, StoreOptions, TaskFilter, TransitionFilter,
};

use descartes_state_testing::{Place, TestResult, agent, populate};

/// How many rows of each aggregate.
fn counts(tx: &mut ReadTransaction<'_>) -> Result<[i64; 6], StateStoreError> {
    Ok([
        tx.agents().count(&AgentFilter::default())?,
        tx.transitions().count(&TransitionFilter::default())?,
        tx.snapshots().count(&SnapshotFilter::default())?,
        tx.events().count(&EventFilter::default())?,
        tx.tasks().count(&TaskFilter::default())?,
        tx.sessions().count(&SessionFilter::default())?,
    ])
}

#[tokio::test]
async fn one_function_reads_from_a_read_and_from_a_write_transaction() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        populate(&store).await;
        let read = store.read(counts).await?;
        assert!(read.iter().all(|rows| *rows > 0), "{read:?}");
        let (before, after) = store
            .transact(|tx| {
                let before = counts(tx)?;
                tx.agents().save(&agent("another"))?;
                Ok((before, counts(tx)?))
            })
            .await?;
        assert_eq!(before, read);
        assert_eq!(after[0], read[0] + 1);
    }
    Ok(())
}

#[tokio::test]
async fn readers_return_what_the_handles_return() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        populate(&store).await;
        let page = PageRequest::default();
        let (agents, events, sessions) = {
            let page = page.clone();
            store
                .read(move |tx| {
                    Ok((
                        tx.agents().list(&AgentFilter::default(), &page)?,
                        tx.events().list(&EventFilter::default(), &page)?,
                        tx.sessions().list(&SessionFilter::default(), &page)?,
                    ))
                })
                .await?
        };
        assert_eq!(
            agents,
            store.agents().list(&AgentFilter::default(), &page).await?
        );
        assert_eq!(
            events,
            store.events().list(&EventFilter::default(), &page).await?
        );
        let own = store
            .sessions()
            .list(&SessionFilter::default(), &page)
            .await?;
        assert_eq!(sessions, own);
        let id = agents.items[0].state.agent_id.clone();
        let asked = id.clone();
        let one = store.read(move |tx| tx.agents().get(&asked)).await?;
        assert_eq!(one, store.agents().get(&id).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_read_transaction_sees_one_moment_while_others_write() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        populate(&store).await;
        let (entered, has_entered) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel();
        let reading = tokio::spawn({
            let store = store.clone();
            async move {
                store
                    .read(move |tx| {
                        let before = counts(tx)?;
                        let _ = entered.send(());
                        let _ = may_go_on.recv();
                        Ok((before, counts(tx)?))
                    })
                    .await
            }
        });
        tokio::task::spawn_blocking(move || has_entered.recv()).await??;
        store.save_agent_state(&agent("meanwhile")).await?;
        go_on.send(())?;
        let (before, after) = reading.await??;
        assert_eq!(before, after);
        assert_eq!(store.read(counts).await?[0], before[0] + 1);
    }
    Ok(())
}

#[tokio::test]
async fn every_handle_and_repository_says_its_namespace_when_debugged_and_no_data() -> TestResult {
    for place in Place::everywhere(StoreOptions::default()).await {
        let store = place.store().with_prefix("tenant");
        store.save_agent_state(&agent("secret")).await?;
        let mut texts = vec![
            format!("{store:?}"),
            format!("{:?}", store.agents()),
            format!("{:?}", store.transitions()),
            format!("{:?}", store.snapshots()),
            format!("{:?}", store.events()),
            format!("{:?}", store.tasks()),
            format!("{:?}", store.sessions()),
        ];
        texts.extend(
            store
                .transact(|tx| {
                    Ok([
                        format!("{tx:?}"),
                        format!("{:?}", tx.agents()),
                        format!("{:?}", tx.transitions()),
                        format!("{:?}", tx.snapshots()),
                        format!("{:?}", tx.events()),
                        format!("{:?}", tx.tasks()),
                        format!("{:?}", tx.sessions()),
                    ])
                })
                .await?,
        );
        texts.extend(
            store
                .read(|tx| Ok([format!("{tx:?}"), format!("{:?}", tx.events())]))
                .await?,
        );
        for text in texts {
            assert!(text.contains("tenant"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        let migrations = format!("{:?}", store.migrations());
        assert!(migrations.starts_with("Migrations"), "{migrations}");
    }
    Ok(())
}
