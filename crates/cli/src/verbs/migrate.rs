//! `migrate status`, `migrate run` and `migrate revert`.

use descartes_state::OpenMode;
use descartes_state::migrations::Revert;
use descartes_state::serde_json::{self, Map, Value, json};

use super::{View, open};
use crate::arguments::Common;
use crate::failure::{Failure, Kind};
use crate::output::Cell::{self, Long, Whole};
use crate::output::Output;
use crate::text::local_time;

pub(super) async fn status(view: &View<'_>) -> Result<(), Failure> {
    let applied = view.store.migrations().applied().await?;
    let pending = view.store.migrations().pending().await?;
    if view.output.is_json() {
        return view.output.document(&json!({
            "applied": serde_json::to_value(&applied)?,
            "pending": serde_json::to_value(&pending)?,
        }));
    }
    let rows = applied.iter().map(|migration| {
        let applied = local_time(migration.applied_at);
        cells(
            migration.version,
            &migration.name,
            applied,
            &migration.description,
        )
    });
    let lacking = pending.iter().map(|migration| {
        let applied = "no".to_owned();
        cells(
            migration.version,
            &migration.name,
            applied,
            &migration.description,
        )
    });
    let rows = rows.chain(lacking);
    view.output
        .table(&["VERSION", "NAME", "APPLIED", "DESCRIPTION"], rows)
}

fn cells(version: i64, name: &str, applied: String, description: &str) -> Vec<Cell> {
    vec![
        Whole(format!("{version:04}")),
        Whole(name.to_owned()),
        Whole(applied),
        Long(description.to_owned()),
    ]
}

/// Runs what is missing: the one verb beside `run` that makes a store.
pub(super) async fn run(common: &Common, output: Output) -> Result<u8, Failure> {
    let store = open(common, OpenMode::Create).await?;
    let lacked = store.migrations().pending().await?;
    store.initialize().await?;
    let sentence = match lacked.len() {
        0 => "the database is up to date".to_owned(),
        1 => "1 migration applied".to_owned(),
        many => format!("{many} migrations applied"),
    };
    let versions: Vec<i64> = lacked.iter().map(|migration| migration.version).collect();
    output.done(&sentence, &json!({ "applied": versions }))?;
    Ok(0)
}

pub(super) async fn revert(view: &View<'_>, yes: bool) -> Result<(), Failure> {
    let migrations = view.store.migrations();
    if yes {
        let revert = migrations.revert().await?;
        let name = name(&revert);
        if view.output.is_json() {
            return view.output.document(&described(&revert, true)?);
        }
        tables(view, &revert)?;
        view.output
            .note(&format!("{name} was reverted, with these rows"));
        return Ok(());
    }
    let revert = migrations.preview_revert().await?;
    if view.output.is_json() {
        view.output.document(&described(&revert, false)?)?;
    } else {
        tables(view, &revert)?;
    }
    let message = format!(
        "nothing was changed: reverting {} takes {} rows of every prefix; add --yes to do it",
        name(&revert),
        revert.rows.iter().map(|(_, rows)| rows).sum::<i64>()
    );
    Err(Failure::new(Kind::Unconfirmed, message))
}

fn name(revert: &Revert) -> String {
    format!("{:04}_{}", revert.migration.version, revert.migration.name)
}

fn tables(view: &View<'_>, revert: &Revert) -> Result<(), Failure> {
    let rows = revert
        .rows
        .iter()
        .map(|(table, rows)| vec![Whole(table.clone()), Whole(rows.to_string())]);
    view.output.table(&["TABLE", "ROWS"], rows)
}

fn described(revert: &Revert, is_done: bool) -> Result<Value, Failure> {
    let rows: Map<String, Value> = revert
        .rows
        .iter()
        .map(|(table, rows)| (table.clone(), json!(rows)))
        .collect();
    Ok(json!({
        "reverted": is_done,
        "migration": serde_json::to_value(&revert.migration)?,
        "rows": rows,
    }))
}
