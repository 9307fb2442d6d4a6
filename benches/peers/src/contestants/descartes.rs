//! `descartes-state`; `descartes-state-pool`, the same with everything on the runtime's blocking pool; and
//! `descartes-state-transact`, which takes a step as one does by a closure.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use descartes_state::{
    ActorType, AgentFilter, AgentState, Cursor, Durability, Event, EventFilter, PageRequest,
    SqliteStateStore, StoreOptions, Task, TaskStatus, TransitionDraft, TransitionFilter,
};
use harness::{Action, Contestant, Operation, STEP_REASON, Setup};

/// How the store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its defaults, and each operation by the call that is made for it.
    Usual,
    /// Everything on the blocking pool.
    Pool,
    /// A step by a closure of several calls.
    Closure,
}

/// The store that is measured.
#[cfg(feature = "server")]
pub(crate) type Store = descartes_state::AnyStateStore;
#[cfg(not(feature = "server"))]
pub(crate) type Store = SqliteStateStore;

#[derive(Clone)]
pub(crate) struct Descartes {
    store: Store,
    native: Arc<Native>,
    way: Way,
}

/// The inputs in the store's own types.
struct Native {
    agents: Vec<AgentState>,
    transitions: Vec<TransitionDraft>,
    tasks: Vec<Task>,
    /// Where each page of agents starts, as the page before it said.
    cursors: Vec<Option<Cursor>>,
    word: &'static str,
}

impl Descartes {
    pub(crate) async fn open(setup: Setup, way: Way) -> Result<Self> {
        let mut options = StoreOptions::default()
            .durability(match setup.workload.durability {
                harness::Durability::Full => Durability::Full,
                harness::Durability::Relaxed => Durability::Relaxed,
            })
            .compression(setup.compress);
        if way == Way::Pool {
            options = options.inline_budget(Duration::ZERO);
        }
        let store = SqliteStateStore::open(&setup.path, options).await?;
        Self::over(store.into(), setup, way).await
    }

    pub(crate) async fn over(store: Store, setup: Setup, way: Way) -> Result<Self> {
        store.initialize().await?;
        let inputs = &setup.inputs;
        let cursors = match setup.workload.action {
            Action::List | Action::States => cursors(&store).await?,
            _ => Vec::new(),
        };
        let native = Native {
            agents: inputs.agents.iter().cloned().map(agent).collect(),
            transitions: inputs.transitions.iter().cloned().map(transition).collect(),
            tasks: inputs
                .tasks
                .iter()
                .cloned()
                .map(task)
                .collect::<Result<_>>()?,
            cursors,
            word: inputs.word(),
        };
        Ok(Self {
            store,
            native: Arc::new(native),
            way,
        })
    }

    /// A step by the call for it.
    #[cfg(feature = "current")]
    async fn step(&self, agent: usize, event: Event) -> Result<()> {
        let step = descartes_state::Step::to(&self.native.agents[agent])
            .reason(STEP_REASON)
            .event(&event);
        black_box(self.store.agents().step(&step).await?);
        Ok(())
    }

    #[cfg(not(feature = "current"))]
    async fn step(&self, _: usize, _: Event) -> Result<()> {
        bail!("this commit has no step: descartes-state-transact takes one")
    }

    /// The same as one did it before there was one.
    async fn step_by_closure(&self, agent: usize, event: Event) -> Result<()> {
        let native = Arc::clone(&self.native);
        let written = self.store.transact(move |tx| {
            let state = &native.agents[agent];
            let before = tx.agents().get(&state.agent_id)?;
            let before = before.map(|record| record.state.state_data);
            let draft = TransitionDraft::new(
                &*state.agent_id,
                before.unwrap_or_default(),
                &*state.state_data,
            );
            let revision = tx.agents().save(state)?;
            let transition = tx.transitions().record(&draft.reason(STEP_REASON))?;
            let event = tx.events().append(&event)?;
            Ok((revision, transition, event))
        });
        black_box(written.await?);
        Ok(())
    }

    /// A page, of the eight fields that a caller sees.
    #[cfg(feature = "current")]
    async fn states(&self, page: &PageRequest) -> Result<usize> {
        let all = AgentFilter::default();
        let page = self.store.agents().states(&all, page).await?;
        Ok(black_box(page.items).len())
    }

    #[cfg(not(feature = "current"))]
    async fn states(&self, page: &PageRequest) -> Result<usize> {
        let agents = self.store.agents();
        let page = agents.list(&AgentFilter::default(), page).await?;
        let states: Vec<_> = page.items.into_iter().map(|record| record.state).collect();
        Ok(black_box(states).len())
    }
}

async fn cursors(store: &Store) -> Result<Vec<Option<Cursor>>> {
    let mut cursors = vec![None];
    while let Some(at) = cursors.last() {
        let page = store
            .agents()
            .list(&AgentFilter::default(), &page_after(at.as_ref()))
            .await?;
        match page.next {
            Some(next) => cursors.push(Some(next)),
            None => break,
        }
    }
    Ok(cursors)
}

fn page_after(cursor: Option<&Cursor>) -> PageRequest {
    let page = PageRequest::new(100);
    match cursor {
        Some(cursor) => page.after(cursor.clone()),
        None => page,
    }
}

impl Contestant for Descartes {
    async fn perform(&self, operation: Operation) -> Result<usize> {
        let (store, native) = (&self.store, &*self.native);
        match operation {
            Operation::Save(place) => {
                store.agents().save(&native.agents[place]).await?;
                Ok(1)
            }
            Operation::Append(event_) | Operation::AppendIndexed(event_) => {
                store.events().append(&event(event_)).await?;
                Ok(1)
            }
            Operation::AppendAll(events) => {
                let events: Vec<_> = events.into_iter().map(event).collect();
                Ok(store.events().append_all(&events).await?.len())
            }
            Operation::Load(place) => {
                let found = store.agents().get(&native.agents[place].agent_id).await?;
                Ok(usize::from(black_box(found).is_some()))
            }
            Operation::List(page) => {
                let cursor = native.cursors.get(page).context("no such page")?;
                let page = store
                    .agents()
                    .list(&AgentFilter::default(), &page_after(cursor.as_ref()))
                    .await?;
                Ok(black_box(page.items).len())
            }
            Operation::States(page) => {
                let cursor = native.cursors.get(page).context("no such page")?;
                self.states(&page_after(cursor.as_ref())).await
            }
            Operation::History(place) => {
                let filter = TransitionFilter::default().agent(&*native.agents[place].agent_id);
                let page = store
                    .transitions()
                    .list(&filter, &PageRequest::new(100))
                    .await?;
                Ok(black_box(page.items).len())
            }
            Operation::Search => {
                let page = store
                    .events()
                    .search(native.word, &EventFilter::default(), &PageRequest::new(100))
                    .await?;
                Ok(black_box(page.items).len())
            }
            Operation::FourAggregates {
                agent,
                transition,
                event: event_,
                task,
            } => {
                let native = Arc::clone(&self.native);
                store
                    .transact(move |tx| {
                        tx.agents().save(&native.agents[agent])?;
                        tx.transitions().record(&native.transitions[transition])?;
                        tx.events().append(&event(event_))?;
                        tx.tasks().save(&native.tasks[task])?;
                        Ok(())
                    })
                    .await?;
                Ok(4)
            }
            Operation::Step {
                agent,
                event: event_,
            } => {
                match self.way {
                    Way::Closure => self.step_by_closure(agent, event(event_)).await?,
                    Way::Usual | Way::Pool => self.step(agent, event(event_)).await?,
                }
                Ok(3)
            }
        }
    }

    async fn close(self) -> Result<()> {
        Ok(self.store.close().await?)
    }
}

pub(crate) fn agent(agent: harness::Agent) -> AgentState {
    AgentState {
        agent_id: agent.agent_id,
        name: agent.name,
        status: agent.status,
        metadata: agent.metadata,
        state_data: agent.state_data,
        created_at: agent.created_at,
        updated_at: agent.updated_at,
        version: agent.version,
    }
}

pub(crate) fn event(event: harness::Event) -> Event {
    Event {
        id: event.id,
        event_type: event.event_type,
        timestamp: event.timestamp,
        session_id: event.session_id,
        actor_type: match event.actor_type {
            harness::ActorType::User => ActorType::User,
            harness::ActorType::Agent => ActorType::Agent,
            harness::ActorType::System => ActorType::System,
        },
        actor_id: event.actor_id,
        content: event.content,
        metadata: event.metadata,
        git_commit: event.git_commit,
    }
}

pub(crate) fn transition(transition: harness::Transition) -> TransitionDraft {
    let mut draft = TransitionDraft::new(
        transition.agent_id,
        transition.state_before,
        transition.state_after,
    );
    if let Some(reason) = transition.reason {
        draft = draft.reason(reason);
    }
    if let Some(metadata) = transition.metadata {
        draft = draft.metadata(metadata);
    }
    draft
}

pub(crate) fn task(task: harness::Task) -> Result<Task> {
    Ok(Task {
        id: task.id,
        title: task.title,
        description: task.description,
        status: match task.status.as_str() {
            "todo" => TaskStatus::Todo,
            "in_progress" => TaskStatus::InProgress,
            "blocked" => TaskStatus::Blocked,
            "done" => TaskStatus::Done,
            other => bail!("no task here is {other:?}"),
        },
        assigned_to: task.assigned_to,
        created_at: task.created_at,
        updated_at: task.updated_at,
        metadata: task.metadata,
    })
}
