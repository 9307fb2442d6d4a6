//! What `LocalProcessRunner` promises of an agent's life and end, tried on real child processes. No
//! test sleeps: each waits for what it needs, and one that would hang fails after [`PATIENCE`].

use std::error::Error;
use std::time::{Duration, Instant};

use descartes_state::AgentStatus::{Completed, Failed, Running, Terminated};
use descartes_state::runner::Output;
use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentCommand, AgentExit, AgentInfo, AgentSignal, AgentStatus, LocalProcessRunner, RunnerError,
    RunnerOptions,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStdout;

pub(crate) type TestResult = Result<(), Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(60);
/// A grace that no test outlives: an agent that ends under it was not sent SIGKILL by it.
pub(crate) const FOREVER: Duration = Duration::from_secs(100_000);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Error>> {
    Ok(tokio::time::timeout(PATIENCE, future).await?)
}

pub(crate) fn runner() -> Result<LocalProcessRunner, RunnerError> {
    LocalProcessRunner::new(RunnerOptions::default().kill_grace(FOREVER))
}

fn sh(script: &str) -> AgentCommand {
    AgentCommand::new("sh")
        .args(["-c", script])
        .output(Output::Null)
}

fn sleeper() -> AgentCommand {
    AgentCommand::new("sleep").arg("600").output(Output::Null)
}

/// Starts an agent and returns when it has said "ready"; its stdout ends when its process does.
async fn ready(
    runner: &LocalProcessRunner,
    script: &str,
) -> Result<(AgentInfo, BufReader<ChildStdout>), Box<dyn Error>> {
    let agent = runner.spawn(sh(script).output(Output::Piped)).await?;
    let mut stdout = BufReader::new(runner.take_output(&agent.id)?.stdout);
    let mut line = String::new();
    soon(stdout.read_line(&mut line)).await??;
    assert_eq!(line, "ready\n");
    Ok((agent, stdout))
}

pub(crate) async fn text(mut from: impl AsyncReadExt + Unpin) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    soon(from.read_to_string(&mut text)).await??;
    Ok(text)
}

/// Status, exit code and signal: an `AgentExit` can't be built here.
type Exit = (AgentStatus, Option<i32>, Option<i32>);

fn parts(exit: AgentExit) -> Exit {
    (exit.status, exit.code, exit.signal)
}

async fn wait(runner: &LocalProcessRunner, agent: &AgentInfo) -> Result<Exit, Box<dyn Error>> {
    Ok(parts(soon(runner.wait(&agent.id)).await??))
}

async fn kill(runner: &LocalProcessRunner, agent: &AgentInfo) -> Result<Exit, Box<dyn Error>> {
    Ok(parts(soon(runner.kill(&agent.id)).await??))
}

async fn status(runner: &LocalProcessRunner, id: Uuid) -> Result<AgentStatus, Box<dyn Error>> {
    let agents = runner.list_agents().await?;
    let agent = agents.iter().find(|agent| agent.id == id);
    Ok(agent.ok_or("the agent is not listed")?.status)
}

/// The process's state letter in /proc, `None` if there is no such process.
#[cfg(target_os = "linux")]
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Waits without letting any runtime go on.
#[cfg(target_os = "linux")]
fn block_until_ended(agent: &AgentInfo) -> TestResult {
    let pid = agent.pid.ok_or("the agent has no pid")?;
    let start = Instant::now();
    while !matches!(state_of(pid), Some('Z') | None) {
        if start.elapsed() > PATIENCE {
            return Err(format!("process {pid} has not ended").into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Whether this program ignores a signal, as under `nohup`: its children then do so too.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0) >> (signal - 1) & 1 == 1
}

#[cfg(target_os = "linux")]
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

#[tokio::test]
async fn a_spawned_agent_is_listed_as_running_with_what_its_command_said() -> TestResult {
    let runner = runner()?;
    let before = chrono::Utc::now().timestamp();
    let agent = runner
        .spawn(sleeper().name("planner").model_backend("anthropic"))
        .await?;

    assert_eq!(runner.list_agents().await?, std::slice::from_ref(&agent));
    assert_eq!(agent.name, "planner");
    assert_eq!(agent.model_backend, "anthropic");
    assert_eq!(agent.status, Running);
    assert_eq!(agent.id.get_version_num(), 7);
    assert!((before..=chrono::Utc::now().timestamp()).contains(&agent.started_at));
    assert!(agent.pid.is_some());

    soon(runner.kill(&agent.id)).await??;
    let listed = runner.list_agents().await?;
    assert_eq!(listed[0].status, Terminated);
    assert_eq!(listed[0].pid, None);
    Ok(())
}

#[tokio::test]
async fn agents_are_listed_in_the_order_of_start_and_stay_after_their_end() -> TestResult {
    let runner = runner()?;
    let mut started = Vec::new();
    for _ in 0..20 {
        let agent = runner.spawn(AgentCommand::new("true")).await?;
        started.push(agent.id);
    }
    for id in &started {
        soon(runner.wait(id)).await??;
    }
    let listed = runner.list_agents().await?;
    assert!(listed.iter().map(|agent| agent.id).eq(started));
    Ok(())
}

#[tokio::test]
async fn the_exit_code_decides_between_completed_and_failed() -> TestResult {
    let runner = runner()?;
    for (code, status) in [(0, Completed), (1, Failed), (255, Failed)] {
        let agent = runner.spawn(sh(&format!("exit {code}"))).await?;
        assert_eq!(wait(&runner, &agent).await?, (status, Some(code), None));
    }
    Ok(())
}

#[tokio::test]
async fn a_signal_from_elsewhere_is_a_failure() -> TestResult {
    let runner = runner()?;
    let agent = runner.spawn(sh("kill -KILL $$")).await?;
    assert_eq!(wait(&runner, &agent).await?, (Failed, None, Some(9)));
    Ok(())
}

#[tokio::test]
async fn kill_asks_with_sigterm_first() -> TestResult {
    let runner = runner()?;
    let agent = runner.spawn(sleeper()).await?;
    assert_eq!(kill(&runner, &agent).await?, (Terminated, None, Some(15)));
    Ok(())
}

#[tokio::test]
async fn an_agent_that_cleans_up_when_killed_is_terminated_with_its_own_exit_code() -> TestResult {
    let runner = runner()?;
    for code in [0, 3] {
        let trap = format!("trap 'echo cleaned; exit {code}' TERM");
        let script = format!("{trap}; echo ready; while :; do read x; done");
        let (agent, stdout) = ready(&runner, &script).await?;
        assert_eq!(kill(&runner, &agent).await?, (Terminated, Some(code), None));
        assert_eq!(text(stdout).await?, "cleaned\n");
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_ignores_sigterm_gets_sigkill_after_the_grace() -> TestResult {
    let grace = Duration::from_millis(100);
    let runner = LocalProcessRunner::new(RunnerOptions::default().kill_grace(grace))?;
    let (agent, _stdout) = ready(&runner, "trap '' TERM; echo ready; exec sleep 600").await?;
    let asked = Instant::now();
    assert_eq!(kill(&runner, &agent).await?, (Terminated, None, Some(9)));
    assert!(asked.elapsed() >= grace);
    Ok(())
}

#[tokio::test]
async fn a_kill_that_nobody_waits_for_is_still_carried_through() -> TestResult {
    let runner =
        LocalProcessRunner::new(RunnerOptions::default().kill_grace(Duration::from_millis(1)))?;
    let (agent, _stdout) = ready(&runner, "trap '' TERM; echo ready; exec sleep 600").await?;
    tokio::select! {
        biased;
        _ = runner.kill(&agent.id) => return Err("the kill ended within one poll".into()),
        () = std::future::ready(()) => {}
    }
    assert_eq!(wait(&runner, &agent).await?, (Terminated, None, Some(9)));
    Ok(())
}

#[tokio::test]
async fn killing_an_agent_that_has_ended_returns_its_own_exit() -> TestResult {
    let runner = runner()?;
    let agent = runner.spawn(AgentCommand::new("true")).await?;
    let exit = soon(runner.wait(&agent.id)).await??;
    assert_eq!(soon(runner.kill(&agent.id)).await??, exit);
    assert_eq!(exit.status, Completed);
    Ok(())
}

/// The single-threaded runtime can't have noticed the end when `kill` looks: the test never yields in between.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "current_thread")]
async fn an_end_that_nobody_has_noticed_before_the_kill_is_the_agents_own() -> TestResult {
    let runner = runner()?;
    for _ in 0..20 {
        let agent = runner.spawn(sh("exit 7")).await?;
        let watched = runner.spawn(sh("exit 7")).await?;
        tokio::task::yield_now().await; // lets the supervisors register
        block_until_ended(&agent)?;
        block_until_ended(&watched)?;
        assert_eq!(kill(&runner, &agent).await?, (Failed, Some(7), None));
        runner.signal(&watched.id, AgentSignal::Interrupt)?;
        assert_eq!(wait(&runner, &watched).await?, (Failed, Some(7), None));
    }
    Ok(())
}

#[tokio::test]
async fn every_waiter_gets_the_same_exit_and_so_does_one_that_comes_late() -> TestResult {
    let runner = runner()?;
    let agent = runner.spawn(sleeper()).await?;
    let waiters: Vec<_> = (0..50)
        .map(|_| {
            let runner = runner.clone();
            tokio::spawn(async move { runner.wait(&agent.id).await })
        })
        .collect();
    let (first, second) = tokio::join!(soon(runner.kill(&agent.id)), soon(runner.kill(&agent.id)));
    let exit = first??;
    assert_eq!(second??, exit);
    for waiter in waiters {
        assert_eq!(soon(waiter).await???, exit);
    }
    assert_eq!(soon(runner.wait(&agent.id)).await??, exit);
    Ok(())
}

#[tokio::test]
async fn a_wait_that_is_dropped_disturbs_nobody() -> TestResult {
    let runner = runner()?;
    let agent = runner.spawn(sleeper()).await?;
    tokio::select! {
        biased;
        _ = runner.wait(&agent.id) => return Err("the agent ended by itself".into()),
        () = std::future::ready(()) => {}
    }
    assert_eq!(status(&runner, agent.id).await?, Running);
    assert_eq!(soon(runner.kill(&agent.id)).await??.status, Terminated);
    Ok(())
}

#[tokio::test]
async fn a_signal_sent_through_the_runner_that_ends_the_agent_terminates_it() -> TestResult {
    let runner = runner()?;
    for (signal, number) in [
        (AgentSignal::Interrupt, 2),
        (AgentSignal::Terminate, 15),
        (AgentSignal::Hangup, 1),
    ] {
        if is_ignored(number) {
            continue;
        }
        let agent = runner.spawn(sleeper()).await?;
        runner.signal(&agent.id, signal)?;
        let exit = wait(&runner, &agent).await?;
        assert_eq!(exit, (Terminated, None, Some(number)));
        runner.signal(&agent.id, signal)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_handles_a_signal_is_judged_by_its_exit_code() -> TestResult {
    let runner = runner()?;
    let script = "trap 'exit 0' TERM; echo ready; while :; do read x; done";
    let (agent, _stdout) = ready(&runner, script).await?;
    runner.signal(&agent.id, AgentSignal::Terminate)?;
    assert_eq!(wait(&runner, &agent).await?, (Completed, Some(0), None));
    Ok(())
}

#[tokio::test]
async fn dropping_the_last_handle_kills_and_reaps_the_agents() -> TestResult {
    let runner = runner()?;
    let (agent, stdout) = ready(&runner, "trap '' TERM; echo ready; exec sleep 600").await?;
    let clone = runner.clone();
    drop(runner);
    assert_eq!(status(&clone, agent.id).await?, Running);

    drop(clone);
    assert_eq!(text(stdout).await?, ""); // it ends with the process
    #[cfg(target_os = "linux")]
    soon(async {
        while agent.pid.and_then(state_of).is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn dropping_the_last_handle_outside_a_runtime_kills_the_agents() -> TestResult {
    let runtime = runtime()?;
    let runner = runner()?;
    let agent = runtime.block_on(runner.spawn(sleeper()))?;
    drop(runner);
    // Nothing drives the runtime now: the drop itself did it.
    block_until_ended(&agent)
}

#[cfg(target_os = "linux")]
#[test]
fn an_agent_ends_with_its_runtime_and_the_runner_goes_on_without() -> TestResult {
    for first in [runtime()?, tokio::runtime::Runtime::new()?] {
        let runner = runner()?;
        let agent = first.block_on(runner.spawn(sleeper().output(Output::Piped)))?;
        drop(first);
        block_until_ended(&agent)?;

        let second = runtime()?;
        let exit = second.block_on(kill(&runner, &agent))?;
        assert_eq!(exit, (Terminated, None, None));
        let listed = second.block_on(runner.list_agents())?;
        assert_eq!((listed[0].status, listed[0].pid), (Terminated, None));
        second.block_on(runner.spawn(sleeper()))?;
        drop(second);
        drop(runner);
    }
    Ok(())
}

/// Agents start, end and are killed from several threads at once: nothing hangs and every end is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_agents_at_once_all_come_to_an_end() -> TestResult {
    let runner = runner()?;
    let runs: Vec<_> = (0..60)
        .map(|n| {
            let runner = runner.clone();
            tokio::spawn(async move {
                let command = if n % 3 == 0 {
                    sleeper()
                } else {
                    AgentCommand::new("true")
                };
                let agent = runner.spawn(command).await?;
                // Two thirds are killed, half of them while they end by themselves.
                if n % 3 < 2 {
                    runner.kill(&agent.id).await
                } else {
                    runner.wait(&agent.id).await
                }
            })
        })
        .collect();
    for (n, run) in runs.into_iter().enumerate() {
        let exit = soon(run).await???;
        match n % 3 {
            0 => assert_eq!(exit.status, Terminated),
            2 => assert_eq!(exit.status, Completed),
            _ => assert!(exit.code == Some(0) || exit.signal == Some(15), "{exit:?}"),
        }
    }
    let listed = runner.list_agents().await?;
    assert!(listed.iter().all(|agent| agent.status != Running));
    Ok(())
}
