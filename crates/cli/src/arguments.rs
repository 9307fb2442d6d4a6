//! What the program understands, and what its help says.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use descartes_state::{Cursor, Limits, Revision, SessionStatus, TaskStatus};

use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::place::Place;

/// The settings that may come from the environment.
pub(crate) const DATABASE: &str = "DESCARTES_STATE_DB";
pub(crate) const PREFIX: &str = "DESCARTES_STATE_PREFIX";

/// Paragraphs are single lines: clap breaks them. Lists are broken here, so that they fit into 80 columns.
const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    what was named does not exist; any failure that has no code below;
       `migrate revert` without --yes
  2    wrong usage, or a value that can never be right
  3    conflict: what is stored isn't what was expected, is deleted, or is in
       a state that forbids it
  4    no store there: file or database is missing, not initialized, of a
       newer version of this program, or another program's
  5    the store is busy: try again

  `run` has the command's own code instead, and of its own:
  125  not everything is recorded, or nothing could be
  126  the command can't be executed
  127  there is no such command
  128 + n  signal n ended the command

With --json a list is one document {\"items\": [...], \"next\": CURSOR or null, \"end\": CURSOR or null}, an error is one line \
{\"error\": {\"kind\": ..., \"message\": ...}} on standard error, and times are Unix seconds.

Examples:
  descartes-state run -- sh -c 'echo hello; echo oops >&2'
  descartes-state agents list
  descartes-state history sh
  descartes-state search hello";

const RUN_HELP: &str = "\
The agent's id is its name: a second run under the same name goes on with the same agent, in a session of its own. \
Give runs at the same time different names.

Every line of the command's standard output and standard error is passed through byte for byte as it comes, and becomes \
one event of the type stdout or stderr. Events commit in batches, some 20 ms after their line. The metadata says the stream and the \
line's number.
  - A line above --line-limit becomes several events: `part` counts them,
    the last has `parts`.
  - In a line that isn't UTF-8 each wrong byte reads as U+FFFD, and
    `raw_hex` holds all bytes; above 256 KiB it becomes several events. On
    PostgreSQL a NUL byte is such a one.
  - `unterminated` marks a last line without a newline.

With --jsonl a line of either stream that is a JSON object makes the event itself:
  event_type  the type; without it, stdout or stderr
  content     the text (what isn't a string, as JSON); without it, the line
  actor_type  user, agent or system, or the usual name of a role (assistant,
              tool, human, ...), also as `role`; without it, agent
  actor_id    without it, the agent's id, or user or system
  agent       the agent's id; without it, the run's own
  session_id  the session, also as `run`; without both, the run's own. It is
              opened, or taken up again, and ends with this run.
  state       the agent's new state (what isn't a string, as JSON), with a
              transition; the first in a session comes from {}
  timestamp   when it happened: RFC 3339, or seconds, milliseconds or
              microseconds since 1970
  id          the sender's own: the same input once more adds nothing. Lines
              without one are known again by --source
  metadata    an object; every other key is added to it, with `_` behind a
              name that is taken

null is as good as no key, and of two equal keys the last counts. A line that is no JSON object, or has a value that \
can't be stored, is kept as plain output; `not_structured` in its metadata says why.

What is typed in a terminal (ctrl-c, ctrl-z) reaches the command from there; signals of processes are passed on. Its session is \
then terminated. A command that still runs --grace after SIGTERM, SIGHUP, a second ctrl-c or a SIGINT of a process, or at a \
further one, is killed; so is what it has started: its process group or, in a terminal, all its descendants. Where the reader of this program's output goes away, the command's \
pipe is closed as well, unless --keep-recording. Where the store is busy or full, the command and its output go on: what can't be written is kept in memory, up to --buffer, and tried again, until --timeout after the command's end. The exit code is 125 where anything is missing then.

With --pty the command gets a terminal of its own: what it prints is one stream, recorded as events of the type terminal, and what it draws \
on the whole screen as events of the type screen, which no search finds.

A run that is killed (kill -9) may have passed on lines that were not written yet. With --strict a line is passed on only once it is on disk, and what has come of a line that isn't over (a prompt) once it is kept as an event marked `interim`, after 50 ms of quiet or one second; with --jsonl what may become an object is passed on when it is whole. While the store is busy or full nothing is passed on, and the command waits; --buffer counts only after its end. A line that is lost is not passed on.";

const COPY_HELP: &str = "\
Revisions, numbers, times and ids stay as they are, and both stores are compared at the end. A copy that ended early goes on where \
it was when it is started again. The source is read as it is at one moment; nobody else may write to the target. --db doesn't count here.";

#[derive(Debug, Parser)]
#[command(
    name = "descartes-state",
    version,
    about = "Records the life of an agent that runs as a command, and shows what is stored",
    after_help = AFTER_HELP,
    propagate_version = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Common {
    /// The database file, or a postgres:// URL; what is missing of one (PGPASSWORD, ~/.pgpass) is found as by psql
    #[arg(
        long,
        global = true,
        value_name = "FILE|URL",
        env = DATABASE,
        // A URL may hold a password.
        hide_env_values = true,
        default_value = "data/agent_state.db",
        value_parser = PathBufValueParser::new().map(Place::new)
    )]
    pub(crate) db: Place,
    /// See and write only what is under this prefix; `copy` without one copies every prefix
    #[arg(long, global = true, env = PREFIX)]
    pub(crate) prefix: Option<String>,
    /// Write JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Rows of a page
    #[arg(long, global = true, value_name = "ROWS", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Begin where the page before ended, as it said
    #[arg(long, global = true, value_name = "CURSOR")]
    pub(crate) after: Option<Cursor>,
    /// List the oldest rows first, not the newest; agents come by id
    #[arg(long, global = true)]
    pub(crate) oldest_first: bool,
    /// Show long texts whole
    #[arg(long, global = true)]
    pub(crate) full: bool,
    /// How long to wait for another process that writes, or for a server that went away
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a command as an agent, and record its life
    #[command(after_help = RUN_HELP)]
    Run(RunArguments),
    /// Show agents
    #[command(subcommand)]
    Agents(AgentsVerb),
    /// Show an agent's transitions
    History {
        /// The agent's id
        agent: String,
    },
    /// Show a session's events
    Events {
        /// The session's id
        session: String,
        /// Only events of this type
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        /// Only events of this actor
        #[arg(long)]
        actor: Option<String>,
    },
    /// Find the events whose content holds every word
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "`search -- rebuild` and `search -- check` search for these words."
    )]
    Search(SearchArguments),
    /// Show tasks
    #[command(subcommand)]
    Tasks(TasksVerb),
    /// Show sessions
    #[command(subcommand)]
    Sessions(SessionsVerb),
    /// Keep and restore whole states of agents
    #[command(subcommand)]
    Snapshots(SnapshotsVerb),
    /// Show and change the schema of the database
    #[command(subcommand)]
    Migrate(MigrateVerb),
    /// Copy a store into another one that is empty, from a file to a server or back
    #[command(after_help = COPY_HELP)]
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    /// The store to read: a file, or a postgres:// URL
    #[arg(long, value_name = "FILE|URL", value_parser = PathBufValueParser::new().map(Place::new))]
    pub(crate) from: Place,
    /// The store to write, which is made where there is none
    #[arg(long, value_name = "FILE|URL", value_parser = PathBufValueParser::new().map(Place::new))]
    pub(crate) to: Place,
    /// Where the target is a server, which can keep no NUL character in a text, put U+FFFD in its place
    #[arg(long)]
    pub(crate) replace_nul: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    /// Plain words, whatever characters they hold
    #[arg(required = true, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Only events of this session
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// Each word may be the beginning of a longer one
    #[arg(long)]
    pub(crate) word_prefix: bool,
    #[command(subcommand)]
    pub(crate) index: Option<SearchVerb>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum SearchVerb {
    /// Make the search index again from the events
    Rebuild,
    /// Look whether the search index is sound
    Check,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The agent's id and name; without it, the command's file name
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<String>,
    /// What the agent thinks with
    #[arg(long, default_value = "local", value_parser = name)]
    pub(crate) backend: String,
    /// Take lines that are JSON objects as events, states and sessions
    #[arg(long)]
    pub(crate) jsonl: bool,
    /// A name of the input, so that lines that come a second time add nothing
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) source: Option<String>,
    /// Record on where the reader of this program's output goes away
    #[arg(long)]
    pub(crate) keep_recording: bool,
    /// Pass a line on only once the store has it, and let the command wait for that
    #[arg(long)]
    pub(crate) strict: bool,
    /// Give the command a terminal of its own; stdout and stderr are one there
    #[arg(long, conflicts_with = "strict")]
    pub(crate) pty: bool,
    /// Bytes of a line above which it becomes several events (1024 to 67108864)
    #[arg(long, value_name = "BYTES", default_value_t = longest_line(), hide_default_value = true,
          value_parser = clap::value_parser!(u32).range(1024..=i64::from(longest_line())))]
    pub(crate) line_limit: u32,
    /// Bytes of lines that are kept in memory while the store can't be written
    #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024 * 1024, hide_default_value = true)]
    pub(crate) buffer: usize,
    /// How long output is taken after the command's exit, where others hold it open; `forever` for as long as they do
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = linger)]
    pub(crate) linger: Linger,
    /// How long the command may go on after a signal
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) grace: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Returns how many bytes an event's content may have, in stores by default.
fn longest_line() -> u32 {
    u32::try_from(Limits::default().max_content_bytes()).unwrap_or(u32::MAX)
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsVerb {
    /// List agents by id
    List {
        /// Only agents with this status
        #[arg(long)]
        status: Option<String>,
        /// Soft-deleted agents too
        #[arg(long)]
        deleted: bool,
        /// By falling id
        #[arg(long)]
        descending: bool,
    },
    /// Show one agent with its state
    Show {
        /// The agent's id
        agent: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TasksVerb {
    /// List tasks
    List {
        /// Only tasks with this status
        #[arg(long)]
        status: Option<TaskStatus>,
        /// Only tasks of this agent
        #[arg(long, value_name = "AGENT")]
        assigned_to: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsVerb {
    /// List sessions
    List {
        /// Only sessions of this agent
        #[arg(long)]
        agent: Option<String>,
        /// Only sessions with this status
        #[arg(long)]
        status: Option<SessionStatus>,
    },
    /// Close the sessions of runs that died as abandoned
    Sweep {
        /// Those of which nothing is known, too, where nothing was written for so long
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        silent_for: Option<Duration>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotsVerb {
    /// Keep an agent's whole state as it is now
    Create {
        /// The agent's id
        agent: String,
        /// What to say of it
        #[arg(long)]
        description: Option<String>,
    },
    /// List snapshots
    List {
        /// Only snapshots of this agent
        agent: Option<String>,
    },
    /// Give an agent the whole state of a snapshot
    Restore {
        /// The snapshot's id
        snapshot: String,
        /// Only if the agent is still at this revision
        #[arg(long, value_name = "REVISION")]
        if_revision: Option<Revision>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateVerb {
    /// Show which migrations the database has, and which it lacks
    Status,
    /// Make the database, or bring it up to date
    Run,
    /// Take the last migration back, with the rows of its tables
    Revert {
        /// Do it; without this, only show which rows would go
        #[arg(long)]
        yes: bool,
    },
}

fn name(text: &str) -> Result<String, String> {
    let most = Limits::default().max_id_bytes();
    if text.is_empty() {
        Err("it is empty".to_owned())
    } else if text.len() > most {
        Err(format!("it has more than {most} bytes"))
    } else {
        Ok(text.to_owned())
    }
}

/// How long output is taken after the command's exit; `None` is for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linger(pub(crate) Option<Duration>);

fn linger(text: &str) -> Result<Linger, &'static str> {
    if text == "forever" {
        return Ok(Linger(None));
    }
    seconds(text).map(|time| Linger(Some(time)))
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    const MOST: f64 = 1_000_000.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MOST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("it is no number of seconds from 0 to 1000000"),
    }
}

/// Shows help and version, and says in one line what was wrong with the arguments.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return match error.print() {
            Ok(()) if !error.use_stderr() => ExitCode::SUCCESS,
            Ok(()) => ExitCode::from(Kind::Usage.code()),
            Err(_) => ExitCode::FAILURE,
        };
    }
    // The arguments could not be read, so this is a guess at what they would have said.
    let is_json = std::env::args_os()
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json");
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // What follows the first empty line is the usage.
    let reason: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    // clap says of an empty variable that the option has no value.
    let is_unset = std::env::var_os(DATABASE).is_some_and(|path| path.is_empty());
    let message = if is_unset && error.kind() == ErrorKind::InvalidValue {
        format!(
            "{DATABASE} in the environment is empty: unset it, or name a file there or with --db"
        )
    } else {
        format!("{} (see descartes-state --help)", reason.join(" "))
    };
    // clap shows what it can't use, and a URL may hold a password.
    let urls = std::env::args().filter(|argument| argument.contains("://"));
    let message = urls.fold(message, |message, url| message.replace(&url, "URL"));
    Output::new(is_json, false).failure(&Failure::new(Kind::Usage, message))
}
