//! Several processes on one new file.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use descartes_state::AgentState;

use super::open;

const PROCESSES: usize = 8;
const ROUNDS: usize = 20;
const NUMBER: &str = "DESCARTES_STATE_TEST_PROCESS";

/// What one process does with a file that seven others initialize as well.
async fn take_part(path: &Path, number: &str) -> Result<(), descartes_state::StateStoreError> {
    let store = open(path).await;
    store.initialize().await?;
    let agent = AgentState {
        agent_id: format!("agent-{number}"),
        name: "Agent".into(),
        status: "idle".into(),
        metadata: serde_json::json!({}),
        state_data: "{}".into(),
        created_at: 1,
        updated_at: 1,
        version: 1,
    };
    store.save_agent_state(&agent).await?;
    store.close().await
}

/// Is started by the test below, in a process of its own: takes a path a line, and answers with a line.
#[test]
#[ignore = "a part of eight_processes_initialize_a_new_file_at_once"]
fn one_of_eight() {
    let number = std::env::var(NUMBER).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for path in std::io::stdin().lines() {
        let result = runtime.block_on(take_part(Path::new(&path.unwrap()), &number));
        match result {
            Ok(()) => eprintln!("done"),
            Err(error) => eprintln!("{error}"),
        }
    }
}

fn start(number: usize) -> (Child, BufReader<ChildStderr>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "migrations::processes::one_of_eight",
            "--exact",
            "--ignored",
        ])
        .args(["--nocapture", "--test-threads=1"])
        .env(NUMBER, number.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let answers = BufReader::new(child.stderr.take().unwrap());
    (child, answers)
}

#[tokio::test]
async fn eight_processes_initialize_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut processes: Vec<_> = (0..PROCESSES).map(start).collect();
    for round in 0..ROUNDS {
        let path = directory.path().join(format!("{round}/state.db"));
        // They wait for the line, so they begin together.
        for (child, _) in &mut processes {
            let mut lines = child.stdin.as_ref().unwrap();
            writeln!(lines, "{}", path.display()).unwrap();
        }
        for (_, answers) in &mut processes {
            let mut answer = String::new();
            answers.read_line(&mut answer).unwrap();
            assert_eq!(answer, "done\n", "in round {round}");
        }
        let store = open(&path).await;
        assert_eq!(store.list_agents().await.unwrap().len(), PROCESSES);
        assert_eq!(store.get_migration_history().await.unwrap().len(), 9);
        store.close().await.unwrap();
    }
    for (mut child, _) in processes {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}
