//! The command-line program: records the life of a command in a state store, and shows what is stored.
#![forbid(unsafe_code)]

mod arguments;
mod failure;
mod output;
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
        Ok(code) => ExitCode::from(code),
        Err(failure) => output.failure(&failure),
    }
}

fn start(arguments: &Arguments, output: &Output) -> Result<u8, Failure> {
    output::trace_where_asked()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(verbs::perform(arguments, output));
    // A write to a terminal that has stopped must not keep the program from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
