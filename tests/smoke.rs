use descartes_state::*;
use std::sync::Arc;
fn agent(id: &str) -> AgentState {
    AgentState {
        agent_id: id.into(),
        name: "n".into(),
        status: "idle".into(),
        metadata: serde_json::json!({"a":0.1}),
        state_data: "x".repeat(3000),
        created_at: 1,
        updated_at: 2,
        version: 1,
    }
}
fn event(c: &str) -> Event {
    Event {
        id: uuid::Uuid::now_v7(),
        event_type: "t".into(),
        timestamp: 5,
        session_id: "s".into(),
        actor_type: ActorType::Agent,
        actor_id: "a".into(),
        content: c.into(),
        metadata: None,
        git_commit: None,
    }
}
#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let s = SqliteStateStore::temporary_with(StoreOptions::default().compression(true))
        .await
        .unwrap();
    s.save_agent_state(&agent("a")).await.unwrap();
    assert_eq!(s.agents().save(&agent("a")).await.unwrap(), 2);
    println!("{:?}", s.agents().get("a").await.unwrap().unwrap().codec);
    assert!(matches!(
        s.agents().save_if(&agent("a"), Expected::Revision(1)).await,
        Err(StateStoreError::Conflict { .. })
    ));
    let snap = s.create_snapshot("a", Some("d".into())).await.unwrap();
    s.update_agent_status("a", "busy").await.unwrap();
    s.delete_agent("a").await.unwrap();
    s.restore_snapshot(&snap).await.unwrap();
    assert_eq!(
        s.load_agent_state("a").await.unwrap().unwrap().status,
        "idle"
    );
    println!("{:?}", s.list_snapshots("a").await.unwrap());
    s.record_state_transition("a", "{}", "{1}", Some("r".into()))
        .await
        .unwrap();
    assert_eq!(s.get_state_history("a", 50).await.unwrap().len(), 1);
    let e = event("Hello it's a wörld");
    s.save_event(&e).await.unwrap();
    s.save_event(&e).await.unwrap();
    assert!(
        s.save_event(&Event {
            content: "other".into(),
            ..e.clone()
        })
        .await
        .is_err()
    );
    assert_eq!(
        s.search_events("it's world").await.unwrap(),
        vec![e.clone()]
    );
    let n = s
        .events()
        .append_all(
            &(0..1000)
                .map(|i| event(&format!("word{i} common")))
                .collect::<Vec<_>>(),
        )
        .await
        .unwrap();
    assert_eq!(n.len(), 1000);
    assert_eq!(s.search_events("common").await.unwrap().len(), 1000);
    assert_eq!(s.events().purge_before(6).await.unwrap(), 1001);
    assert_eq!(s.search_events("common").await.unwrap().len(), 0);
    let r = s
        .transact(|tx| {
            tx.agents().save(&agent("b"))?;
            tx.events().append(&event("findme"))?;
            Ok(tx
                .events()
                .search("findme", &EventFilter::default(), &PageRequest::default())?
                .items
                .len())
        })
        .await
        .unwrap();
    assert_eq!(r, 1);
    let r = s
        .transact(|tx| -> Result<(), _> {
            tx.agents().save(&agent("c"))?;
            panic!("boom")
        })
        .await;
    println!("{r:?}");
    let r = s
        .transact(|tx| -> Result<(), _> {
            use diesel::connection::SimpleConnection;
            tx.connection().batch_execute("COMMIT; BEGIN")?;
            Ok(())
        })
        .await;
    println!("{r:?}");
    let s2 = s.clone();
    let r = s
        .transact(move |_| {
            tokio::runtime::Handle::current().block_on(s2.save_agent_state(&agent("d")))
        })
        .await;
    println!("{r:?}");
    let t = SqliteStateStore::open(s.path(), StoreOptions::default())
        .await
        .unwrap()
        .with_prefix("p");
    assert!(t.list_agents().await.unwrap().is_empty());
    let d: Arc<dyn StateStore> = Arc::new(t);
    d.save_agent_state(&agent("a")).await.unwrap();
    let mut js = vec![];
    for i in 0..64 {
        let s = s.clone();
        js.push(tokio::spawn(async move {
            for j in 0..50 {
                s.save_agent_state(&agent(&format!("{i}-{j}")))
                    .await
                    .unwrap();
            }
        }))
    }
    for j in js {
        j.await.unwrap();
    }
    println!("{:?}", s.get_migration_history().await.unwrap().last());
    println!("{:?}", s.migrations().preview_revert().await.unwrap());
    s.close().await.unwrap();
    println!("{:?}", s.list_agents().await);
    println!("{:?}", d.list_agents().await.unwrap().len());
}
#[test]
fn drop_outside() {
    let rt = tokio::runtime::Runtime::new().unwrap();
    let s = rt.block_on(SqliteStateStore::temporary()).unwrap();
    rt.block_on(s.save_agent_state(&agent("x"))).unwrap();
    rt.block_on(s.list_agents()).unwrap();
    drop(rt);
    drop(s);
}
