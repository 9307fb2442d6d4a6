//! Whether what the ledgers say is what the server has.

use std::collections::BTreeMap;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_query;
use descartes_state::diesel::sql_types::{Array, BigInt, Text};

use super::entries::{Entry, Kind, Ledger, Told, Written, name};

/// How many chapters are asked for at once.
const CHAPTERS: usize = 200;

/// A row: whose it is, the name of the write that left it, its revision or sequence, and the state before.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    write: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    before: String,
}

const AGENTS: &str = "SELECT agent_id AS owner, convert_from(state_data, 'UTF8') AS write, \
    revision AS number, '' AS before FROM agent_states WHERE namespace = '' AND agent_id = ANY($1)";
const TRANSITIONS: &str = "SELECT agent_id AS owner, convert_from(state_after, 'UTF8') AS write, \
    seq AS number, convert_from(state_before, 'UTF8') AS before \
    FROM state_transitions WHERE namespace = '' AND agent_id = ANY($1) ORDER BY seq";
const EVENTS: &str = "SELECT session_id AS owner, actor_id AS write, seq AS number, '' AS before \
    FROM events WHERE namespace = '' AND session_id = ANY($1) ORDER BY seq";

/// What the server has of some chapters at one moment.
#[derive(Default)]
struct Found {
    /// The last write and the revision, by agent.
    agents: BTreeMap<String, (String, i64)>,
    /// By the name of their write.
    transitions: BTreeMap<String, Vec<Row>>,
    events: BTreeMap<String, Vec<i64>>,
}

impl Found {
    fn read(database: &mut PgConnection, chapters: &[String]) -> Self {
        let agents: Vec<_> = chapters
            .iter()
            .flat_map(|chapter| Kind::ALL.map(|kind| kind.agent(chapter)))
            .collect();
        let mut rows = |query: &str, owners: &[String]| -> Vec<Row> {
            let query = sql_query(query).bind::<Array<Text>, _>(owners);
            query.load(database).unwrap()
        };
        let mut found = Self::default();
        for row in rows(AGENTS, &agents) {
            found.agents.insert(row.owner, (row.write, row.number));
        }
        for row in rows(TRANSITIONS, &agents) {
            let of_write = found.transitions.entry(row.write.clone());
            of_write.or_default().push(row);
        }
        for row in rows(EVENTS, chapters) {
            let of_write = found.events.entry(row.write).or_default();
            of_write.push(row.number);
        }
        found
    }
}

/// Compares the chapters of which something was told since the last time, or all, with one snapshot of the server. The processes
/// may go on writing. Returns how many writes are there that nobody was told of, but for saves, which leave no row of their own.
pub(super) fn check(
    ledgers: &mut [&mut Ledger],
    database: &mut PgConnection,
    is_whole: bool,
) -> usize {
    let mut kept = 0;
    // What was told before the snapshot is taken is in it.
    let mut due = Vec::new();
    for (index, ledger) in ledgers.iter_mut().enumerate() {
        let told = ledger.read();
        let touched = ledger.take_touched();
        if is_whole {
            due.extend(ledger.chapters.keys().map(|key| (index, told, key.clone())));
        } else {
            due.extend(touched.into_iter().map(|key| (index, told, key)));
        }
    }
    for due in due.chunks(CHAPTERS) {
        let chapters: Vec<_> = due.iter().map(|(_, _, chapter)| chapter.clone()).collect();
        // By the indexes, though nobody has counted the rows.
        let begin =
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off";
        database.batch_execute(begin).unwrap();
        let mut found = Found::read(database, &chapters);
        database.batch_execute("COMMIT").unwrap();
        for (index, told, chapter) in due {
            let ledger = &mut ledgers[*index];
            // A line stands there before its write is begun: so whatever is in the snapshot is now in the ledger.
            ledger.read();
            kept += check_chapter(chapter, &ledger.chapters[chapter], *told, &mut found);
        }
        let left = (found.agents, found.transitions.keys(), found.events);
        let is_nothing = left.0.is_empty() && left.1.len() == 0 && left.2.is_empty();
        assert!(is_nothing, "there, though never written: {left:?}");
    }
    kept
}

/// Compares one chapter, and takes what it finds of it; returns as [`check`].
fn check_chapter(chapter: &str, entries: &[Entry], told_before: usize, found: &mut Found) -> usize {
    let mut kept = 0;
    let mut agents: BTreeMap<Kind, Agent> = BTreeMap::new();
    for (number, entry) in entries.iter().enumerate() {
        let (kind, name) = (Kind::of(number), name(chapter, number));
        let agent = agents.entry(kind).or_default();
        let told = entry.told_before(told_before);
        if kind == Kind::Save {
            agent.take_save(&name, entry, told);
            continue;
        }
        let transitions = found.transitions.remove(&name).unwrap_or_default();
        let events = found.events.remove(&name).unwrap_or_default();
        let rows = (transitions.len(), events.len());
        let is_there = rows == kind.rows();
        assert!(is_there || rows == (0, 0), "{name}: by halves, {rows:?}");
        // Whenever it was told: what failed is never there.
        if let Some(Told::Failed(_)) = entry.told() {
            assert!(!is_there, "{name}: told as failed, and there");
        }
        if !is_there {
            let is_acknowledged = matches!(told, Some(Told::Acknowledged(_)));
            assert!(!is_acknowledged, "{name}: acknowledged, and not there");
            continue;
        }
        // Each write that is there has raised the revision by one, and begun at the state that the one before it has left.
        let before = agent.last.replace(name.clone()).unwrap_or_default();
        agent.revision += 1;
        if kind == Kind::Step {
            let first = transitions.first().map(|row| row.before.as_str());
            assert_eq!(first, Some(before.as_str()), "{name}: the state before");
        }
        if let Some(Told::Acknowledged(written)) = entry.told() {
            let there = Written {
                revision: if kind.has_agent() { agent.revision } else { 0 },
                transition: transitions.first().map_or(0, |row| row.number),
                events,
            };
            assert_eq!(*written, there, "{name}: not as acknowledged");
        } else {
            kept += 1;
        }
    }
    for kind in Kind::ALL.into_iter().filter(|kind| kind.has_agent()) {
        let id = kind.agent(chapter);
        let there = found.agents.remove(&id);
        agents.entry(kind).or_default().check(&id, there);
    }
    kept
}

/// What the row of one agent must be after the writes of a chapter.
#[derive(Default)]
struct Agent {
    /// The last write that is there for certain, and its revision.
    last: Option<String>,
    revision: i64,
    /// The saves after it that may be there: they leave no row but the agent's. With the revision that was acknowledged after
    /// the snapshot.
    doubtful: Vec<(String, Option<i64>)>,
}

impl Agent {
    fn take_save(&mut self, name: &str, entry: &Entry, told: Option<&Told>) {
        match (told, entry.told()) {
            (Some(Told::Acknowledged(written)), _) => {
                let raised = written.revision - self.revision;
                let most = 1 + self.doubtful.len() as i64;
                assert!((1..=most).contains(&raised), "{name}: raised by {raised}");
                self.revision = written.revision;
                self.last = Some(name.to_owned());
                self.doubtful.clear();
            }
            (_, Some(Told::Failed(_))) => {}
            (_, Some(Told::Acknowledged(written))) => {
                let revision = Some(written.revision);
                self.doubtful.push((name.to_owned(), revision));
            }
            (_, Some(Told::Unknown) | None) => self.doubtful.push((name.to_owned(), None)),
        }
    }

    fn check(&self, id: &str, there: Option<(String, i64)>) {
        let certain = self.last.clone().map(|last| (last, self.revision));
        if there == certain {
            return;
        }
        let is_doubtful = there.as_ref().is_some_and(|(write, revision)| {
            let place = self.doubtful.iter().position(|(name, _)| name == write);
            let acknowledged = place.and_then(|place| self.doubtful[place].1);
            let most = place.map_or(0, |place| place as i64 + 1);
            (1..=most).contains(&(revision - self.revision))
                && acknowledged.is_none_or(|acknowledged| acknowledged == *revision)
        });
        let doubtful = &self.doubtful;
        assert!(
            is_doubtful,
            "{id} is {there:?}, not {certain:?}, nor one of {doubtful:?}"
        );
    }
}

/// How many writes there are of each end.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) acknowledged: usize,
    pub(super) failed: BTreeMap<String, usize>,
    pub(super) unknown: usize,
    /// Those of a process that was killed before it heard.
    pub(super) untold: usize,
}

impl Counts {
    pub(super) fn of<'l>(ledgers: impl Iterator<Item = &'l Ledger>) -> Self {
        let mut counts = Self::default();
        let entries = ledgers.flat_map(|ledger| ledger.chapters.values().flatten());
        for entry in entries {
            match entry.told() {
                Some(Told::Acknowledged(_)) => counts.acknowledged += 1,
                Some(Told::Failed(kind)) => *counts.failed.entry(kind.clone()).or_default() += 1,
                Some(Told::Unknown) => counts.unknown += 1,
                None => counts.untold += 1,
            }
        }
        counts
    }
}
