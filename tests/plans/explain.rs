//! Captures the SQL that the store really runs, and asks SQLite how it would run it.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use descartes_state::StateStoreError;
use descartes_state::diesel::connection::{
    Instrumentation, InstrumentationEvent, set_default_instrumentation,
};
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use descartes_state::diesel::sqlite::Sqlite;
use descartes_state::diesel::{SqliteConnection, sql_query};

/// Every statement that began since it was last emptied, with ` -- binds: [..]` behind it.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn taken() -> Vec<String> {
    std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn instrumentation() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(query.to_string());
        }
    }))
}

/// Captures what connections that are opened from now on run.
pub(crate) fn start_capture() {
    set_default_instrumentation(instrumentation).unwrap();
}

/// One line of EXPLAIN QUERY PLAN.
#[derive(QueryableByName, Debug)]
pub(crate) struct Step {
    #[diesel(sql_type = Integer)]
    pub(crate) parent: i32,
    #[diesel(sql_type = Text)]
    pub(crate) detail: String,
}

/// What a plan may sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sorting {
    /// Nothing: the order comes from an index.
    Nothing,
    /// Sequence numbers, inside the subquery that picks the page: a time range in order of sequence.
    Numbers,
}

/// What is wrong with a plan, whatever index it names.
pub(crate) fn faults(steps: &[Step], sorting: Sorting) -> Vec<String> {
    let is_fault = |step: &Step| {
        let detail = step.detail.as_str();
        // FTS5 says SCAN of every lookup; M is a MATCH, and 64 its order by rowid.
        let is_search = detail
            .strip_prefix("SCAN events_search VIRTUAL TABLE INDEX ")
            .and_then(|index| index.split_once(':'))
            .is_some_and(|(order, terms)| ["64", "192"].contains(&order) && terms.starts_with('M'));
        let is_sort = detail.starts_with("USE TEMP B-TREE");
        let may_sort = match sorting {
            Sorting::Nothing => false,
            Sorting::Numbers => step.parent != 0,
        };
        // A range of rowids goes through the rows of other namespaces.
        let is_walk = detail.contains("INTEGER PRIMARY KEY (rowid<")
            || detail.contains("INTEGER PRIMARY KEY (rowid>");
        (detail.starts_with("SCAN") && !is_search)
            || (is_sort && !may_sort)
            || is_walk
            || detail.contains("AUTOMATIC")
    };
    let faulty = steps.iter().filter(|step| is_fault(step));
    faulty.map(|step| step.detail.clone()).collect()
}

/// Whether the full-text index is the outer loop, and each row of `events` is fetched by its number.
pub(crate) fn is_led_by_search(steps: &[Step]) -> bool {
    let details: Vec<&str> = steps.iter().map(|step| step.detail.as_str()).collect();
    matches!(details[..], [search, "SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"]
        if search.starts_with("SCAN events_search VIRTUAL TABLE"))
}

/// The indexes that a plan names.
pub(crate) fn indexes(steps: &[Step]) -> BTreeSet<String> {
    let named = steps.iter().filter_map(|step| {
        let (_, rest) = step.detail.split_once("INDEX ")?;
        let name = rest.split(' ').next()?;
        (!step.detail.contains("VIRTUAL TABLE")).then(|| name.to_owned())
    });
    named.collect()
}

/// How SQLite would run a captured statement, with the values that it was run with: with statistics they count.
pub(crate) fn explain(connection: &mut SqliteConnection, captured: &str) -> Vec<Step> {
    let (sql, values) = captured
        .split_once(" -- binds: ")
        .unwrap_or((captured, "[]"));
    let mut query = sql_query(format!("EXPLAIN QUERY PLAN {sql}")).into_boxed::<Sqlite>();
    for value in bound_values(values) {
        query = match value {
            Bound::Null => query.bind::<Nullable<Text>, _>(None::<String>),
            Bound::Flag(flag) => query.bind::<Bool, _>(flag),
            Bound::Number(number) => query.bind::<BigInt, _>(number),
            Bound::Text(text) => query.bind::<Text, _>(text),
        };
    }
    query
        .load(connection)
        .unwrap_or_else(|error| panic!("{error}: {captured}"))
}

#[derive(Debug, PartialEq)]
enum Bound {
    Null,
    Flag(bool),
    Number(i64),
    Text(String),
}

/// Reads what Diesel prints of bound values: `["a", 5, Todo, None]`.
fn bound_values(printed: &str) -> Vec<Bound> {
    let mut values = Vec::new();
    let mut rest = printed.trim().trim_start_matches('[');
    loop {
        rest = rest.trim_start_matches([',', ' ', ')']);
        rest = rest.strip_prefix("Some(").unwrap_or(rest);
        if rest.is_empty() || rest.starts_with(']') {
            return values;
        }
        let length = if let Some(text) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = text.find(|character| {
                let ends = character == '"' && !escaped;
                escaped = character == '\\' && !escaped;
                ends
            });
            end.unwrap() + 2
        } else {
            rest.find([',', ']', ')']).unwrap()
        };
        let (value, after) = rest.split_at(length);
        rest = after;
        values.push(bound_value(value));
    }
}

fn bound_value(printed: &str) -> Bound {
    if printed.starts_with('"') {
        // The fixture's texts hold no escapes that JSON writes otherwise.
        return Bound::Text(serde_json::from_str(printed).unwrap());
    }
    match printed {
        "None" => Bound::Null,
        "true" | "false" => Bound::Flag(printed == "true"),
        // An enum prints its Rust name.
        name => name.parse().map_or_else(
            |_| Bound::Text(name.to_lowercase().replace("inprogress", "in_progress")),
            Bound::Number,
        ),
    }
}

/// Asks for the plans of one call after the other.
pub(crate) struct Examination {
    connection: SqliteConnection,
    /// Every index that was named so far.
    pub(crate) named: BTreeSet<String>,
    faults: Vec<String>,
}

impl Examination {
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            connection: descartes_state_testing::connect_patiently(path),
            named: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// Runs a call of the store, and notes where the plans of its statements differ from what is expected: exactly
    /// these indexes, or any where the list is empty.
    pub(crate) async fn expect<T>(
        &mut self,
        name: &str,
        expected: &[&str],
        sorting: Sorting,
        call: impl Future<Output = Result<T, StateStoreError>>,
    ) {
        taken();
        call.await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let statements: Vec<String> = taken()
            .into_iter()
            .filter(|sql| {
                let is_row_work = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "]
                    .iter()
                    .any(|verb| sql.starts_with(verb));
                // What a connection is asked about itself reads no table.
                let is_about_itself = sql.starts_with("SELECT ") && !sql.contains(" FROM ");
                // Whether the schema is still whole, and whose the log is, is asked and told from time to time, not by each call.
                let is_about_schema =
                    sql.contains("__diesel_schema_migrations") || sql.contains("store_identity");
                is_row_work
                    && !is_about_itself
                    && !is_about_schema
                    && !sql.contains(" FROM pragma_")
            })
            .collect();
        assert!(!statements.is_empty(), "{name} ran no statement");
        let mut named = BTreeSet::new();
        for statement in &statements {
            let steps = explain(&mut self.connection, statement);
            named.extend(indexes(&steps));
            for fault in faults(&steps, sorting) {
                self.faults.push(format!("{name}: {fault}: {statement}"));
            }
            if statement.contains(" MATCH ") && !is_led_by_search(&steps) {
                self.faults.push(format!("{name}: {steps:?}: {statement}"));
            }
        }
        let wanted: BTreeSet<String> = expected.iter().map(|index| (*index).to_owned()).collect();
        if !wanted.is_empty() && wanted != named {
            let fault = format!("{name}: uses {named:?}, not {wanted:?}: {statements:?}");
            self.faults.push(fault);
        }
        self.named.extend(named);
    }

    pub(crate) fn finish(self) -> BTreeSet<String> {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n\n"));
        self.named
    }
}

#[test]
fn bound_values_are_read_as_diesel_prints_them() {
    let text = |text: &str| Bound::Text(text.into());
    assert_eq!(
        bound_values(r#"["a, \"b]", 5, -1, Todo, InProgress, None, Some("c)"), true]"#),
        [
            text("a, \"b]"),
            Bound::Number(5),
            Bound::Number(-1),
            text("todo"),
            text("in_progress"),
            Bound::Null,
            text("c)"),
            Bound::Flag(true),
        ]
    );
    assert_eq!(bound_values("[]"), []);
}
