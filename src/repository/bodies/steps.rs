//! Steps of agents: state, transition, events and session in one operation.

use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::agents::AgentTable;
use super::context::TableContext;
use super::dialect::OTHERS_WRITE;
use super::events::EventTable;
use super::prepared::prepared;
use super::revisioned::{Current, change};
use super::sessions::SessionTable;
use super::transitions::TransitionTable;
use super::writes::inserted;
use crate::condition::{ChangeIf, SaveIf};
use crate::error::StateStoreError;
use crate::models::{Body, NewStep, NewStepChange, Stepped};
use crate::numbers::{Revision, Seq};
use crate::schema::{agent_states, state_transitions};

impl AgentTable<'_> {
    pub(crate) fn step(&mut self, step: &NewStep<'_>) -> Result<Stepped, StateStoreError> {
        if step.transition.has_given_id
            && let Some(stored) = self.transitions().find(&step.transition.id)?
        {
            if step.says_the_same_as(&stored.transition) {
                return self.stepped_before(step, stored.seq);
            }
            // Recorded rows never change: each stays at its first revision.
            return Err(StateStoreError::Conflict {
                entity: "transition",
                id: step.transition.id.clone(),
                expected: SaveIf::Absent,
                actual: Revision::from(1),
            });
        }
        let decided = self.decide(step);
        if OTHERS_WRITE
            && step.transition.has_given_id
            && !matches!(decided, Ok((_, Some(_))))
            && let Some(stored) = self.transitions().find(&step.transition.id)?
            && step.says_the_same_as(&stored.transition)
        {
            // It was being taken while this one waited for the row.
            return self.stepped_before(step, stored.seq);
        }
        let (current, new) = decided?;
        let session = match &step.session_id {
            Some(id) => Some(SessionTable::new(self.context()).touch(id, ChangeIf::Any)?),
            None => None,
        };
        // Before the change: it copies the state that the row has until now.
        let transition = self.record(step, current)?;
        let revision = match new {
            Some(revision) => revision,
            None => self.change(step, current)?,
        };
        let events = EventTable::new(self.context()).put_all(&step.events)?;
        Ok(Stepped {
            revision,
            transition,
            events,
            session,
        })
    }

    /// Returns the row that the step is going to change. Where there is none it is written at once, so that nobody else does;
    /// then the second value is its revision.
    fn decide(
        &mut self,
        step: &NewStep<'_>,
    ) -> Result<(Option<Current>, Option<Revision>), StateStoreError> {
        loop {
            let current = self.current(&step.agent_id)?;
            let subject = self.subject(&step.agent_id);
            let row = match &step.change {
                NewStepChange::State(row, condition) => {
                    subject.may_save(*condition, current)?;
                    row
                }
                NewStepChange::Status(_, condition) | NewStepChange::StateData(_, condition) => {
                    let current = subject.may_change(*condition, current)?;
                    return Ok((Some(current), None));
                }
            };
            if current.is_some() {
                return Ok((current, None));
            }
            if let Some(revision) = self.write(row, None)? {
                return Ok((None, Some(revision)));
            }
        }
    }

    /// Returns what a step wrote that was taken before.
    fn stepped_before(
        &mut self,
        step: &NewStep<'_>,
        transition: Seq,
    ) -> Result<Stepped, StateStoreError> {
        let current = self.current(&step.agent_id)?;
        let subject = self.subject(&step.agent_id);
        let current = current.ok_or_else(|| subject.not_found())?;
        let events = EventTable::new(self.context()).put_all(&step.events)?;
        let session = match &step.session_id {
            Some(id) => SessionTable::new(self.context()).revision(id)?,
            None => None,
        };
        Ok(Stepped {
            revision: current.revision,
            transition,
            events,
            session,
        })
    }

    fn change(
        &mut self,
        step: &NewStep<'_>,
        current: Option<Current>,
    ) -> Result<Revision, StateStoreError> {
        let id = step.agent_id.as_str();
        match (&step.change, current) {
            (NewStepChange::State(row, _), Some(_)) => {
                let written = self.write(row, current)?;
                written.ok_or_else(|| self.subject(id).not_found())
            }
            (NewStepChange::Status(status, _), Some(current)) => {
                self.write_status(id, status, current)
            }
            (NewStepChange::StateData(body, _), Some(current)) => {
                let now = self.scope.clock.now();
                let change = (
                    agent_states::state_data.eq(body),
                    agent_states::state_data_codec.eq(body.codec()),
                );
                change!(self, agent_states by agent_id, id, current, now, change)
            }
            (_, None) => Err(self.subject(id).not_found()),
        }
    }

    /// Records the transition. The state before is copied inside SQL, in its stored form, and so is the state after where
    /// the step has none.
    fn record(
        &mut self,
        step: &NewStep<'_>,
        current: Option<Current>,
    ) -> Result<Seq, StateStoreError> {
        use agent_states as agent;
        use state_transitions as transition;
        let new = &step.transition;
        let has_state = current.is_some_and(|current| !current.is_deleted);
        let namespace = self.scope.namespace.as_str();
        /// Copies what the row holds; `$after` and `$codec` are the state after.
        macro_rules! copy {
            ($after:expr, $codec:expr) => {{
                let copy = agent::table
                    .filter(agent::namespace.eq(namespace))
                    .filter(agent::agent_id.eq(&step.agent_id))
                    .select((
                        agent::namespace,
                        (&new.id).into_sql::<Text>(),
                        agent::agent_id,
                        agent::state_data,
                        agent::state_data_codec,
                        $after,
                        $codec,
                        (&new.reason).into_sql::<Nullable<Text>>(),
                        new.timestamp.into_sql::<BigInt>(),
                        (&new.metadata).into_sql::<Nullable<Text>>(),
                        new.recorded_at.into_sql::<BigInt>(),
                    ))
                    .insert_into(transition::table)
                    .into_columns((
                        transition::namespace,
                        transition::id,
                        transition::agent_id,
                        transition::state_before,
                        transition::state_before_codec,
                        transition::state_after,
                        transition::state_after_codec,
                        transition::reason,
                        transition::timestamp,
                        transition::metadata,
                        transition::recorded_at,
                    ));
                inserted!(self.connection, state_transitions, copy)
            }};
        }
        let seq = match step.state_after() {
            Some(after) if has_state => {
                copy!(after.as_expression(), after.codec().into_sql::<BigInt>())
            }
            Some(after) => {
                let insert = diesel::insert_into(transition::table).values((
                    transition::namespace.eq(namespace),
                    transition::id.eq(&new.id),
                    transition::agent_id.eq(&step.agent_id),
                    transition::state_before.eq(Body::empty()),
                    transition::state_after.eq(after),
                    transition::state_after_codec.eq(after.codec()),
                    transition::reason.eq(&new.reason),
                    transition::timestamp.eq(new.timestamp),
                    transition::metadata.eq(&new.metadata),
                    transition::recorded_at.eq(new.recorded_at),
                ));
                inserted!(self.connection, state_transitions, insert)
            }
            None => copy!(agent::state_data, agent::state_data_codec),
        };
        Ok(seq.into())
    }

    fn transitions(&mut self) -> TransitionTable<'_> {
        TransitionTable::new(self.context())
    }

    /// Returns the transaction for another table.
    fn context(&mut self) -> TableContext<'_> {
        TableContext::new(self.connection, self.scope, self.notes)
    }
}
