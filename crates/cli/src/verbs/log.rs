//! `history`, `events` and `search`.

use descartes_state::serde_json::json;
use descartes_state::{EventFilter, TransitionFilter};

use super::View;
use super::rows::{Found, Said};
use crate::arguments::{SearchArguments, SearchVerb};
use crate::failure::Failure;

pub(super) async fn history(view: &View<'_>, agent: &str) -> Result<(), Failure> {
    let filter = TransitionFilter::default().agent(agent);
    let page = view.store.transitions().list(&filter, &view.page).await?;
    if page.items.is_empty() && view.is_first && view.store.agents().get(agent).await?.is_none() {
        return Err(Failure::not_found("agent", agent));
    }
    view.output.page(&page, |transition| transition)
}

pub(super) async fn events(
    view: &View<'_>,
    session: &str,
    event_type: Option<&str>,
    actor: Option<&str>,
) -> Result<(), Failure> {
    let mut filter = of_type(event_type).session(session);
    if let Some(actor) = actor {
        filter = filter.actor(actor);
    }
    let page = view.store.events().list(&filter, &view.page).await?;
    // Events may name a session that was never opened, but then there are some.
    if page.items.is_empty() && view.is_first && view.store.sessions().get(session).await?.is_none()
    {
        return Err(Failure::not_found("session", session));
    }
    view.output.page(&page, Said)
}

pub(super) async fn search(view: &View<'_>, wanted: &SearchArguments) -> Result<(), Failure> {
    let mut filter = of_type(wanted.event_type.as_deref());
    if let Some(session) = &wanted.session {
        filter = filter.session(session);
    }
    let text = wanted.text.join(" ");
    let events = view.store.events();
    let page = if wanted.word_prefix {
        events.search_beginnings(&text, &filter, &view.page).await?
    } else {
        events.search(&text, &filter, &view.page).await?
    };
    view.output.page(&page, Found)
}

pub(super) async fn search_index(view: &View<'_>, wanted: SearchVerb) -> Result<(), Failure> {
    let events = view.store.events();
    let (sentence, done) = match wanted {
        SearchVerb::Rebuild => {
            events.rebuild_search().await?;
            ("the search index was made again", "rebuilt")
        }
        SearchVerb::Check => {
            events.check_search().await?;
            ("the search index is sound", "sound")
        }
    };
    view.output.done(sentence, &json!({ "search_index": done }))
}

fn of_type(event_type: Option<&str>) -> EventFilter {
    match event_type {
        Some(event_type) => EventFilter::default().event_type(event_type),
        None => EventFilter::default(),
    }
}
