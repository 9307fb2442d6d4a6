//! What can go wrong, and the exit code that says so.

use std::ffi::OsStr;
use std::io;

use descartes_state::error::ErrorKind;
use descartes_state::{RunnerError, StateStoreError, serde_json};
use descartes_state_recorder::run::RecordError;

use crate::place::Place;

/// The kind of a failure: the word of `--json`, and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NotFound,
    Other,
    Corrupt,
    Database,
    Unconfirmed,
    Usage,
    Conflict,
    /// What is stored is in a state that forbids it.
    InvalidState,
    NoStore,
    Busy,
    /// The store failed under `run`.
    Recording,
    NotExecutable,
    NoProgram,
    /// The reader of standard output went away: nothing to say, and nobody to say it to.
    ReaderGone,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Other | Self::ReaderGone => "other",
            Self::Corrupt => "corrupt",
            Self::Database => "database",
            Self::Unconfirmed => "unconfirmed",
            Self::Usage => "usage",
            Self::Conflict => "conflict",
            Self::InvalidState => "invalid_state",
            Self::NoStore => "no_store",
            Self::Busy => "busy",
            Self::Recording => "recording",
            Self::NotExecutable => "not_executable",
            Self::NoProgram => "no_program",
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::NotFound | Self::Other | Self::Corrupt | Self::Database | Self::Unconfirmed => 1,
            Self::Usage => 2,
            Self::Conflict | Self::InvalidState => 3,
            Self::NoStore => 4,
            Self::Busy => 5,
            Self::Recording => 125,
            Self::NotExecutable => 126,
            Self::NoProgram => 127,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(Kind::NotFound, format!("{what} {id:?} does not exist"))
    }

    /// Says where a store would be made, if the reason is that there is no such file as this option named.
    pub(crate) fn opening(error: StateStoreError, place: &Place, option: &str) -> Self {
        match place.file() {
            Some(file) if error.kind() == ErrorKind::Missing => Self::new(
                Kind::NoStore,
                format!(
                    "there is no store at {}: `descartes-state run` or `migrate run` makes one, {option} names another",
                    file.display()
                ),
            ),
            _ => error.into(),
        }
    }

    /// Names the variable that a setting came from, where it is in the environment.
    pub(crate) fn named(mut self, variable: &str, value: impl AsRef<OsStr>) -> Self {
        if std::env::var_os(variable).is_some_and(|set| set == value.as_ref()) {
            self.message = format!("{} (from {variable} in the environment)", self.message);
        }
        self
    }

    /// Returns the same failure, where it means that a run can't be recorded.
    pub(crate) fn of_recording(self) -> Self {
        Self::new(Kind::Recording, self.message)
    }
}

impl From<StateStoreError> for Failure {
    fn from(error: StateStoreError) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::InvalidInput | ErrorKind::TooLarge => Kind::Usage,
            ErrorKind::Conflict | ErrorKind::Deleted | ErrorKind::NotACopy => Kind::Conflict,
            ErrorKind::InvalidState => Kind::InvalidState,
            ErrorKind::NotInitialized
            | ErrorKind::NewerDatabase
            | ErrorKind::ForeignDatabase
            | ErrorKind::Missing => Kind::NoStore,
            ErrorKind::Busy | ErrorKind::QueueFull | ErrorKind::WalFull | ErrorKind::Timeout => {
                Kind::Busy
            }
            ErrorKind::Corrupt => Kind::Corrupt,
            ErrorKind::Constraint
            | ErrorKind::DiskFull
            | ErrorKind::ReadOnly
            | ErrorKind::Io
            | ErrorKind::Damaged
            | ErrorKind::NotADatabase
            | ErrorKind::CannotOpen
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::NameTooLong
            | ErrorKind::OutOfMemory
            | ErrorKind::ConnectionLost
            | ErrorKind::SearchIndexDamaged
            | ErrorKind::DatabaseMoved
            | ErrorKind::ForeignWal
            | ErrorKind::Database
            | ErrorKind::OutcomeUnknown
            | ErrorKind::Migration => Kind::Database,
            _ => Kind::Other,
        };
        let message = match &error {
            StateStoreError::NotInitialized { reason } => format!(
                "the database is not initialized ({reason}): `descartes-state migrate run` does it"
            ),
            _ => error.to_string(),
        };
        Self::new(kind, message)
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        let kind = match &error {
            RecordError::NotStarted { error, .. } | RecordError::NotWatched(error) => match error {
                RunnerError::InvalidInput { .. } => Kind::Usage,
                RunnerError::ProgramNotFound { .. } => Kind::NoProgram,
                RunnerError::NotExecutable { .. } | RunnerError::Spawn { .. } => {
                    Kind::NotExecutable
                }
                _ => Kind::Other,
            },
            _ => Kind::Recording,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => Kind::ReaderGone,
            _ => Kind::Other,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Kind::Other, format!("it can't be written as JSON: {error}"))
    }
}
