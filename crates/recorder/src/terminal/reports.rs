//! What the leader of a session tells of the command, a line each: `started` and its process number, `error` and what the
//! operating system answered, `trouble` and its text, `stopped`.

use std::ffi::OsString;
use std::io;

use descartes_state::RunnerError;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;

/// The reports of one leader.
#[derive(Debug)]
pub(crate) struct Reports(Lines<BufReader<ChildStdout>>);

impl Reports {
    pub(crate) fn new(from: ChildStdout) -> Self {
        Self(BufReader::new(from).lines())
    }

    /// Waits until the command is started; returns its process number.
    ///
    /// # Errors
    /// Why it could not be started.
    pub(crate) async fn started(&mut self, program: OsString) -> Result<u32, RunnerError> {
        let report = match self.0.next_line().await {
            Ok(report) => report.unwrap_or_default(),
            Err(error) => return Err(RunnerError::not_started(program, error)),
        };
        let (kind, value) = report.split_once(' ').unwrap_or((&report, ""));
        match (kind, value.parse::<i32>()) {
            ("started", Ok(pid)) => Ok(u32::try_from(pid).unwrap_or_default()),
            ("error", Ok(code)) => {
                let error = io::Error::from_raw_os_error(code);
                Err(RunnerError::not_started(program, error))
            }
            _ => {
                let text = format!("no terminal could be made for it: {value}");
                let source = io::Error::other(text);
                Err(RunnerError::Spawn { program, source })
            }
        }
    }

    /// Waits until the command has stopped.
    pub(crate) async fn stopped(&mut self) {
        while let Ok(Some(report)) = self.0.next_line().await {
            if report == "stopped" {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}
