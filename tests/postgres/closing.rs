//! Closing a store while calls wait for their turn.

use descartes_state::error::ErrorKind;
use descartes_state::{AgentFilter, StoreOptions};
use descartes_state_testing::{agent, poll_once, soon};

use crate::open;
use crate::shared::CALLERS;

#[tokio::test]
async fn closing_waits_for_calls_that_wait_for_those_before_them() {
    let Some((schema, store)) = open().await else {
        return;
    };
    store.save_agent_state(&agent("there")).await.unwrap();
    let states: Vec<_> = (0..CALLERS)
        .map(|caller| agent(&format!("a{caller}")))
        .collect();
    let mut saves: Vec<_> = states
        .iter()
        .map(|state| Box::pin(store.save_agent_state(state)))
        .collect();
    let mut loads: Vec<_> = (0..CALLERS)
        .map(|_| Box::pin(store.load_agent_state("there")))
        .collect();
    for save in &mut saves {
        assert!(poll_once(save.as_mut()).is_pending());
    }
    for load in &mut loads {
        assert!(poll_once(load.as_mut()).is_pending());
    }
    let mut closing = Box::pin(store.close());
    assert!(poll_once(closing.as_mut()).is_pending());
    let late = store.save_agent_state(&agent("late")).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
    let answers = async {
        for save in saves {
            soon(save).await.unwrap();
        }
        for load in loads {
            assert!(soon(load).await.unwrap().is_some());
        }
    };
    let (closed, ()) = tokio::join!(closing, answers);
    closed.unwrap();

    let again = schema.open(StoreOptions::default()).await;
    let kept = again.agents().count(&AgentFilter::default()).await;
    assert_eq!(kept.unwrap(), CALLERS as i64 + 1);
}
