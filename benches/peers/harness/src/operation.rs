//! What a contestant is asked to do, and who chooses it.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::inputs::Inputs;
use crate::job::Acknowledged;
use crate::model::Event;
use crate::workload::{Action, Workload};

/// One operation; numbers are places in [`Inputs`].
#[derive(Debug)]
pub enum Operation {
    Save(usize),
    Append(Event),
    AppendIndexed(Event),
    AppendAll(Vec<Event>),
    Load(usize),
    /// The page that follows so many hundred agents.
    List(usize),
    /// The same page, of the eight fields that a caller sees.
    States(usize),
    History(usize),
    Search,
    FourAggregates {
        agent: usize,
        transition: usize,
        event: Event,
        task: usize,
    },
    /// From whatever state the agent has to this one.
    Step {
        agent: usize,
        event: Event,
    },
}

impl Operation {
    /// How many rows it has to write or to decode.
    #[must_use]
    pub fn rows(&self, inputs: &Inputs) -> usize {
        match self {
            Self::Save(_) | Self::Append(_) | Self::AppendIndexed(_) | Self::Load(_) => 1,
            Self::AppendAll(events) => events.len(),
            Self::List(_) | Self::States(_) | Self::History(_) => 100,
            Self::Search => inputs.hits().min(100),
            Self::FourAggregates { .. } => 4,
            Self::Step { .. } => 3,
        }
    }

    /// Whether its events are to be in the full-text index when it commits.
    #[must_use]
    pub fn indexes(&self) -> bool {
        matches!(
            self,
            Self::AppendIndexed(_)
                | Self::AppendAll(_)
                | Self::FourAggregates { .. }
                | Self::Step { .. }
        )
    }

    /// What must be in the file once it is acknowledged.
    #[must_use]
    pub fn writes(&self) -> Acknowledged {
        let none = Acknowledged::default();
        match self {
            Self::Save(_) => Acknowledged { agents: 1, ..none },
            Self::Append(_) | Self::AppendIndexed(_) => Acknowledged { events: 1, ..none },
            Self::AppendAll(events) => Acknowledged {
                events: events.len() as u64,
                ..none
            },
            Self::FourAggregates { .. } => Acknowledged {
                agents: 1,
                transitions: 1,
                events: 1,
                tasks: 1,
            },
            Self::Step { .. } => Acknowledged {
                agents: 1,
                transitions: 1,
                events: 1,
                ..none
            },
            _ => none,
        }
    }
}

/// Chooses the operations of one task: at random, but each task writes agents of its own.
#[derive(Debug)]
pub(crate) struct Chooser {
    inputs: Arc<Inputs>,
    action: Action,
    task: usize,
    tasks: usize,
    random: SmallRng,
}

impl Chooser {
    pub(crate) fn new(inputs: &Arc<Inputs>, workload: &Workload, seed: u64, task: usize) -> Self {
        Self {
            inputs: Arc::clone(inputs),
            action: workload.action,
            task,
            tasks: workload.tasks,
            random: SmallRng::seed_from_u64(seed ^ (task as u64 + 1).wrapping_mul(0x9e37_79b9)),
        }
    }

    pub(crate) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    pub(crate) fn choose(&mut self) -> Operation {
        match self.action {
            Action::Save { .. } => self.save(),
            Action::Append { indexed: false } => Operation::Append(self.event()),
            Action::Append { indexed: true } => Operation::AppendIndexed(self.event()),
            Action::AppendAll => {
                Operation::AppendAll((0..self.inputs.bulk()).map(|_| self.event()).collect())
            }
            Action::Load => self.load(),
            Action::Mixed if self.random.random_ratio(1, 10) => self.save(),
            Action::Mixed => self.load(),
            Action::Ticker if self.random.random() => self.save(),
            Action::Ticker => self.load(),
            Action::List => Operation::List(self.random.random_range(0..self.inputs.pages())),
            Action::States => Operation::States(self.random.random_range(0..self.inputs.pages())),
            Action::History => Operation::History(self.random.random_range(0..Inputs::BUSY_AGENTS)),
            Action::Search(_) => Operation::Search,
            Action::Step => Operation::Step {
                agent: self.own_agent(),
                event: self.event(),
            },
            Action::FourAggregates => Operation::FourAggregates {
                agent: self.own_agent(),
                transition: self.random.random_range(0..self.inputs.transitions.len()),
                event: self.event(),
                task: own(
                    &mut self.random,
                    self.inputs.tasks.len(),
                    self.task,
                    self.tasks,
                ),
            },
        }
    }

    fn save(&mut self) -> Operation {
        Operation::Save(self.own_agent())
    }

    fn load(&mut self) -> Operation {
        Operation::Load(self.random.random_range(0..self.inputs.agent_count()))
    }

    /// One of the states of one of this task's agents.
    fn own_agent(&mut self) -> usize {
        let count = self.inputs.agent_count();
        let agent = own(&mut self.random, count, self.task, self.tasks);
        let states = self.inputs.agents.len() / count;
        agent + count * self.random.random_range(0..states)
    }

    fn event(&mut self) -> Event {
        let template = self.random.random_range(0..self.inputs.events.len());
        self.inputs.fresh_event(template)
    }
}

/// One of those places that no other task has, as far as there are enough.
fn own(random: &mut SmallRng, count: usize, task: usize, tasks: usize) -> usize {
    let first = task % count;
    let shares = (count - first).div_ceil(tasks);
    first + tasks * random.random_range(0..shares)
}
