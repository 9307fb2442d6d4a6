//! What several test crates share: sample values, inputs of any kind, and looks into the file itself.
// Each test crate uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::Text;
use descartes_state::diesel::{SqliteConnection, sql_query};
use descartes_state::serde_json::{self, Value, json};
use descartes_state::uuid::Uuid;
use descartes_state::{ActorType, AgentState, Event, SqliteStateStore, Task, TaskStatus};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

pub(crate) type TestResult = Result<(), Box<dyn Error>>;

/// What the clock of a store under test shows, in Unix seconds, where it has a clock of its own.
pub(crate) const NOW: i64 = 1_763_856_000;

pub(crate) fn agent(id: &str) -> AgentState {
    AgentState {
        agent_id: id.to_owned(),
        name: format!("Agent {id}"),
        status: "idle".to_owned(),
        metadata: json!({ "type": "worker", "load": 0.1 }),
        state_data: r#"{"step":1}"#.to_owned(),
        created_at: 1_000,
        updated_at: 2_000,
        version: 1,
    }
}

pub(crate) fn event(content: &str) -> Event {
    Event {
        id: Uuid::now_v7(),
        event_type: "note".to_owned(),
        timestamp: 3_000,
        session_id: "session".to_owned(),
        actor_type: ActorType::Agent,
        actor_id: "actor".to_owned(),
        content: content.to_owned(),
        metadata: Some(json!({ "n": 1 })),
        git_commit: Some("0a1b2c".to_owned()),
    }
}

pub(crate) fn task(title: &str) -> Task {
    Task {
        id: Uuid::now_v7(),
        title: title.to_owned(),
        description: Some("more about it".to_owned()),
        status: TaskStatus::Todo,
        assigned_to: Some("agent".to_owned()),
        created_at: 1_000,
        updated_at: 2_000,
        metadata: Some(json!([1, "two"])),
    }
}

/// Text with anything in it: control characters, NUL, any script.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::collection::vec(any::<char>(), 0..40)
            .prop_map(|characters| characters.into_iter().collect()),
        "[a-z\\x00\u{7f}\u{301}\u{1f980} \"'%_:;\\\\\n]{0,40}",
        Just(String::new()),
    ]
}

/// An identifier: any text but an empty one, NUL, or more than 512 bytes.
pub(crate) fn any_id() -> impl Strategy<Value = String> {
    any_text().prop_map(|text| format!("i{}", text.replace('\0', "")))
}

/// JSON with every kind of number, to the last bit.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // From all bit patterns: subnormal, negative zero and huge ones too; JSON has no NaN and no infinity.
        any::<u64>().prop_map(|bits| Value::from(f64::from_bits(bits))),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((any_text(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Tries a property on inputs of a strategy, on a blocking thread, so that it may wait for the store.
pub(crate) async fn for_all<S>(
    cases: u32,
    inputs: impl FnOnce() -> S + Send + 'static,
    property: impl Fn(S::Value) -> TestCaseResult + Send + 'static,
) -> TestResult
where
    S: Strategy,
{
    let tried = tokio::task::spawn_blocking(move || {
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 500,
            ..Config::default()
        };
        // As text: the error's type holds the input, which need not be Send.
        TestRunner::new(config)
            .run(&inputs(), property)
            .map_err(|error| error.to_string())
    });
    Ok(tried.await??)
}

/// A Diesel connection of its own to the file, for what the store would never write.
pub(crate) fn raw(path: &Path) -> Result<SqliteConnection, Box<dyn Error>> {
    let mut connection = SqliteConnection::establish(&path.display().to_string())?;
    connection.batch_execute(
        "PRAGMA busy_timeout = 30000; PRAGMA ignore_check_constraints = 1;
         DROP TRIGGER IF EXISTS events_are_final; DROP TRIGGER IF EXISTS state_transitions_are_final;",
    )?;
    Ok(connection)
}

pub(crate) const TABLES: [&str; 6] = [
    "agent_states",
    "state_transitions",
    "state_snapshots",
    "events",
    "tasks",
    "sessions",
];

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(connection: &mut SqliteConnection, query: &str) -> QueryResult<Vec<String>> {
    let lines: Vec<Line> = sql_query(query).load(connection)?;
    Ok(lines.into_iter().map(|line| line.line).collect())
}

/// Name and declared type of each column of a table.
pub(crate) fn columns(
    connection: &mut SqliteConnection,
    table: &str,
) -> QueryResult<Vec<(String, String)>> {
    let query = format!("SELECT name || '/' || type AS line FROM pragma_table_info('{table}')");
    let columns = lines(connection, &query)?;
    let parts = columns.iter().filter_map(|column| column.split_once('/'));
    Ok(parts
        .map(|(name, kind)| (name.into(), kind.into()))
        .collect())
}

/// Every stored value of every row that a namespace has, or that any has for `None`.
pub(crate) async fn dump(
    store: &SqliteStateStore,
    namespace: Option<&str>,
) -> Result<Vec<String>, Box<dyn Error>> {
    let condition = namespace.map_or_else(String::new, |namespace| {
        format!("WHERE namespace = '{}'", namespace.replace('\'', "''"))
    });
    // Without a prefix: the handle at hand may have an illegal one.
    let store = store.with_prefix("");
    let rows = store.read(move |transaction| {
        let connection = transaction.connection();
        let mut rows = Vec::new();
        for table in TABLES {
            let columns = columns(connection, table)?;
            let values: Vec<_> = columns
                .iter()
                .map(|(name, _)| format!("quote({name})"))
                .collect();
            let values = values.join(" || ', ' || ");
            let query = format!(
                "SELECT '{table}: ' || {values} AS line FROM {table} {condition} ORDER BY rowid"
            );
            rows.extend(lines(connection, &query)?);
        }
        Ok(rows)
    });
    Ok(rows.await?)
}

/// Every public async method, read from the sources: `agents.save` for a handle's, the bare name for the store's own.
pub(crate) fn public_async_methods() -> Result<BTreeSet<String>, Box<dyn Error>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut methods = BTreeSet::new();
    for entry in fs::read_dir(sources.join("store"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let handle = stem.filter(|stem| !matches!(*stem, "mod" | "contract"));
        for rest in text.split("pub async fn ").skip(1) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            // The macro's own `$name` isn't a method.
            if name.starts_with(|first: char| first.is_ascii_lowercase()) {
                methods.insert(handle.map_or(name.to_owned(), |handle| format!("{handle}.{name}")));
            }
        }
    }
    let contract = fs::read_to_string(sources.join("state_store.rs"))?;
    let list = contract.split("$define! {").nth(1).unwrap_or_default();
    let list = list.split("macro_rules!").next().unwrap_or_default();
    for line in list.lines() {
        if let Some(rest) = line.trim_start().strip_prefix("fn ") {
            methods.insert(rest.split('(').next().unwrap_or_default().to_owned());
        }
    }
    Ok(methods)
}

/// The real runs beside the repository, as events; `None` where the folder is absent.
pub(crate) fn real_events() -> Result<Option<Vec<Event>>, Box<dyn Error>> {
    let beside = "../shared/data/agent-runs.jsonl";
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(beside);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path)?;
    let mut events = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        events.push(Event {
            event_type: field("event_type"),
            session_id: field("run"),
            actor_type: field("actor_type").parse()?,
            actor_id: field("agent"),
            metadata: Some(json!({ "step": line["step"], "state": line["state"] })),
            ..event(&field("content"))
        });
    }
    Ok(Some(events))
}
