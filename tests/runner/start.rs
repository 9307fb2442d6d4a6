//! What it takes to start an agent, and how an agent is described. Its life and its end are in `life.rs`.

use std::error::Error;
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use descartes_state::runner::{Input, Output};
use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentCommand, AgentSignal, AgentStatus, LocalProcessRunner, RunnerError, RunnerOptions,
};
use tokio::io::AsyncReadExt;

type TestResult = Result<(), Box<dyn Error>>;

/// A test that would hang fails after this.
async fn soon<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Error>> {
    Ok(tokio::time::timeout(Duration::from_secs(60), future).await?)
}

fn sleeper() -> AgentCommand {
    AgentCommand::new("sleep").arg("600").output(Output::Null)
}

fn runner() -> Result<LocalProcessRunner, RunnerError> {
    LocalProcessRunner::new(RunnerOptions::default())
}

async fn text(mut from: impl AsyncReadExt + Unpin) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    soon(from.read_to_string(&mut text)).await??;
    Ok(text)
}

fn script(dir: &Path, name: &str, text: &str, mode: u32) -> std::io::Result<PathBuf> {
    let path = dir.join(name);
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(path)
}

#[test]
fn a_runner_can_be_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<LocalProcessRunner>();
}

#[tokio::test]
async fn an_agent_is_named_after_its_program_and_local_unless_told() -> TestResult {
    let runner = runner()?;
    let agent = runner
        .spawn(AgentCommand::new("/bin/sh").args(["-c", ":"]))
        .await?;
    assert_eq!(agent.name, "sh");
    assert_eq!(agent.model_backend, "local");
    Ok(())
}

#[tokio::test]
async fn a_missing_program_is_not_found() -> TestResult {
    let runner = runner()?;
    let dir = tempfile::tempdir()?;
    let bad_interpreter = script(dir.path(), "agent", "#!/no/such/interpreter\n", 0o755)?;
    for program in [
        PathBuf::from("no-such-program-anywhere"),
        dir.path().join("none"),
        bad_interpreter,
    ] {
        match runner.spawn(AgentCommand::new(&program)).await {
            Err(RunnerError::ProgramNotFound { program: named, .. }) => assert_eq!(named, program),
            other => return Err(format!("{}: {other:?}", program.display()).into()),
        }
    }
    assert!(runner.list_agents().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_program_is_not_executable() -> TestResult {
    let runner = runner()?;
    let dir = tempfile::tempdir()?;
    let plain = script(dir.path(), "plain", "#!/bin/sh\n", 0o644)?;
    let data = script(dir.path(), "data", "\u{1}\u{2}\u{3}", 0o755)?;
    for program in [plain, data, dir.path().to_owned()] {
        match runner.spawn(AgentCommand::new(&program)).await {
            Err(RunnerError::NotExecutable { program: named, .. }) => assert_eq!(named, program),
            other => return Err(format!("{}: {other:?}", program.display()).into()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn input_that_cannot_be_used_is_refused_by_name() -> TestResult {
    let runner = runner()?;
    for (command, expected) in [
        (AgentCommand::new(""), "program"),
        (AgentCommand::new("true").name(""), "name"),
        (AgentCommand::new("true").model_backend(""), "model_backend"),
        (AgentCommand::new("true").env("", "x"), "env"),
        (AgentCommand::new("true").env("A=B", "x"), "env"),
        (AgentCommand::new("true").arg("nul\0byte"), "command"),
        (
            AgentCommand::new("true").current_dir("/no/such/directory"),
            "current_dir",
        ),
        (
            AgentCommand::new("true").current_dir("/dev/null"),
            "current_dir",
        ),
    ] {
        match runner.spawn(command.clone()).await {
            Err(RunnerError::InvalidInput { field, .. }) => {
                assert_eq!(field, expected, "{command:?}");
            }
            other => return Err(format!("{command:?}: {other:?}").into()),
        }
    }
    let none = LocalProcessRunner::new(RunnerOptions::default().max_agents(0));
    assert!(
        matches!(
            none,
            Err(RunnerError::InvalidInput {
                field: "max_agents",
                ..
            })
        ),
        "{none:?}"
    );
    LocalProcessRunner::new(RunnerOptions::default().max_agents(usize::MAX))?;
    Ok(())
}

#[tokio::test]
async fn an_agent_gets_its_arguments_environment_and_directory() -> TestResult {
    let runner = runner()?;
    let dir = tempfile::tempdir()?;
    let command = AgentCommand::new("sh")
        .args([
            "-c",
            "pwd -P; echo \"$1|$LEVEL\"; cat; echo oops >&2",
            "sh",
            "two words",
        ])
        .env("LEVEL", "first")
        .env("LEVEL", "last")
        .current_dir(dir.path())
        .stdin(Input::Null)
        .output(Output::Piped);
    let agent = runner.spawn(command).await?;
    soon(runner.wait(&agent.id)).await??;

    let output = runner.take_output(&agent.id)?;
    let expected = format!("{}\ntwo words|last\n", dir.path().canonicalize()?.display());
    assert_eq!(text(output.stdout).await?, expected);
    assert_eq!(text(output.stderr).await?, "oops\n");
    Ok(())
}

#[test]
fn the_debug_form_of_a_command_hides_the_values_of_its_environment() {
    let shown = format!("{:?}", AgentCommand::new("agent").env("API_KEY", "hunter2"));
    assert!(
        shown.contains("API_KEY") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[tokio::test]
async fn piped_output_is_given_once_and_other_output_never() -> TestResult {
    let runner = runner()?;
    let piped = runner
        .spawn(
            AgentCommand::new("sh")
                .args(["-c", "echo one"])
                .output(Output::Piped),
        )
        .await?;
    assert_eq!(text(runner.take_output(&piped.id)?.stdout).await?, "one\n");
    let again = runner.take_output(&piped.id);
    assert!(
        matches!(again, Err(RunnerError::OutputTaken { id, .. }) if id == piped.id),
        "{again:?}"
    );

    for output in [Output::Inherit, Output::Null] {
        let agent = runner
            .spawn(AgentCommand::new("true").output(output))
            .await?;
        for _ in 0..2 {
            let none = runner.take_output(&agent.id);
            assert!(
                matches!(none, Err(RunnerError::OutputNotPiped { id, .. }) if id == agent.id),
                "{none:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn spawning_without_a_tokio_runtime_is_an_error() -> TestResult {
    let runner = runner()?;
    let mut spawn = std::pin::pin!(runner.spawn(AgentCommand::new("true")));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = spawn.as_mut().poll(&mut context);
    assert!(
        matches!(polled, std::task::Poll::Ready(Err(RunnerError::NoRuntime))),
        "{polled:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_known_of_an_agent_serializes_with_a_lower_case_status() -> TestResult {
    let runner = runner()?;
    let agent = runner.spawn(AgentCommand::new("true")).await?;
    let exit = soon(runner.wait(&agent.id)).await??;
    let listed = serde_json::to_value(runner.list_agents().await?)?;
    let expected = serde_json::json!([{
        "id": agent.id.to_string(), "name": "true", "status": "completed",
        "started_at": agent.started_at, "model_backend": "local", "pid": null,
        "survivors": [],
    }]);
    assert_eq!(listed, expected);
    assert_eq!(
        serde_json::to_value(exit)?,
        serde_json::json!({"status": "completed", "code": 0, "signal": null})
    );
    for (status, debug) in [
        (AgentStatus::Running, "Running"),
        (AgentStatus::Completed, "Completed"),
        (AgentStatus::Failed, "Failed"),
        (AgentStatus::Terminated, "Terminated"),
    ] {
        assert_eq!(format!("{status:?}"), debug);
        assert_eq!(status.to_string(), debug.to_lowercase());
        assert_eq!(serde_json::to_value(status)?, status.as_str());
    }
    Ok(())
}

#[tokio::test]
async fn the_limit_counts_agents_that_run_and_frees_a_place_with_each_end() -> TestResult {
    let runner = LocalProcessRunner::new(RunnerOptions::default().max_agents(2))?;
    let first = runner.spawn(sleeper()).await?;
    runner.spawn(sleeper()).await?;
    let third = runner.clone().spawn(sleeper()).await;
    assert!(
        matches!(third, Err(RunnerError::TooManyAgents { limit: 2, .. })),
        "{third:?}"
    );

    soon(runner.kill(&first.id)).await??;
    assert!(
        runner
            .spawn(AgentCommand::new("no-such-program-anywhere"))
            .await
            .is_err()
    );
    for _ in 0..20 {
        let agent = runner.spawn(AgentCommand::new("true")).await?;
        soon(runner.wait(&agent.id)).await??;
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_can_be_forgotten_after_its_end_only() -> TestResult {
    let runner = runner()?;
    let agent = runner.spawn(sleeper()).await?;
    let running = runner.forget(&agent.id);
    assert!(
        matches!(running, Err(RunnerError::StillRunning { id, .. }) if id == agent.id),
        "{running:?}"
    );

    soon(runner.kill(&agent.id)).await??;
    assert_eq!(runner.forget(&agent.id)?.status, AgentStatus::Terminated);
    assert!(runner.list_agents().await?.is_empty());
    assert!(matches!(
        runner.forget(&agent.id),
        Err(RunnerError::UnknownAgent { .. })
    ));
    Ok(())
}

#[tokio::test]
async fn an_id_that_was_never_given_is_unknown() -> TestResult {
    let (runner, id) = (runner()?, Uuid::nil());
    assert!(
        matches!(runner.wait(&id).await, Err(RunnerError::UnknownAgent { id: named, .. }) if named == id)
    );
    assert!(matches!(
        runner.kill(&id).await,
        Err(RunnerError::UnknownAgent { .. })
    ));
    assert!(matches!(
        runner.signal(&id, AgentSignal::Hangup),
        Err(RunnerError::UnknownAgent { .. })
    ));
    assert!(matches!(
        runner.take_output(&id),
        Err(RunnerError::UnknownAgent { .. })
    ));
    assert!(matches!(
        runner.forget(&id),
        Err(RunnerError::UnknownAgent { .. })
    ));
    Ok(())
}
