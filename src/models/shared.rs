//! Writes that many callers make at once, in the one form in which they share statements.

use std::any::Any;

use super::step::StepTransition;
use super::{NewAgent, NewEvent, NewStep, NewStepChange};
use crate::condition::SaveIf;

/// A write that may share its statements with others of its kind: an agent's whole state, whatever is there; with a transition, as
/// a step; and events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedWrite<'p> {
    pub(crate) agent: Option<&'p NewAgent>,
    pub(crate) transition: Option<&'p StepTransition>,
    pub(crate) events: &'p [NewEvent<'p>],
}

/// What a shared write wrote: revision and sequence numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrote {
    pub(crate) revision: Option<i64>,
    pub(crate) transition: Option<i64>,
    pub(crate) events: Vec<i64>,
}

impl<'p> SharedWrite<'p> {
    /// Returns what a method has prepared as one; `None` for what has to be decided for by itself.
    pub(crate) fn of(prepared: &'p dyn Any) -> Option<Self> {
        if let Some(agent) = prepared.downcast_ref::<NewAgent>() {
            return Some(Self {
                agent: Some(agent),
                transition: None,
                events: &[],
            });
        }
        if let Some(event) = prepared.downcast_ref::<NewEvent<'static>>() {
            return Some(Self {
                agent: None,
                transition: None,
                events: std::slice::from_ref(event),
            });
        }
        prepared
            .downcast_ref::<NewStep<'static>>()
            .and_then(Self::of_step)
    }

    fn of_step(step: &'p NewStep<'static>) -> Option<Self> {
        match &step.change {
            NewStepChange::State(agent, SaveIf::Any)
                if step.session_id.is_none() && !step.transition.has_given_id =>
            {
                Some(Self {
                    agent: Some(agent),
                    transition: Some(&step.transition),
                    events: &step.events,
                })
            }
            _ => None,
        }
    }

    /// Returns the row that it changes, which no other of the same statement may.
    pub(crate) fn key(&self) -> Option<&'p str> {
        self.agent.map(|agent| agent.key.as_str())
    }
}
