//! `copy`: a whole store, or what is under one prefix, into another one.

use descartes_state::serde_json::{Value, json};
use descartes_state::{AnyStateStore, CopyOptions, CopyProgress, CopyReport, OpenMode, copy_store};
use indicatif::{ProgressBar, ProgressStyle};

use super::options;
use crate::arguments::{Common, CopyArguments};
use crate::failure::Failure;
use crate::output::Cell::Whole;
use crate::output::Output;
use crate::place::Place;

pub(super) async fn copy(
    common: &Common,
    wanted: &CopyArguments,
    output: Output,
) -> Result<(), Failure> {
    let from = open(common, &wanted.from, "--from", OpenMode::Existing).await?;
    let to = open(common, &wanted.to, "--to", OpenMode::Create).await?;
    to.initialize().await?;
    let bar = bar(output);
    let shown = bar.clone();
    let mut options = CopyOptions::default()
        .replace_nul(wanted.replace_nul)
        .on_progress(move |progress| show(&shown, progress));
    if let Some(prefix) = &common.prefix {
        options = options.prefix(prefix);
    }
    let copied = copy_store(&from, &to, options).await;
    bar.finish_and_clear();
    let report = copied?;
    // What is in the log yet goes into the file, if it is one: that alone is the store then.
    to.close().await?;
    tell(
        &report,
        output,
        &wanted.from.shown(&from),
        &wanted.to.shown(&to),
    )
}

async fn open(
    common: &Common,
    place: &Place,
    option: &str,
    mode: OpenMode,
) -> Result<AnyStateStore, Failure> {
    let options = options(common, place, mode).allow_network(mode == OpenMode::Existing);
    let store = AnyStateStore::open(place, options).await;
    store.map_err(|error| Failure::opening(error, place, option))
}

/// Returns a bar that is drawn on a terminal and nowhere else.
fn bar(output: Output) -> ProgressBar {
    if output.is_json() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len} rows, {eta}");
    match style {
        Ok(style) => bar.with_style(style),
        // The template is a constant, which the tests show.
        Err(_) => bar,
    }
}

fn show(bar: &ProgressBar, progress: &CopyProgress) {
    let doing = match progress.is_verifying {
        true => "checking",
        false => "copying",
    };
    bar.set_message(format!("{doing} {}", progress.table));
    if progress.total > 0 {
        bar.set_length(progress.total);
    }
    bar.set_position(progress.rows);
}

fn tell(report: &CopyReport, output: Output, from: &str, to: &str) -> Result<(), Failure> {
    if output.is_json() {
        let tables: Vec<Value> = report
            .tables
            .iter()
            .map(|table| {
                json!({
                    "table": table.table,
                    "rows": table.rows,
                    "copied": table.copied,
                    "sha256": table.sha256,
                })
            })
            .collect();
        return output.document(&json!({
            "from": from,
            "to": to,
            "tables": tables,
            "replaced_nul": report.replaced_nul,
        }));
    }
    let rows = report.tables.iter().map(|table| {
        vec![
            Whole(table.table.to_owned()),
            Whole(table.rows.to_string()),
            Whole(table.copied.to_string()),
            Whole(table.sha256.clone()),
        ]
    });
    output.table(&["TABLE", "ROWS", "COPIED", "SHA-256"], rows)?;
    if report.replaced_nul > 0 {
        output.note(&format!(
            "U+FFFD took the place of NUL characters in {} texts",
            report.replaced_nul
        ));
    }
    output.note(&format!("{from} and {to} hold the same"));
    Ok(())
}
