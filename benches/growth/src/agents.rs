//! A store that grows by agents, with ten transitions each.

use descartes_state::chrono::Utc;
use descartes_state::serde_json::json;
use descartes_state::{
    AgentFilter, AgentState, Durability, PageRequest, SqliteStateStore, TransitionDraft,
    TransitionFilter,
};

use crate::Failure;
use crate::contents::Contents;
use crate::measure::{Size, scattered};
use crate::report::Report;
use crate::space;
use crate::stores::{Home, middle};

pub(crate) const SUBJECT: &str = "agents";
pub(crate) const TRANSITIONS: &str = "transitions";
const PAGE: u32 = 100;
/// Agents that make half of all transitions.
const BUSY: u64 = 4;
const TRANSITIONS_OF_AN_AGENT: u64 = 10;
/// Rows that one transaction of the fill writes.
const BULK: usize = 5_000;

pub(crate) async fn grow(
    sizes: &[u64],
    contents: &Contents,
    report: &mut Report,
) -> Result<(), Failure> {
    let home = Home::new()?;
    let mut filled = 0;
    for &size in sizes {
        eprintln!("{size} agents");
        let at = Size {
            subject: SUBJECT,
            rows: size,
        };
        let store = home.open(Durability::Relaxed).await?;
        fill(&store, contents, filled, size).await?;
        filled = size;
        // Closing moves the write-ahead log into the file.
        store.close().await?;

        let store = home.open(Durability::Relaxed).await?;
        let file = home.file_bytes()?;
        report.space(space::of(&store, SUBJECT, "agent_states", size, file).await?)?;
        let transitions = size * TRANSITIONS_OF_AN_AGENT;
        let of_transitions = space::of(&store, TRANSITIONS, "state_transitions", transitions, file);
        report.space(of_transitions.await?)?;
        read(&store, at, report).await?;
        write(&store, at, contents, Durability::Relaxed, report).await?;
        store.close().await?;

        report.cost(at.disk(home.directory()).await?)?;
        let store = home.open(Durability::Full).await?;
        write(&store, at, contents, Durability::Full, report).await?;
        store.close().await?;
    }
    Ok(())
}

/// Saves agents up to a size, then records as many transitions as are missing: what was measured recorded some, too.
async fn fill(
    store: &SqliteStateStore,
    contents: &Contents,
    from: u64,
    until: u64,
) -> Result<(), Failure> {
    for begin in (from..until).step_by(BULK) {
        let agents: Vec<_> = (begin..until.min(begin + BULK as u64))
            .map(|number| agent(contents, number))
            .collect();
        let save = store.transact(move |tx| {
            agents
                .iter()
                .try_for_each(|agent| tx.agents().save(agent).map(drop))
        });
        save.await?;
    }
    let all = TransitionFilter::default();
    let recorded = u64::try_from(store.transitions().count(&all).await?)?;
    let wanted = until * TRANSITIONS_OF_AN_AGENT;
    for begin in (recorded..wanted).step_by(BULK) {
        let transitions: Vec<_> = (begin..wanted.min(begin + BULK as u64))
            .map(|row| {
                let owner = if row.is_multiple_of(2) {
                    row / 2 % BUSY
                } else {
                    scattered(row, until)
                };
                transition(contents, owner, row)
            })
            .collect();
        let record = store.transact(move |tx| {
            transitions
                .iter()
                .try_for_each(|transition| tx.transitions().record(transition).map(drop))
        });
        record.await?;
    }
    Ok(())
}

fn agent_id(number: u64) -> String {
    format!("agent_{number:07}")
}

/// About 1 KiB: the last three steps are its memory.
fn agent(contents: &Contents, number: u64) -> AgentState {
    let step = contents.step(number);
    let memory: Vec<String> = (number..number + 3)
        .map(|row| contents.step(row).text.chars().take(350).collect())
        .collect();
    AgentState {
        agent_id: agent_id(number),
        name: format!("{} {number}", step.actor),
        status: if number.is_multiple_of(3) {
            "running"
        } else {
            "idle"
        }
        .to_owned(),
        metadata: json!({ "type": "worker", "capacity": 100, "tags": ["production"] }),
        state_data: json!({ "run": step.run, "step": step.number, "memory": memory }).to_string(),
        created_at: Utc::now().timestamp(),
        updated_at: Utc::now().timestamp(),
        version: 1,
    }
}

fn transition(contents: &Contents, agent: u64, row: u64) -> TransitionDraft {
    let state = |row: u64| {
        let step = contents.step(row);
        let last: String = step.text.chars().take(80).collect();
        json!({ "status": "running", "step": step.number, "last": last }).to_string()
    };
    TransitionDraft::new(agent_id(agent), state(row), state(row + 1))
        .reason(contents.step(row).event_type.clone())
}

async fn write(
    store: &SqliteStateStore,
    at: Size,
    contents: &Contents,
    durability: Durability,
    report: &mut Report,
) -> Result<(), Failure> {
    let (save, record) = match durability {
        Durability::Relaxed => ("save, relaxed", "record a transition, relaxed"),
        _ => ("save, durable", "record a transition, durable"),
    };
    let save = at.cost(save, async |number| {
        let agent = agent(contents, scattered(number, at.rows));
        store.agents().save(&agent).await?;
        Ok(1)
    });
    report.cost(save.await?)?;
    let record = at.cost(record, async |number| {
        let transition = transition(contents, scattered(number, at.rows), number);
        store.transitions().record(&transition).await?;
        Ok(1)
    });
    report.cost(record.await?)
}

async fn read(store: &SqliteStateStore, at: Size, report: &mut Report) -> Result<(), Failure> {
    let agents = store.agents();
    let all = AgentFilter::default();
    let first = PageRequest::new(PAGE);

    let load = at.cost("load by key", async |number| {
        let id = agent_id(scattered(number, at.rows));
        Ok(agents.get(&id).await?.map_or(0, |_| 1))
    });
    report.cost(load.await?)?;
    let page = at.cost("first 100 agents", async |_| {
        Ok(agents.list(&all, &first).await?.items.len() as u64)
    });
    report.cost(page.await?)?;
    let cursors = middle(at.rows, async |page| {
        let turn = agents.list(&all, page).await?;
        Ok((turn.items.len(), turn.next))
    })
    .await?;
    let page = at.cost("100 agents in the middle, by cursor", async |number| {
        let cursor = &cursors[scattered(number, cursors.len() as u64) as usize];
        let page = PageRequest::new(PAGE).after(cursor.clone());
        Ok(agents.list(&all, &page).await?.items.len() as u64)
    });
    report.cost(page.await?)?;
    let history = at.cost("history, newest 100", async |number| {
        let of_busy = TransitionFilter::default().agent(agent_id(number % BUSY));
        let page = store.transitions().list(&of_busy, &first).await?;
        Ok(page.items.len() as u64)
    });
    report.cost(history.await?)?;
    let count = at.cost("count of all agents", async |_| {
        agents.count(&all).await?;
        Ok(1)
    });
    report.cost(count.await?)
}
