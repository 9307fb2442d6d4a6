//! Whether a signal went to the whole process group, and so to the command too.
//!
//! A signal does not say to whom it was sent. So a process of ours stays in the group and is asked, at each signal that we
//! get, which ones it has got: the system sends a group's signals to all of it at once.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::helper::WITNESS;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// The process. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Witness {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Witness {
    /// Starts it in our group; `None` where it can't be.
    pub(super) async fn start(helper: &Path) -> Option<Self> {
        let mut child = Command::new(helper)
            .arg(WITNESS)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let (questions, answers) = (child.stdin.take()?, child.stdout.take()?);
        let mut witness = Self {
            child,
            questions,
            answers: BufReader::new(answers),
        };
        // It listens from its first answer on.
        witness.heard().await?;
        Some(witness)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns the numbers of the signals that the group has got since the last time; `None` where nobody answers.
    pub(super) async fn heard(&mut self) -> Option<Vec<u8>> {
        let asked = async {
            self.questions.write_all(b"?").await.ok()?;
            let mut answer = String::new();
            let read = self.answers.read_line(&mut answer).await.ok()?;
            let numbers = answer.split_whitespace();
            (read > 0).then(|| numbers.filter_map(|number| number.parse().ok()).collect())
        };
        timeout(PATIENCE, asked).await.ok()?
    }
}
