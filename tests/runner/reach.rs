//! What an ending of an agent reaches beside the agent, tried on real processes (Linux).

use std::time::Duration;

use descartes_state::AgentStatus::{Completed, Terminated};
use descartes_state::runner::{Output, Reach};
use descartes_state::{
    AgentCommand, AgentInfo, AgentSignal, AgentStatus, LocalProcessRunner, RunnerOptions,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;

use crate::life::{FOREVER, TestResult, runner, soon, state_of, text};

/// Starts a script and returns the numbers of the processes that it names in its first line. Standard output is open as
/// long as one of them lives.
async fn start(
    runner: &LocalProcessRunner,
    reach: Reach,
    script: &str,
) -> Result<(AgentInfo, Vec<u32>, BufReader<ChildStdout>), Box<dyn std::error::Error>> {
    let command = AgentCommand::new("sh")
        // Nobody reads what a shell says of its children.
        .args(["-c", &format!("exec 2> /dev/null; {script}")])
        .reach(reach)
        .output(Output::Piped);
    let agent = runner.spawn(command).await?;
    let mut stdout = BufReader::new(runner.take_output(&agent.id)?.stdout);
    let mut line = String::new();
    soon(stdout.read_line(&mut line)).await??;
    let pids: Result<_, _> = line.split_whitespace().map(str::parse).collect();
    Ok((agent, pids?, stdout))
}

fn is_alive(pid: u32) -> bool {
    !matches!(state_of(pid), Some('Z') | None)
}

fn end(pid: u32) -> TestResult {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no pid")?;
    Ok(kill_process(pid, Signal::KILL)?)
}

/// One child in the agent's group, and one in a session of its own.
const TWO: &str = "sleep 600 & a=$!; setsid sh -c 'echo '$a' $$; exec sleep 600' & ";

#[tokio::test]
async fn a_kill_ends_what_its_reach_covers_and_names_what_lives_on() -> TestResult {
    for (reach, ended) in [
        (Reach::Process, [false, false]),
        (Reach::Group, [true, false]),
        (Reach::Descendants, [true, true]),
    ] {
        let runner = runner()?;
        let (agent, pids, stdout) = start(&runner, reach, &format!("{TWO} wait")).await?;
        let exit = soon(runner.kill(&agent.id)).await??;
        assert_eq!((exit.status, exit.signal), (Terminated, Some(15)));
        let alive: Vec<bool> = pids.iter().map(|pid| is_alive(*pid)).collect();
        assert_eq!(alive, ended.map(|ended| !ended), "{reach:?}");
        let survivors = runner.info(&agent.id)?.survivors;
        match reach {
            Reach::Group => assert!(survivors[0].ends_with(&format!("({})", pids[1]))),
            _ => assert!(survivors.is_empty(), "{survivors:?}"),
        }
        for pid in pids.into_iter().filter(|pid| is_alive(*pid)) {
            end(pid)?;
        }
        assert_eq!(text(stdout).await?, "");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_the_agent_begins_ends_with_all_its_groups() -> TestResult {
    let runner = runner()?;
    // `set -m` gives each child in the background a group of its own.
    let script = "set -m; sleep 600 & a=$!; setsid sh -c 'echo '$a' $$; exec sleep 600' & wait";
    let command = AgentCommand::new("setsid")
        .args(["sh", "-c", &format!("exec 2> /dev/null; {script}")])
        .reach(Reach::Session)
        .output(Output::Piped);
    let agent = runner.spawn(command).await?;
    let mut stdout = BufReader::new(runner.take_output(&agent.id)?.stdout);
    let mut line = String::new();
    soon(stdout.read_line(&mut line)).await??;
    let pids: Result<Vec<u32>, _> = line.split_whitespace().map(str::parse).collect();
    let pids = pids?;
    soon(runner.kill(&agent.id)).await??;
    assert_eq!([is_alive(pids[0]), is_alive(pids[1])], [false, true]);
    assert!(runner.info(&agent.id)?.survivors[0].ends_with(&format!("({})", pids[1])));
    end(pids[1])
}

#[tokio::test]
async fn an_agent_that_ends_by_itself_leaves_what_it_started_alone() -> TestResult {
    for reach in [Reach::Process, Reach::Group, Reach::Descendants] {
        let runner = runner()?;
        let (agent, pids, _stdout) =
            start(&runner, reach, &format!("{TWO} read x < /dev/null; exit 0")).await?;
        assert_eq!(soon(runner.wait(&agent.id)).await??.status, Completed);
        // Neither a kill that comes late nor the runner's own end reaches them.
        soon(runner.kill(&agent.id)).await??;
        runner.signal(&agent.id, AgentSignal::Kill)?;
        drop(runner);
        for pid in pids {
            assert!(is_alive(pid), "{reach:?}");
            end(pid)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_an_agent_leaves_is_asked_before_it_is_killed() -> TestResult {
    let polite =
        "sh -c 'trap \"echo asked; exit\" TERM; echo $$; while :; do sleep 0.01; done' & wait";
    for reach in [Reach::Group, Reach::Descendants] {
        let runner = runner()?;
        let (agent, _pids, stdout) = start(&runner, reach, polite).await?;
        soon(runner.kill(&agent.id)).await??;
        assert_eq!(text(stdout).await?, "asked\n", "{reach:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_ignores_the_asking_is_killed_at_the_end_of_the_grace() -> TestResult {
    let deaf = "sh -c 'trap \"\" TERM; echo $$; sleep 600 & wait; sleep 600' & wait";
    for reach in [Reach::Group, Reach::Descendants] {
        let options = RunnerOptions::default().kill_grace(Duration::from_millis(100));
        let runner = LocalProcessRunner::new(options)?;
        let (agent, pids, stdout) = start(&runner, reach, deaf).await?;
        let exit = soon(runner.kill(&agent.id)).await??;
        assert_eq!((exit.status, exit.signal), (Terminated, Some(15)));
        assert!(!is_alive(pids[0]), "{reach:?}");
        assert_eq!(text(stdout).await?, "");
    }
    Ok(())
}

#[tokio::test]
async fn a_kill_signal_ends_the_grace_for_all() -> TestResult {
    let deaf = "trap '' TERM; sleep 600 & echo $!; wait; sleep 600";
    for reach in [Reach::Process, Reach::Group, Reach::Descendants] {
        let options = RunnerOptions::default().kill_grace(FOREVER);
        let runner = LocalProcessRunner::new(options)?;
        let (agent, pids, _stdout) = start(&runner, reach, deaf).await?;
        runner.ask_to_end(&agent.id, Some(AgentSignal::Terminate))?;
        assert_eq!(runner.info(&agent.id)?.status, AgentStatus::Running);
        runner.ask_to_end(&agent.id, Some(AgentSignal::Kill))?;
        let exit = soon(runner.wait(&agent.id)).await??;
        assert_eq!((exit.status, exit.signal), (Terminated, Some(9)));
        assert_eq!(is_alive(pids[0]), reach == Reach::Process, "{reach:?}");
        if reach == Reach::Process {
            end(pids[0])?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_was_asked_by_other_means_has_the_grace_and_no_signal_more() -> TestResult {
    let runner = runner()?;
    let script = "trap 'echo once' INT; echo $$; while :; do sleep 0.01; done";
    let (agent, pids, mut stdout) = start(&runner, Reach::Group, script).await?;
    let pid = Pid::from_raw(i32::try_from(pids[0])?).ok_or("no pid")?;
    kill_process(pid, Signal::INT)?;
    runner.ask_to_end(&agent.id, None)?;
    let mut line = String::new();
    soon(stdout.read_line(&mut line)).await??;
    assert_eq!(line, "once\n");
    runner.ask_to_end(&agent.id, Some(AgentSignal::Kill))?;
    assert_eq!(soon(runner.wait(&agent.id)).await??.status, Terminated);
    assert_eq!(text(stdout).await?, "");
    Ok(())
}

#[tokio::test]
async fn dropping_the_runner_kills_what_a_kill_would() -> TestResult {
    for reach in [Reach::Group, Reach::Descendants] {
        let runner = runner()?;
        let (_agent, pids, stdout) = start(&runner, reach, &format!("{TWO} wait")).await?;
        drop(runner);
        if reach == Reach::Group {
            end(pids[1])?;
        }
        assert_eq!(text(stdout).await?, "", "{reach:?}");
    }
    Ok(())
}
