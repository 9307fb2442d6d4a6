//! Fair turns between the processes that write to one file.
//!
//! SQLite's own waiting is not fair: who waits sleeps and tries again, and a process that writes without a pause takes the
//! lock back before anybody has woken. So a process that wants to write takes two locks on files beside the database, which
//! the system hands on in the order of asking: `gate`, then `turn`; then it opens the gate, writes, and gives the turn back.
//! With one lock alone, who has just given it back is the first to ask again; behind the gate the next one stands already.
//!
//! That is for fairness, and never for correctness: SQLite's lock decides who writes. Where the files can't be made, where
//! another program writes without them, and where a process that was stopped keeps them, SQLite's own waiting is what is left.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::filesystem::beside;

/// One open database's place at the turnstile. Only the leader of its write queue comes here, so one at a time.
pub(super) struct Turnstile {
    /// `None` where the files can't be made.
    gates: OnceLock<Option<Arc<Gates>>>,
    has_warned: AtomicBool,
}

/// The right to write next; given back when it is dropped.
#[must_use]
pub(super) struct Pass(Option<Arc<Gates>>);

/// How asking for a pass ended.
pub(super) enum Passage {
    Open(Pass),
    /// Another process is before us.
    Closed,
    /// Another process is before us, and does not write: waiting is no use.
    Stalled,
}

struct Gates {
    gate: File,
    turn: File,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stage: Stage,
    /// Whether somebody still wants the turn that is being waited for.
    is_wanted: bool,
    /// Whether it is known that whoever has the turn does not write.
    is_stalled: bool,
    has_thread: bool,
    is_closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Free,
    /// The thread waits in the system for both locks.
    Waiting,
    /// The thread has got the turn.
    Granted,
    /// There is a [`Pass`].
    Taken,
}

/// How long the thread that waits stays without anything to wait for.
const IDLE: Duration = Duration::from_secs(10);

impl Turnstile {
    pub(super) fn new() -> Self {
        Self {
            gates: OnceLock::new(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Opens the files beside the database, or makes them. On a thread that may wait.
    pub(super) fn open(&self, database: &Path) {
        let _opened = self.gates.get_or_init(|| match Gates::open(database) {
            Ok(gates) => Some(Arc::new(gates)),
            Err(error) => {
                self.warn(&format!(
                    "the files of the turnstile can't be made: {error}"
                ));
                None
            }
        });
    }

    /// Says once why turns may not be fair.
    pub(super) fn warn(&self, reason: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason,
                "writers of several processes don't take turns: one of them may wait long"
            );
        }
    }

    /// Passes if nobody else is there; waits for nobody.
    pub(super) fn try_pass(&self) -> Passage {
        let Some(Some(gates)) = self.gates.get() else {
            return Passage::Open(Pass(None));
        };
        let mut state = gates.lock();
        let is_taken = match state.stage {
            Stage::Free => gates.try_take(),
            Stage::Granted => true,
            Stage::Waiting | Stage::Taken => false,
        };
        if is_taken {
            state.stage = Stage::Taken;
            Passage::Open(Pass(Some(Arc::clone(gates))))
        } else {
            Passage::Closed
        }
    }

    /// Gets in line, and waits for a moment; whoever asks again keeps the place. On a thread that may wait.
    pub(super) fn pass_within(&self, moment: Duration) -> Passage {
        if let Passage::Open(pass) = self.try_pass() {
            return Passage::Open(pass);
        }
        let Some(Some(gates)) = self.gates.get() else {
            return Passage::Stalled;
        };
        let mut state = gates.lock();
        if state.stage == Stage::Free {
            if !Gates::have_thread(gates, &mut state) {
                return Passage::Stalled;
            }
            state.stage = Stage::Waiting;
            gates.changed.notify_all();
        }
        state.is_wanted = true;
        if state.is_stalled {
            return Passage::Stalled;
        }
        let waited = gates
            .changed
            .wait_timeout_while(state, moment, |state| state.stage == Stage::Waiting);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.stage != Stage::Granted {
            return Passage::Closed;
        }
        state.stage = Stage::Taken;
        Passage::Open(Pass(Some(Arc::clone(gates))))
    }

    /// Leaves the line: whoever is before us does not write. Until they move on, nobody waits for them again.
    pub(super) fn leave_line(&self) -> Pass {
        let Some(Some(gates)) = self.gates.get() else {
            return Pass(None);
        };
        let mut state = gates.lock();
        if state.stage == Stage::Granted {
            state.stage = Stage::Taken;
            return Pass(Some(Arc::clone(gates)));
        }
        state.is_wanted = false;
        state.is_stalled = state.stage == Stage::Waiting;
        Pass(None)
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        if let Some(Some(gates)) = self.gates.get() {
            gates.lock().is_closed = true;
            gates.changed.notify_all();
        }
    }
}

impl Pass {
    /// Returns whether others that take turns wait for it.
    pub(super) fn is_real(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gates) = &self.0 {
            gates.give_back(&mut gates.lock());
        }
    }
}

impl Gates {
    fn open(database: &Path) -> io::Result<Self> {
        Ok(Self {
            gate: open_file(&beside(database, "-gate"))?,
            turn: open_file(&beside(database, "-turn"))?,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn if neither it nor the gate is anybody's.
    fn try_take(&self) -> bool {
        if !is_locked(self.gate.try_lock()) {
            return false;
        }
        let is_taken = is_locked(self.turn.try_lock());
        release(&self.gate);
        is_taken
    }

    fn give_back(&self, state: &mut State) {
        release(&self.turn);
        state.stage = Stage::Free;
    }

    /// Makes sure that there is a thread to wait for the locks: the system's call has no timeout.
    fn have_thread(gates: &Arc<Self>, state: &mut State) -> bool {
        if !state.has_thread {
            let own = Arc::clone(gates);
            let started = thread::Builder::new()
                .name("state-store-turns".into())
                .spawn(move || own.wait_for_turns());
            state.has_thread = started.is_ok();
        }
        state.has_thread
    }

    fn wait_for_turns(&self) {
        let mut state = self.lock();
        loop {
            let waited = self.changed.wait_timeout_while(state, IDLE, |state| {
                state.stage != Stage::Waiting && !state.is_closed
            });
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.stage != Stage::Waiting {
                state.has_thread = false;
                return;
            }
            drop(state);
            let is_taken = self.gate.lock().and_then(|()| self.turn.lock());
            release(&self.gate);
            state = self.lock();
            state.is_stalled = false;
            if is_taken.is_err() {
                state.stage = Stage::Free;
            } else if state.is_wanted && !state.is_closed {
                state.stage = Stage::Granted;
            } else {
                self.give_back(&mut state);
            }
            state.is_wanted = false;
            self.changed.notify_all();
        }
    }
}

/// A lock that can't be had for another reason than a holder is as good as held.
fn is_locked(result: Result<(), TryLockError>) -> bool {
    result.is_ok()
}

fn release(file: &File) {
    if let Err(error) = file.unlock() {
        tracing::debug!(%error, "a lock of the turnstile could not be given back");
    }
}

/// Opens a file that holds nothing but a lock, or makes it (0600).
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Somebody else's link would have us make a file in another place.
        let no_links = rustix::fs::OFlags::NOFOLLOW.bits();
        options.mode(0o600).custom_flags(no_links.cast_signed());
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::{Pass, Passage, Stage, Turnstile};

    fn turnstiles<const N: usize>() -> (tempfile::TempDir, [Turnstile; N]) {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let path: PathBuf = directory.path().join("state.db");
        let turnstiles = std::array::from_fn(|_| {
            let turnstile = Turnstile::new();
            turnstile.open(&path);
            turnstile
        });
        (directory, turnstiles)
    }

    fn pass(passage: Passage) -> Option<Pass> {
        match passage {
            Passage::Open(pass) => Some(pass),
            Passage::Closed | Passage::Stalled => None,
        }
    }

    /// Returns whether one waits for the turn, and has shut the gate behind itself, as another sees it.
    fn stands_at_the_gate(one: &Turnstile, other: &Turnstile) -> bool {
        let (Some(Some(one)), Some(Some(other))) = (one.gates.get(), other.gates.get()) else {
            return false;
        };
        // In this order: before it waits, it tries the gate itself.
        one.lock().stage == Stage::Waiting
            && match other.gate.try_lock() {
                Ok(()) => {
                    super::release(&other.gate);
                    false
                }
                Err(_) => true,
            }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn who_stands_in_line_is_next_even_where_the_last_asks_again_at_once() {
        let (_directory, [first, second, looker]) = turnstiles();
        let mut held = pass(first.try_pass());
        assert!(held.is_some());
        std::thread::scope(|scope| {
            for _ in 0..100 {
                let in_line = scope.spawn(|| pass(second.pass_within(LONG)));
                while !stands_at_the_gate(&second, &looker) {
                    std::thread::yield_now();
                }
                drop(held.take());
                assert!(pass(first.try_pass()).is_none());
                let theirs = in_line.join();
                assert!(matches!(theirs, Ok(Some(_))));
                drop(theirs);
                held = pass(first.pass_within(LONG));
                assert!(held.is_some());
            }
        });
    }

    #[test]
    fn who_left_the_line_waits_for_nobody_until_they_move_on() {
        let (_directory, [stopped, other]) = turnstiles();
        let held = pass(stopped.try_pass());
        assert!(pass(other.pass_within(Duration::from_millis(1))).is_none());
        assert!(!other.leave_line().is_real());
        // At once, however long it would wait.
        assert!(pass(other.pass_within(LONG)).is_none());
        assert!(!other.leave_line().is_real());
        drop(held);
        while pass(other.try_pass()).is_none() {
            std::thread::yield_now();
        }
        assert!(pass(stopped.pass_within(LONG)).is_some());
    }

    #[test]
    fn without_the_files_everybody_passes() {
        let turnstile = Turnstile::new();
        turnstile.open(&PathBuf::from("/nowhere/state.db"));
        let pass = pass(turnstile.try_pass());
        assert!(pass.is_some_and(|pass| !pass.is_real()));
    }
}
