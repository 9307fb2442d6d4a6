//! Pages: whole lists without duplicates or gaps, in both directions, also while rows are appended.

use descartes_state::serde_json::json;
use descartes_state::{
    AgentFilter, AnyStateStore, Cursor, EventFilter, Page, PageRequest, Session, SessionFilter,
    SnapshotFilter, StateStoreError, StoreOptions, TaskFilter, TimeRange, TransitionDraft,
    TransitionFilter, page::Order,
};

use descartes_state_testing::{Place, TestResult, agent, event, task};

const ROWS: usize = 12;

/// A store with as many rows in each aggregate; the number of each stands in its text.
async fn filled() -> Result<Vec<Place>, StateStoreError> {
    let places = Place::everywhere(StoreOptions::default()).await;
    for store in &places {
        store
            .transact(|transaction| {
                for number in 0..ROWS {
                    let id = format!("{number:02}");
                    transaction.agents().save(&agent(&id))?;
                    transaction.events().append(&event(&format!("{id} word")))?;
                    transaction.tasks().save(&task(&id))?;
                    transaction.sessions().start(&Session::new(&id, "a"))?;
                    transaction
                        .transitions()
                        .record(&TransitionDraft::new("a", "", &id))?;
                    let options = descartes_state::SnapshotOptions::default().description(&id);
                    transaction.snapshots().create("00", &options)?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(places)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum List {
    Agents,
    Transitions,
    Snapshots,
    Events,
    Search,
    Tasks,
    Sessions,
}

const LISTS: [List; 7] = [
    List::Agents,
    List::Transitions,
    List::Snapshots,
    List::Events,
    List::Search,
    List::Tasks,
    List::Sessions,
];

fn texts<T>(page: Page<T>, text: impl Fn(T) -> String) -> (Vec<String>, Option<Cursor>) {
    (page.items.into_iter().map(text).collect(), page.next)
}

impl List {
    /// The texts of a page, and where the next one starts.
    async fn page(
        self,
        store: &AnyStateStore,
        page: &PageRequest,
    ) -> Result<(Vec<String>, Option<Cursor>), StateStoreError> {
        Ok(match self {
            Self::Agents => {
                let rows = store.agents().list(&AgentFilter::default(), page).await?;
                texts(rows, |row| row.state.agent_id)
            }
            Self::Transitions => {
                let filter = TransitionFilter::default().agent("a");
                texts(store.transitions().list(&filter, page).await?, |row| {
                    row.transition.state_after
                })
            }
            Self::Snapshots => {
                let rows = store
                    .snapshots()
                    .list(&SnapshotFilter::default(), page)
                    .await?;
                texts(rows, |row| row.description.unwrap_or_default())
            }
            Self::Events => {
                let filter = EventFilter::default().session("session");
                texts(store.events().list(&filter, page).await?, |row| {
                    row.event.content.replace(" word", "")
                })
            }
            Self::Search => {
                let rows = store
                    .events()
                    .search("word", &EventFilter::default(), page)
                    .await?;
                texts(rows, |row| row.event.content.replace(" word", ""))
            }
            Self::Tasks => {
                let rows = store.tasks().list(&TaskFilter::default(), page).await?;
                texts(rows, |row| row.task.title)
            }
            Self::Sessions => {
                let rows = store
                    .sessions()
                    .list(&SessionFilter::default(), page)
                    .await?;
                texts(rows, |row| row.id)
            }
        })
    }

    /// What the whole list is, in this direction.
    fn whole(self, order: Order) -> Vec<String> {
        let mut whole: Vec<_> = (0..ROWS).map(|number| format!("{number:02}")).collect();
        if order == Order::Descending {
            whole.reverse();
        }
        whole
    }
}

#[tokio::test]
async fn pages_of_every_size_and_direction_make_the_whole_list() -> TestResult {
    for store in filled().await? {
        for list in LISTS {
            for order in [Order::Descending, Order::Ascending] {
                // One row, a divisor, none, all of them, more than all.
                for rows in [1, 4, 5, 12, 13] {
                    let mut seen = Vec::new();
                    let mut request = PageRequest::new(rows).order(order);
                    let mut pages = 0;
                    loop {
                        let (items, next) = list.page(&store, &request).await?;
                        pages += 1;
                        assert!(items.len() <= rows as usize);
                        assert!(!items.is_empty(), "{list:?}: an empty page after {seen:?}");
                        seen.extend(items);
                        let Some(next) = next else { break };
                        // As text and back, as a program keeps it.
                        request = request.after(next.to_string().parse()?);
                    }
                    assert_eq!(seen, list.whole(order), "{list:?} {order:?} {rows}");
                    assert_eq!(
                        pages,
                        ROWS.div_ceil(rows as usize),
                        "{list:?} {order:?} {rows}"
                    );
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_list_is_one_empty_page() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        for list in LISTS {
            assert_eq!(
                list.page(&store, &PageRequest::default()).await?,
                (Vec::new(), None)
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_follower_sees_every_row_appended_while_it_reads() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let filter = EventFilter::default();
        let mut request = PageRequest::new(3).order(Order::Ascending);
        let (mut sent, mut seen) = (Vec::new(), Vec::new());
        for round in 0..10 {
            let events: Vec<_> = (0..4)
                .map(|number| event(&format!("{round} {number}")))
                .collect();
            store.events().append_all(&events).await?;
            sent.extend(events);
            let page = store.events().list(&filter, &request).await?;
            seen.extend(page.items.into_iter().map(|row| row.event));
            // Fewer rows are read than come: there always is a next page.
            request = request.after(page.next.ok_or("the list ended too soon")?);
        }
        loop {
            let page = store.events().list(&filter, &request).await?;
            seen.extend(page.items.into_iter().map(|row| row.event));
            let Some(next) = page.next else { break };
            request = request.after(next);
        }
        assert_eq!(seen, sent);
    }
    Ok(())
}

#[tokio::test]
async fn rows_appended_meanwhile_move_no_page_of_the_newest() -> TestResult {
    for store in filled().await? {
        for list in LISTS {
            let (first, next) = list.page(&store, &PageRequest::new(5)).await?;
            let request = PageRequest::new(100).after(next.ok_or("one page only")?);
            let (before, _) = list.page(&store, &request).await?;
            store.events().append(&event("later word")).await?;
            store.tasks().save(&task("later")).await?;
            store
                .sessions()
                .save_if(&Session::new("later", "a"), Default::default())
                .await?;
            store
                .record_state_transition("a", "", "later", None)
                .await?;
            store
                .create_snapshot("00", Some("later".to_owned()))
                .await?;
            let (after, _) = list.page(&store, &request).await?;
            assert_eq!(after, before, "{list:?}");
            assert!(first.iter().all(|row| !after.contains(row)), "{list:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn rows_removed_meanwhile_leave_no_gap() -> TestResult {
    for store in filled().await? {
        let (_, next) = List::Agents.page(&store, &PageRequest::new(5)).await?;
        // The row that the cursor stands on goes, and one before it.
        store.delete_agent("04").await?;
        store.agents().purge("03", Default::default()).await?;
        let request = PageRequest::new(3).after(next.ok_or("one page only")?);
        assert_eq!(
            List::Agents.page(&store, &request).await?.0,
            ["05", "06", "07"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn agents_of_any_id_are_paged_without_loss() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let mut ids = [
            "%",
            ":",
            "a\u{1}",
            "a",
            "a%",
            "\u{e9}",
            "e\u{301}",
            "\u{1f980}",
            "i",
            "'\"",
            "\n",
        ];
        for id in ids {
            store.save_agent_state(&agent(id)).await?;
        }
        ids.sort_unstable();
        let mut seen = Vec::new();
        let mut request = PageRequest::new(1);
        loop {
            let (items, next) = List::Agents.page(&store, &request).await?;
            seen.extend(items);
            let Some(next) = next else { break };
            request = request.after(next.to_string().parse()?);
        }
        assert_eq!(seen, ids);
    }
    Ok(())
}

#[tokio::test]
async fn agents_of_a_time_are_paged_in_both_orders() -> TestResult {
    for store in filled().await? {
        for (number, id) in ["02", "05", "07", "09", "11"].into_iter().enumerate() {
            let mut state = agent(id);
            state.updated_at = 1_000 - i64::try_from(number)?;
            store.save_agent_state(&state).await?;
        }
        let recent = AgentFilter::default().updated(TimeRange::default().until(1_001));
        for order in [Order::Ascending, Order::Descending] {
            let mut seen = Vec::new();
            let mut request = PageRequest::new(2).order(order);
            loop {
                let page = store.agents().list(&recent, &request).await?;
                seen.extend(page.items.into_iter().map(|row| row.state.agent_id));
                let Some(next) = page.next else { break };
                request = request.after(next);
            }
            if order == Order::Descending {
                seen.reverse();
            }
            assert_eq!(seen, ["02", "05", "07", "09", "11"], "{order:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_cursor_of_another_list_or_direction_is_refused() -> TestResult {
    for store in filled().await? {
        for list in LISTS {
            let (_, next) = list.page(&store, &PageRequest::new(5)).await?;
            let next = next.ok_or("one page only")?;
            let other = if list == List::Agents {
                List::Tasks
            } else {
                List::Agents
            };
            let turned = match list {
                List::Agents => Order::Descending,
                _ => Order::Ascending,
            };
            let request = PageRequest::new(5).after(next);
            for result in [
                other.page(&store, &request).await,
                list.page(&store, &request.clone().order(turned)).await,
            ] {
                assert!(
                    matches!(
                        result,
                        Err(StateStoreError::InvalidInput {
                            field: "cursor",
                            ..
                        })
                    ),
                    "{list:?}: {result:?}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn sequence_numbers_rise_and_are_never_used_again() -> TestResult {
    for store in filled().await? {
        let all = PageRequest::new(100).order(Order::Ascending);
        let rows = store
            .events()
            .list(&EventFilter::default(), &all)
            .await?
            .items;
        let mut numbers: Vec<_> = rows.iter().map(|row| row.seq).collect();
        assert!(
            numbers.is_sorted_by(|one, other| one < other),
            "{numbers:?}"
        );
        store.events().purge_before(i64::MAX).await?;
        numbers.push(store.events().append(&event("after the purge")).await?);
        assert!(
            numbers.is_sorted_by(|one, other| one < other),
            "{numbers:?}"
        );
        let record = store
            .events()
            .list(&EventFilter::default(), &all)
            .await?
            .items;
        assert_eq!(json!(record[0])["seq"], json!(numbers.last()));
    }
    Ok(())
}

#[tokio::test]
async fn where_a_list_ended_it_is_followed_also_from_its_last_page_and_from_an_empty_one()
-> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let everything = EventFilter::default();
        let request = PageRequest::new(3).order(Order::Ascending);
        let events = store.events();
        assert_eq!(events.list(&everything, &request).await?.end, None);
        let mut seen = Vec::new();
        let mut end = None;
        for round in 0..4 {
            for number in 0..round {
                events.append(&event(&format!("{round} {number}"))).await?;
            }
            loop {
                let request = match &end {
                    Some(end) => request.clone().after(Clone::clone(end)),
                    None => request.clone(),
                };
                let page = events.list(&everything, &request).await?;
                let is_last = page.next.is_none();
                if !is_last {
                    assert_eq!(page.next, page.end);
                }
                end = page.end;
                seen.extend(page.items.into_iter().map(|record| record.event.content));
                if is_last {
                    break;
                }
            }
        }
        assert_eq!(seen, ["1 0", "2 0", "2 1", "3 0", "3 1", "3 2"]);
        // Agents too, by id.
        store.agents().save(&agent("a")).await?;
        let all = AgentFilter::default();
        let end = store
            .agents()
            .list(&all, &PageRequest::new(5))
            .await?
            .end
            .ok_or("no end")?;
        let follow = PageRequest::new(5).after(end.clone());
        let empty = store.agents().list(&all, &follow).await?;
        assert_eq!((empty.items.len(), empty.end), (0, Some(end)));
        store.agents().save(&agent("b")).await?;
        assert_eq!(store.agents().list(&all, &follow).await?.items.len(), 1);
    }
    Ok(())
}
