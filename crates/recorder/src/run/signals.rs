//! The signals that this program gets, and who sent them.
//!
//! What a person types in a terminal (ctrl-c, ctrl-\\, ctrl-z) the kernel sends to everybody in the foreground, the command
//! too: passed on, it would come twice, and many programs give up at the second. What a process sends, it sends to us alone.

use std::io;

use descartes_state::AgentSignal;

/// A signal that this program got.
#[derive(Debug, Clone, Copy)]
pub struct Caught {
    pub(crate) signal: AgentSignal,
    /// Its name, such as `SIGINT`.
    pub name: &'static str,
    /// Its number.
    pub number: u8,
    /// Whether the command has got it as well, from the terminal.
    pub(crate) is_from_terminal: bool,
}

impl Caught {
    /// Returns whether it asks a program to end, and not for something else.
    #[must_use]
    pub fn asks_to_end(self) -> bool {
        matches!(
            self.signal,
            AgentSignal::Interrupt
                | AgentSignal::Terminate
                | AgentSignal::Hangup
                | AgentSignal::Quit
        )
    }
}

#[cfg(unix)]
mod platform {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use rustix::process::{
        Signal, getpgrp, getpid, getsid, kill_current_process_group, kill_process,
    };
    use signal_hook::consts::{
        SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGXFSZ,
    };
    use signal_hook::iterator::SignalsInfo;
    use signal_hook::iterator::exfiltrator::WithOrigin;
    use signal_hook::low_level::siginfo::{Cause, Origin};
    use tokio::sync::mpsc;

    use super::{AgentSignal, Caught, io};

    const SIGNALS: [(i32, &str, AgentSignal); 7] = [
        (SIGHUP, "SIGHUP", AgentSignal::Hangup),
        (SIGINT, "SIGINT", AgentSignal::Interrupt),
        (SIGQUIT, "SIGQUIT", AgentSignal::Quit),
        (SIGUSR1, "SIGUSR1", AgentSignal::User1),
        (SIGUSR2, "SIGUSR2", AgentSignal::User2),
        (SIGTERM, "SIGTERM", AgentSignal::Terminate),
        (SIGTSTP, "SIGTSTP", AgentSignal::Stop),
    ];
    /// Their numbers.
    pub(crate) const HEARD: [i32; 7] =
        [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGTSTP];
    /// Heard by who passes everything on.
    const CONTINUED: (i32, &str, AgentSignal) = (SIGCONT, "SIGCONT", AgentSignal::Continue);

    /// Listens from its making on. A signal that was ignored before, as under `nohup`, stays ignored.
    #[derive(Debug)]
    pub struct Signals {
        caught: mpsc::UnboundedReceiver<Caught>,
    }

    impl Signals {
        /// Listens from now on.
        ///
        /// # Errors
        /// What the operating system answers.
        pub fn listen() -> io::Result<Self> {
            Self::listen_to(&HEARD)
        }

        /// Listens from now on, for who passes everything on to a session.
        pub(crate) fn listen_leading() -> io::Result<Self> {
            let heard = SIGNALS.iter().chain([&CONTINUED]);
            let heard: Vec<i32> = heard.map(|(signal, ..)| *signal).collect();
            Self::listen_to(&heard)
        }

        fn listen_to(heard: &[i32]) -> io::Result<Self> {
            // A file that may not grow is an error of the write, and not the end of us.
            signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
            let ignored = ignored();
            let heard = heard
                .iter()
                .filter(|signal| ignored >> (**signal - 1) & 1 == 0);
            let mut signals = SignalsInfo::<WithOrigin>::new(heard)?;
            let (send, caught) = mpsc::unbounded_channel();
            thread::Builder::new()
                .name("signals".into())
                .spawn(move || {
                    for origin in signals.forever() {
                        let Some(caught) = caught_of(&origin) else {
                            continue;
                        };
                        if send.send(caught).is_err() {
                            break;
                        }
                    }
                })?;
            Ok(Self { caught })
        }

        /// Returns the next one, for a thread that does nothing else.
        pub(crate) fn next_blocking(&mut self) -> Option<Caught> {
            self.caught.blocking_recv()
        }

        /// Returns the next one. Nothing is lost if the future is dropped.
        pub async fn next(&mut self) -> Caught {
            match self.caught.recv().await {
                Some(caught) => caught,
                None => std::future::pending().await,
            }
        }
    }

    fn caught_of(origin: &Origin) -> Option<Caught> {
        let mut known = SIGNALS.iter().chain([&CONTINUED]);
        let (number, name, signal) = *known.find(|(signal, ..)| *signal == origin.signal)?;
        // Typed, or since the terminal is gone.
        let may_be_the_terminals = matches!(
            signal,
            AgentSignal::Interrupt | AgentSignal::Quit | AgentSignal::Stop | AgentSignal::Hangup
        );
        Some(Caught {
            signal,
            name,
            number: u8::try_from(number).unwrap_or_default(),
            // si_code is SI_KERNEL (sigaction(2)).
            is_from_terminal: may_be_the_terminals && matches!(origin.cause, Cause::Kernel),
        })
    }

    /// Returns the signals that this program ignores, as far as the system tells (Linux).
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    }

    /// Returns whether a signal of this number asks a program to end.
    pub(in crate::run) fn asks_to_end(number: i32) -> bool {
        [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&number)
    }

    /// Stops this process, until it is continued. Returns false where nobody is there who would do that: no shell.
    pub(in crate::run) fn stop_self() -> bool {
        if has_no_shell() {
            return false;
        }
        kill_process(getpid(), Signal::STOP).is_ok()
    }

    /// Stops this process and the others of its pipeline, likewise.
    pub(in crate::run) fn stop_group() -> bool {
        if has_no_shell() {
            return false;
        }
        kill_current_process_group(Signal::STOP).is_ok()
    }

    /// Returns whether this is in the group that leads its session: a shell with job control gives each job another.
    fn has_no_shell() -> bool {
        getsid(None).is_ok_and(|session| session == getpgrp())
    }
}

#[cfg(not(unix))]
mod platform {
    use super::{AgentSignal, Caught, io};

    /// Listens from its making on.
    #[derive(Debug)]
    pub struct Signals;

    impl Signals {
        /// Listens from now on.
        ///
        /// # Errors
        /// What the operating system answers.
        pub fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        /// Returns the next one. Nothing is lost if the future is dropped.
        pub async fn next(&mut self) -> Caught {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Caught {
                signal: AgentSignal::Interrupt,
                name: "SIGINT",
                number: 2,
                is_from_terminal: true,
            }
        }
    }

    pub(in crate::run) fn asks_to_end(_number: i32) -> bool {
        false
    }

    pub(in crate::run) fn stop_self() -> bool {
        false
    }
}

#[cfg(unix)]
pub(crate) use platform::HEARD;
pub use platform::Signals;
#[cfg(unix)]
pub(super) use platform::stop_group;
pub(super) use platform::{asks_to_end, stop_self};
