//! A store that grows by events alone.

use std::time::Instant;

use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{Durability, Event, EventFilter, PageRequest, SqliteStateStore, chrono::Utc};

use crate::Failure;
use crate::contents::Contents;
use crate::measure::{Size, scattered};
use crate::report::Report;
use crate::space;
use crate::stores::{Home, middle};

pub(crate) const SUBJECT: &str = "events";
/// Rows that one call of `append_all` takes.
const BULK: u64 = 10_000;
const PAGE: u32 = 100;

pub(crate) async fn grow(
    sizes: &[u64],
    contents: &Contents,
    report: &mut Report,
) -> Result<(), Failure> {
    let home = Home::new()?;
    let mut rows = Rows {
        contents,
        ids: Vec::new(),
    };
    for &size in sizes {
        eprintln!("{size} events");
        let at = Size {
            subject: SUBJECT,
            rows: size,
        };
        let store = home.open(Durability::Relaxed).await?;
        report.cost(rows.fill(&store, at).await?)?;
        // Closing moves the write-ahead log into the file.
        store.close().await?;

        let store = home.open(Durability::Relaxed).await?;
        report.space(space::of(&store, SUBJECT, SUBJECT, size, home.file_bytes()?).await?)?;
        read(&store, at, &rows, report).await?;
        report.cost(append(&store, at, "append, relaxed", &mut rows).await?)?;
        store.close().await?;

        report.cost(at.disk(home.directory()).await?)?;
        let store = home.open(Durability::Full).await?;
        report.cost(append(&store, at, "append, durable", &mut rows).await?)?;
        store.close().await?;
    }
    Ok(())
}

/// The rows that the store holds.
struct Rows<'c> {
    contents: &'c Contents,
    ids: Vec<Uuid>,
}

impl Rows<'_> {
    fn next(&mut self) -> Event {
        let row = self.ids.len() as u64;
        let id = Uuid::now_v7();
        self.ids.push(id);
        let step = self.contents.step(row);
        Event {
            id,
            event_type: step.event_type.clone(),
            timestamp: Utc::now().timestamp(),
            session_id: self.session(row),
            actor_type: step.actor_type,
            actor_id: step.actor.clone(),
            content: step.text.clone(),
            metadata: Some(json!({ "step": step.number })),
            git_commit: None,
        }
    }

    fn session(&self, row: u64) -> String {
        format!(
            "{}/{}",
            self.contents.step(row).run,
            self.contents.round(row)
        )
    }

    fn count(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Appends up to a size, with as many rows a call as `BULK`; the cost is of one row.
    async fn fill(
        &mut self,
        store: &SqliteStateStore,
        at: Size,
    ) -> Result<crate::measure::Cost, Failure> {
        let mut times = Vec::new();
        while self.count() < at.rows {
            let rows = BULK.min(at.rows - self.count());
            let events: Vec<Event> = (0..rows).map(|_| self.next()).collect();
            let start = Instant::now();
            store.events().append_all(&events).await?;
            times.push(start.elapsed().as_secs_f64() * 1e6 / rows as f64);
        }
        Ok(at.summary("append_all of 10,000, relaxed, a row", times, 1))
    }
}

async fn append(
    store: &SqliteStateStore,
    at: Size,
    operation: &'static str,
    rows: &mut Rows<'_>,
) -> Result<crate::measure::Cost, Failure> {
    at.cost(operation, async |_| {
        store.events().append(&rows.next()).await?;
        Ok(1)
    })
    .await
}

async fn read(
    store: &SqliteStateStore,
    at: Size,
    rows: &Rows<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    let events = store.events();
    let all = EventFilter::default();
    let newest = PageRequest::new(PAGE);

    let load = at.cost("load by key", async |number| {
        // The position is below the number of rows, which is a usize.
        let id = rows.ids[scattered(number, rows.count()) as usize];
        Ok(events.get(&id).await?.map_or(0, |_| 1))
    });
    report.cost(load.await?)?;
    let page = at.cost("100 newest", async |_| {
        Ok(events.list(&all, &newest).await?.items.len() as u64)
    });
    report.cost(page.await?)?;
    let cursors = middle(at.rows, async |page| {
        let turn = events.list(&all, page).await?;
        Ok((turn.items.len(), turn.next))
    })
    .await?;
    let page = at.cost("100 in the middle, by cursor", async |number| {
        let cursor = &cursors[scattered(number, cursors.len() as u64) as usize];
        let page = PageRequest::new(PAGE).after(cursor.clone());
        Ok(events.list(&all, &page).await?.items.len() as u64)
    });
    report.cost(page.await?)?;
    let page = at.cost("newest 100 of a session", async |number| {
        let session = EventFilter::default().session(rows.session(scattered(number, at.rows)));
        Ok(events.list(&session, &newest).await?.items.len() as u64)
    });
    report.cost(page.await?)?;
    for (operation, word) in [
        (
            "search, newest 100 of a rare word",
            &rows.contents.rare_word,
        ),
        (
            "search, newest 100 of a common word",
            &rows.contents.common_word,
        ),
    ] {
        let search = at.cost(operation, async |_| {
            Ok(events.search(word, &all, &newest).await?.items.len() as u64)
        });
        report.cost(search.await?)?;
    }
    let count = at.cost("count of all", async |_| {
        events.count(&all).await?;
        Ok(1)
    });
    report.cost(count.await?)?;
    Ok(())
}
