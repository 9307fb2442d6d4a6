//! What an ending of an agent reaches beside its own process.

/// Which processes an ending of an agent reaches: a [kill](super::LocalProcessRunner::kill), the runner's drop, and the
/// runtime's shutdown. An agent that ends by itself leaves what it has started alone, whatever its reach.
///
/// The agent is asked first, so that it can end its own in order. When it has gone, what is left of them is asked, and
/// what is left at the end of the grace is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reach {
    /// The agent's own process, and nothing else.
    #[default]
    Process,
    /// A process group that is made for the agent (Unix). Ctrl-c in a terminal then doesn't reach the agent, and it can't
    /// read from the terminal. What moves into a group of its own, as daemons do, is out of reach. Elsewhere than on
    /// Linux what the agent leaves is killed as soon as it has gone.
    Group,
    /// The session that the agent begins itself (setsid(2)), with all its process groups (Linux; elsewhere the agent's own
    /// process). What begins a session of its own, as daemons do, is out of reach.
    Session,
    /// The agent's children, theirs, and so on (Linux; elsewhere the agent's own process). One whose parent has gone
    /// belongs to nobody any more, unless it was there when the ending began, or the runner
    /// [adopts](super::RunnerOptions::adopt_orphans) such.
    Descendants,
}

#[cfg(target_os = "linux")]
pub(super) use linux::{Rest, reap_orphans};
#[cfg(not(target_os = "linux"))]
pub(super) use other::Rest;

/// Whose processes an ending is to reach.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The agent's process; its number is the group's too.
    pub(super) pid: i32,
    pub(super) reach: Reach,
    /// Whether children of this program that it did not start belong to the agent; all but these.
    pub(super) orphans_but: Option<Vec<u32>>,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::os::fd::OwnedFd;

    use procfs::process::{Process, Stat, all_processes};
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    use super::{Reach, Target};

    /// What an agent has started, other than itself. Each is held by a pidfd, which stays its own however long it lives:
    /// a number may belong to somebody else by the time that it is signalled.
    #[derive(Debug, Default)]
    pub(in crate::runner) struct Rest {
        known: HashMap<Key, Known>,
    }

    /// The number and the start time of a process, which name it for ever.
    type Key = (i32, u64);

    #[derive(Debug)]
    struct Known {
        handle: OwnedFd,
        name: String,
        is_reached: bool,
        is_alive: bool,
    }

    impl Rest {
        /// Looks at what is there now, and keeps what is new.
        pub(in crate::runner) fn look(&mut self, target: &Target) {
            let seen = processes();
            for (key, known) in &mut self.known {
                let mut now = seen.iter().filter(|process| !has_ended(process));
                let now = now.find(|process| key_of(process) == *key);
                known.is_alive = now.is_some();
                if let Some(process) = now {
                    // It may have become another program.
                    known.name.clone_from(&process.comm);
                }
            }
            let own = i32::try_from(std::process::id()).unwrap_or_default();
            let is_orphan = |process: &Stat| {
                let spared = target.orphans_but.as_ref();
                process.ppid == own && spared.is_some_and(|spared| !is_among(process, spared))
            };
            let is_first =
                |process: &Stat| is_orphan(process) || is_reached(process, target) == Some(true);
            let mut parents = vec![target.pid];
            parents.extend(self.known.keys().map(|(pid, _)| *pid));
            // The list has children before their parents too.
            let mut others: Vec<&Stat> = seen
                .iter()
                .filter(|process| process.pid != target.pid)
                .collect();
            loop {
                let (members, rest): (Vec<_>, Vec<_>) = others
                    .into_iter()
                    .partition(|process| parents.contains(&process.ppid) || is_first(process));
                if members.is_empty() {
                    break;
                }
                for member in members {
                    parents.push(member.pid);
                    if !has_ended(member) {
                        self.keep(member, target);
                    }
                }
                others = rest;
            }
        }

        fn keep(&mut self, process: &Stat, target: &Target) {
            let key = key_of(process);
            // Whoever is looked at here is a descendant.
            let is_reached = is_reached(process, target).unwrap_or(true);
            if let Some(known) = self.known.get_mut(&key) {
                known.is_reached = is_reached;
                return;
            }
            let handle = Pid::from_raw(process.pid)
                .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            // The number may have gone to another process before it was opened.
            let now = Process::new(process.pid).and_then(|process| process.stat());
            if let (Some(handle), Ok(now)) = (handle, now)
                && key_of(&now) == key
            {
                let known = Known {
                    handle,
                    name: process.comm.clone(),
                    is_reached,
                    is_alive: true,
                };
                self.known.insert(key, known);
            }
        }

        /// Signals what lives and is in reach.
        pub(in crate::runner) fn signal(&self, signal: Signal) {
            for known in self.known.values() {
                if known.is_alive && known.is_reached {
                    // It has ended, or it belongs to another user: then it is named as a survivor.
                    let _sent = pidfd_send_signal(&known.handle, signal);
                }
            }
        }

        /// Returns whether something in reach lives.
        pub(in crate::runner) fn is_alive(&self) -> bool {
            let mut known = self.known.values();
            known.any(|known| known.is_alive && known.is_reached)
        }

        /// Returns what lives: name and process number.
        pub(in crate::runner) fn survivors(&self) -> Vec<String> {
            let mut alive: Vec<_> = self
                .known
                .iter()
                .filter(|(_, known)| known.is_alive)
                .map(|((pid, _), known)| (*pid, &known.name))
                .collect();
            alive.sort_unstable();
            alive
                .into_iter()
                .map(|(pid, name)| format!("{name} ({pid})"))
                .collect()
        }
    }

    /// Returns every process that this one may see.
    fn processes() -> Vec<Stat> {
        let all = all_processes().into_iter().flatten();
        // One that has gone since the directory was read has nothing to say.
        all.filter_map(|process| process.ok()?.stat().ok())
            .collect()
    }

    /// Returns whether a process is one of those that an ending reaches; `None` where parents tell, and not itself.
    fn is_reached(process: &Stat, target: &Target) -> Option<bool> {
        match target.reach {
            Reach::Process => Some(false),
            Reach::Group => Some(process.pgrp == target.pid),
            Reach::Session => Some(process.session == target.pid),
            Reach::Descendants => None,
        }
    }

    fn key_of(process: &Stat) -> Key {
        (process.pid, process.starttime)
    }

    /// Returns whether it only waits to be reaped.
    fn has_ended(process: &Stat) -> bool {
        matches!(process.state, 'Z' | 'X')
    }

    fn is_among(process: &Stat, pids: &[u32]) -> bool {
        u32::try_from(process.pid).is_ok_and(|pid| pids.contains(&pid))
    }

    /// Reaps the children of this program that have ended and that it did not start.
    pub(in crate::runner) fn reap_orphans(own_children: &[u32]) {
        use rustix::process::{WaitOptions, waitpid};

        let own = i32::try_from(std::process::id()).unwrap_or_default();
        for process in processes() {
            let is_ours = is_among(&process, own_children);
            if process.ppid == own && !is_ours && has_ended(&process) {
                // Somebody else has reaped it.
                let _reaped = waitpid(Pid::from_raw(process.pid), WaitOptions::NOHANG);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::{Reach, Target};

    /// What an agent has started can't be listed here: its group is signalled as a whole, while its number is held.
    #[derive(Debug, Default)]
    pub(in crate::runner) struct Rest {
        #[cfg(unix)]
        group: Option<rustix::process::Pid>,
    }

    impl Rest {
        pub(in crate::runner) fn look(&mut self, target: &Target) {
            #[cfg(unix)]
            if target.reach == Reach::Group {
                self.group = rustix::process::Pid::from_raw(target.pid);
            }
            #[cfg(not(unix))]
            let _ = target;
        }

        #[cfg(unix)]
        pub(in crate::runner) fn signal(&self, signal: rustix::process::Signal) {
            if let Some(group) = self.group {
                // Nobody is left in it, or nobody that may be signalled.
                let _sent = rustix::process::kill_process_group(group, signal);
            }
        }

        #[expect(clippy::unused_self, reason = "the same shape on every platform")]
        pub(in crate::runner) fn is_alive(&self) -> bool {
            false
        }

        #[expect(clippy::unused_self, reason = "the same shape on every platform")]
        pub(in crate::runner) fn survivors(&self) -> Vec<String> {
            Vec::new()
        }
    }
}
