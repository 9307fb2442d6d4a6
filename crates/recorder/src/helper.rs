//! What the recorder has done by processes of its own: its program, run again with a first argument that names a role.
//!
//! A program that uses [`run`](crate::run) calls [`perform`] before it does anything else, and names itself in
//! [`RunOptions::helper`](crate::run::RunOptions::helper).

use std::ffi::OsString;
use std::process::ExitCode;

#[cfg(unix)]
use crate::terminal::leader;

/// Reads standard input to its end, and does nothing with it.
pub(crate) const READ_TO_NOWHERE: &str = "--read-to-nowhere";

/// Leads the session of a command at a terminal of its own; the terminal's path and the command follow.
#[cfg(unix)]
pub(crate) const LEAD_SESSION: &str = "--lead-session";
/// Stays in its process group until standard input ends.
#[cfg(unix)]
pub(crate) const HOLD_GROUP: &str = "--hold-group";

/// Stays in its process group, and answers each byte of standard input by the signals that it has got.
pub(crate) const WITNESS: &str = "--witness";

/// Plays the role that the first argument names, to its end; returns `None` where it names none. The arguments are the
/// program's, without its name.
pub fn perform(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let role = arguments.next()?;
    match role.to_str()? {
        READ_TO_NOWHERE => Some(read_to_nowhere()),
        #[cfg(unix)]
        WITNESS => Some(witness()),
        #[cfg(unix)]
        LEAD_SESSION => Some(leader::lead_session(arguments)),
        #[cfg(unix)]
        HOLD_GROUP => Some(leader::hold_group()),
        _ => None,
    }
}

#[cfg(unix)]
fn witness() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(unix)]
fn answer() -> std::io::Result<()> {
    use std::io::{Read, Write};

    use signal_hook::iterator::Signals;

    use crate::run::HEARD;

    let mut signals = Signals::new(HEARD)?;
    let (mut questions, mut answers) = (std::io::stdin().lock(), std::io::stdout().lock());
    while questions.read(&mut [0])? > 0 {
        for signal in signals.pending() {
            write!(answers, "{signal} ")?;
        }
        writeln!(answers)?;
    }
    Ok(())
}

/// Ends this process as this signal ends one, without a file of its memory. Returns where the system has no such signal.
pub fn end_by(signal: i32) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};

        let no_core = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _limited = setrlimit(Resource::Core, no_core);
        let _ended = signal_hook::low_level::emulate_default_handler(signal);
    }
    #[cfg(not(unix))]
    let _ = signal;
}

fn read_to_nowhere() -> ExitCode {
    // In a session of its own. It fails only for a leader of a group, which nobody has made of this.
    #[cfg(unix)]
    let _left = rustix::process::setsid();
    match std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
