//! The verbs: each opens the store, does one thing, and shows what came of it.

mod agents;
mod copy;
mod lists;
mod log;
mod migrate;
mod rows;
mod run;
mod snapshots;

use descartes_state::{AnyStateStore, OpenMode, PageRequest, StoreOptions, page::Order};

use crate::Exit;
use crate::arguments::{
    self, AgentsVerb, Arguments, Common, MigrateVerb, SearchArguments, SearchVerb, SessionsVerb,
    SnapshotsVerb, TasksVerb, Verb,
};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::place::Place;

/// Does what the arguments ask for.
pub(crate) async fn perform(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let common = &arguments.common;
    match &arguments.verb {
        Verb::Run(wanted) => return run::run(common, wanted, *output).await,
        Verb::Migrate(MigrateVerb::Run) => return Ok(migrate::run(common, *output).await?.into()),
        Verb::Copy(wanted) => {
            copy::copy(common, wanted, *output).await?;
            return Ok(Exit::from(0));
        }
        _ => {}
    }
    let options =
        options(common, &common.db, OpenMode::Existing).allow_network(is_reading(&arguments.verb));
    let store = open_with(common, options).await?;
    let view = View {
        store: &store,
        page: page(common),
        is_first: common.after.is_none(),
        output: *output,
    };
    show(&arguments.verb, &view).await?;
    // What was written is on disk. Closing would also move the log into the file, and so wait for whoever writes.
    Ok(Exit::from(0))
}

/// What every verb but `run` works with.
struct View<'a> {
    store: &'a AnyStateStore,
    page: PageRequest,
    is_first: bool,
    output: Output,
}

async fn show(verb: &Verb, view: &View<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Agents(AgentsVerb::List {
            status,
            deleted,
            descending,
        }) => agents::list(view, status.as_deref(), *deleted, *descending).await,
        Verb::Agents(AgentsVerb::Show { agent }) => agents::show(view, agent).await,
        Verb::History { agent } => log::history(view, agent).await,
        Verb::Events {
            session,
            event_type,
            actor,
        } => log::events(view, session, event_type.as_deref(), actor.as_deref()).await,
        Verb::Search(wanted) => match wanted.index {
            Some(index) => log::search_index(view, index).await,
            None => log::search(view, wanted).await,
        },
        Verb::Tasks(TasksVerb::List {
            status,
            assigned_to,
        }) => lists::tasks(view, *status, assigned_to.as_deref()).await,
        Verb::Sessions(SessionsVerb::List { agent, status }) => {
            lists::sessions(view, agent.as_deref(), *status).await
        }
        Verb::Sessions(SessionsVerb::Sweep { silent_for }) => lists::sweep(view, *silent_for).await,
        Verb::Snapshots(SnapshotsVerb::Create { agent, description }) => {
            snapshots::create(view, agent, description.as_deref()).await
        }
        Verb::Snapshots(SnapshotsVerb::List { agent }) => {
            snapshots::list(view, agent.as_deref()).await
        }
        Verb::Snapshots(SnapshotsVerb::Restore {
            snapshot,
            if_revision,
        }) => snapshots::restore(view, snapshot, *if_revision).await,
        Verb::Migrate(MigrateVerb::Status) => migrate::status(view).await,
        Verb::Migrate(MigrateVerb::Revert { yes }) => migrate::revert(view, *yes).await,
        Verb::Run(_) | Verb::Copy(_) | Verb::Migrate(MigrateVerb::Run) => {
            Err(Failure::new(Kind::Other, "this verb opens its own store"))
        }
    }
}

/// Opens the store that the arguments name, under their prefix.
pub(crate) async fn open(common: &Common, mode: OpenMode) -> Result<AnyStateStore, Failure> {
    open_with(common, options(common, &common.db, mode)).await
}

fn options(common: &Common, place: &Place, mode: OpenMode) -> StoreOptions {
    let options = StoreOptions::default()
        .mode(mode)
        .busy_timeout(common.timeout);
    match place.file() {
        Some(_) => options,
        // For so long a call waits for a server that is away.
        None => options.acquire_timeout(common.timeout),
    }
}

/// Returns whether a verb only reads: such a one opens a store wherever it lies.
fn is_reading(verb: &Verb) -> bool {
    !matches!(
        verb,
        Verb::Run(_)
            | Verb::Copy(_)
            | Verb::Migrate(MigrateVerb::Run | MigrateVerb::Revert { .. })
            | Verb::Sessions(SessionsVerb::Sweep { .. })
            | Verb::Snapshots(SnapshotsVerb::Create { .. } | SnapshotsVerb::Restore { .. })
            | Verb::Search(SearchArguments {
                index: Some(SearchVerb::Rebuild),
                ..
            })
    )
}

async fn open_with(common: &Common, options: StoreOptions) -> Result<AnyStateStore, Failure> {
    let store = AnyStateStore::open(&common.db, options)
        .await
        .map_err(|error| {
            Failure::opening(error, &common.db, "--db").named(arguments::DATABASE, &common.db)
        })?;
    let prefix = common.prefix.as_deref().unwrap_or_default();
    store
        .try_with_prefix(prefix)
        .map_err(|error| Failure::from(error).named(arguments::PREFIX, prefix))
}

fn page(common: &Common) -> PageRequest {
    let mut page = PageRequest::new(common.limit);
    if common.oldest_first {
        page = page.order(Order::Ascending);
    }
    match &common.after {
        Some(cursor) => page.after(cursor.clone()),
        None => page,
    }
}
