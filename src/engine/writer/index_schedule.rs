//! When a block of events is indexed: at once where enough of them wait, else at rest.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::context::{Context, OpenDatabase};
use super::indexing::{BLOCK_EVENTS, Block};
use crate::engine::blocking::{call_after_a_moment, spawn_surely};

/// Takes note of what a commit appended, and sees to it that it is indexed: next where a block waits, else after a moment in
/// which nothing is appended.
pub(super) fn index_in_time(
    context: &Arc<Context>,
    keep_alive: Option<&Arc<dyn OpenDatabase>>,
    appended: usize,
) {
    let indexing = &context.indexing;
    indexing.record(appended);
    if !indexing.is_wanted() {
        return;
    }
    if indexing.waiting.load(Ordering::Acquire) >= BLOCK_EVENTS {
        indexing.is_queued.store(true, Ordering::Release);
        let block = Block::of(indexing);
        if appended > 0 {
            // Before other writes: a search looks itself through all that waits.
            context.queue.put_back(vec![block]);
        } else {
            // More than a block was waiting: writes go on in between. A queue that is closed drops it.
            let _closed = context.queue.push(block);
        }
    } else if let Some(keep_alive) = keep_alive
        && !indexing.has_alarm.swap(true, Ordering::AcqRel)
    {
        await_rest(Alarm(Arc::clone(context)), Arc::downgrade(keep_alive));
    }
}

/// Queues a block for everything that waits; returns whether the queue lacks a leader.
pub(super) fn queue_block(context: &Context) -> bool {
    let indexing = &context.indexing;
    indexing.waiting.fetch_max(1, Ordering::AcqRel);
    if !indexing.is_wanted() || indexing.is_queued.swap(true, Ordering::AcqRel) {
        return false;
    }
    // A queue that is closed drops it, and with it the mark that it is queued.
    matches!(context.queue.push(Block::of(indexing)), Ok(true))
}

/// Somebody waits for a moment of rest.
struct Alarm(Arc<Context>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.indexing.has_alarm.store(false, Ordering::Release);
    }
}

/// Indexes what waits after a moment in which nothing was appended, unless the database is closed by then.
fn await_rest(alarm: Alarm, keep_alive: Weak<dyn OpenDatabase>) {
    let seen = alarm.0.indexing.appends.load(Ordering::Acquire);
    call_after_a_moment(move || {
        let context = Arc::clone(&alarm.0);
        let indexing = &context.indexing;
        if !indexing.is_wanted() {
            drop(alarm);
            // Appended since, by one who saw that somebody waits.
            if indexing.is_wanted() && !indexing.has_alarm.swap(true, Ordering::AcqRel) {
                await_rest(Alarm(Arc::clone(&context)), keep_alive);
            }
        } else if indexing.appends.load(Ordering::Acquire) != seen {
            await_rest(alarm, keep_alive);
        } else {
            drop(alarm);
            // There: who holds the database last closes it, and that takes its time.
            spawn_surely(&context.runtime, move || {
                if let Some(database) = keep_alive.upgrade() {
                    database.index_soon();
                }
            });
        }
    });
}
