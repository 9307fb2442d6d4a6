//! The command-line program: records the life of a command in a state store, and shows what is stored.
#![forbid(unsafe_code)]

mod arguments;
mod failure;
mod output;
mod place;
mod text;
mod verbs;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use arguments::Arguments;
use descartes_state_recorder::helper;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    if let Some(code) = helper::perform(std::env::args_os().skip(1)) {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return arguments::refuse(&error),
    };
    let output = Output::new(arguments.common.json, arguments.common.full);
    match start(&arguments, &output) {
        Ok(Exit { code, signal }) => {
            if let Some(signal) = signal {
                helper::end_by(signal);
            }
            ExitCode::from(code)
        }
        Err(failure) => output.failure(&failure),
    }
}

/// How the program ends: with a code, or by a signal that is as good as one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exit {
    code: u8,
    signal: Option<i32>,
}

impl Exit {
    pub(crate) fn by(self, signal: Option<i32>) -> Self {
        Self { signal, ..self }
    }
}

impl From<u8> for Exit {
    fn from(code: u8) -> Self {
        Self { code, signal: None }
    }
}

fn start(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    output::trace_where_asked()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(verbs::perform(arguments, output));
    // A write to a terminal that has stopped must not keep the program from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
