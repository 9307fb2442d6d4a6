//! `run`: records a command, and says at its end what was kept.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use descartes_state::OpenMode;
use descartes_state::serde_json::json;
use descartes_state_recorder::run::{
    Caught, Notice, RecordError, Report, Run, RunOptions, Signals,
};
use descartes_state_recorder::sweep::sweep;

use super::open;
use crate::Exit;
use crate::arguments::{Common, RunArguments};
use crate::failure::{Failure, Kind};
use crate::output::Output;

/// Runs the command to its end.
pub(super) async fn run(
    common: &Common,
    wanted: &RunArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let options = options(wanted, common.timeout)?;
    let mut signals = Signals::listen()?;
    let (run, place) = tokio::select! {
        biased;
        begun = begin(common, options) => begun.map_err(Failure::of_recording)?,
        caught = until_asked_to_end(&mut signals) => {
            let message = format!("{} before the command was started", caught.name);
            output.complain(&Failure::new(Kind::Other, message));
            return Ok((128 + caught.number).into());
        }
    };
    let told = if wanted.pty {
        output.beside_raw()
    } else {
        output
    };
    let notify = Arc::new(move |notice: &Notice| tell(told, notice));
    match run.record(signals, notify).await {
        Ok(report) => {
            show(&report, output, &place, wanted.pty);
            let mut exit = Exit::from(Kind::Recording.code());
            if report.is_complete() {
                exit = report.code().into();
                exit = exit.by(report.key_signal);
            }
            Ok(exit)
        }
        // It was told when it happened.
        Err(RecordError::NotStarted {
            is_recorded: false, ..
        }) => Ok(Kind::Recording.code().into()),
        Err(RecordError::Interrupted(caught)) => {
            let error = RecordError::Interrupted(caught);
            output.complain(&Failure::new(Kind::Recording, error.to_string()));
            Ok((128 + caught.number).into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn until_asked_to_end(signals: &mut Signals) -> Caught {
    loop {
        let caught = signals.next().await;
        if caught.asks_to_end() {
            return caught;
        }
    }
}

/// Opens the store, and makes the agent and its session; also returns what to show of the store's place.
async fn begin(common: &Common, options: RunOptions) -> Result<(Run, String), Failure> {
    // While the command runs, a store that is locked is to be heard of soon: what waits is tried again.
    let patient = Common {
        timeout: common.timeout.min(Duration::from_secs(1)),
        ..common.clone()
    };
    let deadline = Instant::now() + common.timeout;
    let store = open(&patient, OpenMode::Create).await?;
    loop {
        let begun = match store.initialize().await {
            Ok(()) => {
                // What it leaves open, the next run closes.
                let _swept = sweep(&store, None).await;
                Run::begin(store.clone(), options.clone()).await
            }
            Err(error) => Err(error),
        };
        match begun {
            Err(error) if error.is_retryable() && Instant::now() < deadline => {}
            result => return Ok((result?, common.db.shown(&store))),
        }
    }
}

fn options(wanted: &RunArguments, patience: Duration) -> Result<RunOptions, Failure> {
    let program = wanted.command.first().map(Path::new);
    let file_name = program.and_then(Path::file_name).unwrap_or_default();
    let agent_id = match &wanted.name {
        Some(name) => name.clone(),
        None => file_name.to_string_lossy().into_owned(),
    };
    if agent_id.is_empty() {
        let message = "the command has no file name to name the agent after: use --name";
        return Err(Failure::new(Kind::Usage, message));
    }
    Ok(RunOptions::new(agent_id, wanted.command.clone())
        .backend(&wanted.backend)
        .jsonl(wanted.jsonl)
        .line_limit(wanted.line_limit)
        .source(wanted.source.clone())
        .keep_recording(wanted.keep_recording)
        .strict(wanted.strict)
        .terminal(wanted.pty)
        .buffer(wanted.buffer)
        .linger(wanted.linger.0)
        // Without its own path, what others hold open is closed.
        .helper(std::env::current_exe().ok())
        .patience(patience)
        .grace(wanted.grace))
}

/// Says what can't wait for the end of the run.
fn tell(output: Output, notice: &Notice) {
    match notice {
        Notice::RecordingStopped { .. } => {
            output.complain(&Failure::new(Kind::Recording, notice.to_string()));
        }
        Notice::Delayed { .. } | Notice::Resumed { .. } if output.is_json() => {
            output.aside(&json!({ "notice": notice.to_string() }));
        }
        _ => output.note(&notice.to_string()),
    }
}

fn show(report: &Report, output: Output, place: &str, is_one_stream: bool) {
    let Report { stdout, stderr, .. } = report;
    if !stderr.ends_with_line || is_one_stream && !stdout.ends_with_line {
        output.begin_line();
    }
    if output.is_json() {
        return output.aside(&json!({ "run": {
            "agent_id": report.agent_id,
            "session_id": report.session_id,
            "snapshot_id": report.snapshot_id,
            "status": report.status.as_str(),
            "reason": report.reason,
            "exit_code": report.exit_code,
            "signal": report.signal,
            "stdout_lines": stdout.lines,
            "stderr_lines": stderr.lines,
            "events": report.events,
            "transitions": report.transitions,
            "named_sessions": report.named_sessions,
            "unstructured_lines": report.unstructured.lines,
            "unstructured_reason": report.unstructured.reason,
            "held_by": report.held_by,
            "survivors": report.survivors,
            "late_events": report.late_events,
            "lost_events": report.lost_events,
            "end_recorded": report.is_end_recorded,
            "failure": report.failure,
            "stdout_trouble": stdout.trouble,
            "stderr_trouble": stderr.trouble,
            "seconds": report.took.as_secs_f64(),
            "database": place,
        }}));
    }
    let named = match report.named_sessions {
        0 => String::new(),
        1 => " and 1 that its lines named".to_owned(),
        many => format!(" and {many} that its lines named"),
    };
    output.note(&format!(
        "agent {:?} {} ({}) after {:.1} s; {} events of {} lines in session {}{named}",
        report.agent_id,
        report.status,
        report.reason,
        report.took.as_secs_f64(),
        report.events,
        stdout.lines + stderr.lines,
        report.session_id,
    ));
    let unstructured = &report.unstructured;
    if unstructured.lines > 0 {
        output.note(&format!(
            "{} lines could not be used as objects, and are kept as they are: {}",
            unstructured.lines,
            unstructured.reason.as_deref().unwrap_or_default()
        ));
    }
    let reason = report.failure.as_deref().unwrap_or("no reason is known");
    if report.late_events > 0 {
        output.note(&format!(
            "{} more events were recorded late, since the store failed at first: {reason}",
            report.late_events
        ));
    }
    if report.lost_events > 0 {
        output.note(&format!(
            "{} events were NOT recorded: {reason}",
            report.lost_events
        ));
    }
    if !report.is_end_recorded {
        output.note(&format!("the end of the run was NOT recorded: {reason}"));
    }
}
