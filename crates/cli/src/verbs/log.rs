//! `history`, `events` and `search`.

use descartes_state::{EventFilter, TransitionFilter};

use super::View;
use super::rows::{Found, Said};
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

pub(super) async fn search(
    view: &View<'_>,
    text: &str,
    session: Option<&str>,
    event_type: Option<&str>,
) -> Result<(), Failure> {
    let mut filter = of_type(event_type);
    if let Some(session) = session {
        filter = filter.session(session);
    }
    let page = view
        .store
        .events()
        .search(text, &filter, &view.page)
        .await?;
    view.output.page(&page, Found)
}

fn of_type(event_type: Option<&str>) -> EventFilter {
    match event_type {
        Some(event_type) => EventFilter::default().event_type(event_type),
        None => EventFilter::default(),
    }
}
