//! The signals that ask this program to end.

use std::io;

use descartes_state::AgentSignal;

/// A signal that this program got.
#[derive(Debug, Clone, Copy)]
pub struct Caught {
    pub(super) signal: AgentSignal,
    /// Its name, such as `SIGINT`.
    pub name: &'static str,
    /// Its number.
    pub number: u8,
}

const INTERRUPT: Caught = Caught {
    signal: AgentSignal::Interrupt,
    name: "SIGINT",
    number: 2,
};

#[cfg(unix)]
mod platform {
    use super::{AgentSignal, Caught, INTERRUPT, io};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    const HANGUP: Caught = Caught {
        signal: AgentSignal::Hangup,
        name: "SIGHUP",
        number: 1,
    };
    const TERMINATE: Caught = Caught {
        signal: AgentSignal::Terminate,
        name: "SIGTERM",
        number: 15,
    };

    /// Listens from its making on. A signal that was ignored before, as under `nohup`, stays ignored.
    #[derive(Debug)]
    pub struct Signals {
        interrupt: Option<Signal>,
        terminate: Option<Signal>,
        hangup: Option<Signal>,
    }

    impl Signals {
        /// Listens from now on.
        ///
        /// # Errors
        /// What the operating system answers.
        pub fn listen() -> io::Result<Self> {
            let ignored = ignored();
            let listen = |caught: Caught, kind| {
                let is_ignored = ignored >> (caught.number - 1) & 1 == 1;
                if is_ignored {
                    Ok(None)
                } else {
                    signal(kind).map(Some)
                }
            };
            Ok(Self {
                interrupt: listen(INTERRUPT, SignalKind::interrupt())?,
                terminate: listen(TERMINATE, SignalKind::terminate())?,
                hangup: listen(HANGUP, SignalKind::hangup())?,
            })
        }

        /// Returns the next one. Nothing is lost if the future is dropped.
        pub async fn next(&mut self) -> Caught {
            tokio::select! {
                () = received(&mut self.interrupt) => INTERRUPT,
                () = received(&mut self.terminate) => TERMINATE,
                () = received(&mut self.hangup) => HANGUP,
            }
        }
    }

    async fn received(signal: &mut Option<Signal>) {
        let is_received = match signal {
            Some(signal) => signal.recv().await.is_some(),
            None => false,
        };
        if !is_received {
            std::future::pending::<()>().await;
        }
    }

    /// Returns the signals that this program ignores, as far as the system tells (Linux).
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    }
}

#[cfg(not(unix))]
mod platform {
    use super::{Caught, INTERRUPT, io};

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
            INTERRUPT
        }
    }
}

pub use platform::Signals;
