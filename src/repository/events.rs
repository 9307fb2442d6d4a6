//! The events: the list of methods.

use uuid::Uuid;

use super::methods::repository;
use super::sqlite::Words;
use crate::models::{AppendOptions, Event, EventFilter, EventRecord, NewEvent};
use crate::numbers::Seq;
use crate::page::{Page, PageRequest};

macro_rules! event_methods {
    ($make:ident) => {
        $make! {
            events: Events, EventBatch, EventReader, EventRepository, EventTable, "The events";
            reads {
                /// Returns an event; `None` where there is none.
                ///
                /// # Errors
                /// `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// # let event = descartes_state_testing::event("what happened");
                    /// store.events().append(&event).await?;
                    /// let record = store.events().get(&event.id).await?.expect("it was appended");
                    /// assert_eq!(record.event, event);
                    /// # Ok(()) });
                    /// ```
                ]
                one fn get(id: &Uuid) -> Option<EventRecord> {
                    |_scope| id.to_string() => |table, id| table.find(id)
                }

                /// Returns the ids that are stored of those from `first` to `last`, both included, in their order: at most `rows`.
                /// Nothing else of the events is read. Ids of version 7 are in the order of their making.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for no rows, or more than a page may have; `Corrupt` for an id that is none.
                example [
                    /// ```
                    /// use descartes_state::uuid::Uuid;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let event = descartes_state_testing::event("what happened");
                    /// store.events().append(&event).await?;
                    /// let ids = store.events().ids_between(&Uuid::nil(), &Uuid::max(), 10).await?;
                    /// assert_eq!(ids, [event.id]);
                    /// # Ok(()) });
                    /// ```
                ]
                one fn ids_between(first: &Uuid, last: &Uuid, rows: u32) -> Vec<Uuid> {
                    |_scope| (first.to_string(), last.to_string(), rows)
                        => |table, (first, last, rows)| table.ids_between(first, last, *rows)
                }

                /// Returns a page of events, newest first unless the page asks for another order.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter or page, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// use descartes_state::page::Order;
                    /// use descartes_state::{EventFilter, PageRequest};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let of_session = EventFilter::default().session("session_001");
                    /// let oldest = PageRequest::new(100).order(Order::Ascending);
                    /// for record in store.events().list(&of_session, &oldest).await?.items {
                    ///     println!("{}: {}", record.seq, record.event.content);
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                page fn list(filter: &EventFilter, page: &PageRequest) -> Page<EventRecord> {
                    |_scope| (filter.clone(), page.clone()) => |table, (filter, page)| table.list(filter, page)
                }

                /// Returns a page of the events whose content holds every word of the text, newest first unless the page asks
                /// for another order.
                ///
                /// The text is plain words, whatever characters it holds: case and accents don't count, and words that are
                /// written together (`a-b`, `it's`, `服务端`) must stand together. Symbols and emoji are words; a text without a
                /// letter, digit or symbol finds nothing. In JSON the decoded strings are searched, and escape sequences of a
                /// terminal hide nothing. Of a content with more than 16 MiB of words, or 400,000 different ones, those of its
                /// beginning are found.
                ///
                /// [`search_beginnings`](Self::search_beginnings) finds words by their first letters.
                ///
                /// # Errors
                /// `TooLarge` for a text above [`Limits::search_bytes`](crate::Limits::search_bytes) (4 KiB), `InvalidInput` or
                /// `TooLarge` for a bad filter or page, `Corrupt` for a row that can't be decoded, `SearchIndexDamaged` where the
                /// index can't be used.
                example [
                    /// ```
                    /// use descartes_state::{EventFilter, PageRequest};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.events().append(&descartes_state_testing::event("The task is complete")).await?;
                    /// let everywhere = EventFilter::default();
                    /// let hits = store.events().search("task COMPLETE", &everywhere, &PageRequest::new(10)).await?;
                    /// assert_eq!(hits.items.len(), 1);
                    /// # Ok(()) });
                    /// ```
                ]
                search fn search(text: &str, filter: &EventFilter, page: &PageRequest) -> Page<EventRecord> {
                    |scope| (scope.limits.search(text)?.to_owned(), filter.clone(), page.clone())
                        => |table, (text, filter, page)| table.search(text, Words::Whole, filter, page)
                }

                /// As [`search`](Self::search), where each word of the text may be the beginning of a longer one.
                ///
                /// # Errors
                /// As [`search`](Self::search).
                example [
                    /// ```
                    /// use descartes_state::{EventFilter, PageRequest};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.events().append(&descartes_state_testing::event("The task is complete")).await?;
                    /// let everywhere = EventFilter::default();
                    /// let hits = store.events().search_beginnings("comp ta", &everywhere, &PageRequest::new(10)).await?;
                    /// assert_eq!(hits.items.len(), 1);
                    /// # Ok(()) });
                    /// ```
                ]
                search fn search_beginnings(text: &str, filter: &EventFilter, page: &PageRequest) -> Page<EventRecord> {
                    |scope| (scope.limits.search(text)?.to_owned(), filter.clone(), page.clone())
                        => |table, (text, filter, page)| table.search(text, Words::Beginnings, filter, page)
                }

                /// Returns how many events the filter picks, in rows.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter.
                example [
                    /// ```
                    /// use descartes_state::EventFilter;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let notes = store.events().count(&EventFilter::default().event_type("note")).await?;
                    /// assert_eq!(notes, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                many fn count(filter: &EventFilter) -> i64 {
                    |_scope| filter.clone() => |table, filter| table.count(filter)
                }
            }
            writes {
                /// Appends an event; returns its sequence number. An event that is stored already, with the same content, is
                /// left as it is.
                ///
                /// # Errors
                /// `Conflict` where the id holds other content; `InvalidInput` or `TooLarge` for a bad field.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// # let event = descartes_state_testing::event("what happened");
                    /// let seq = store.events().append(&event).await?;
                    /// assert_eq!(store.events().append(&event).await?, seq);
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn append(event: &Event) -> Seq {
                    |scope| NewEvent::prepare(scope, event)? => |table, row| table.put(row)
                }

                /// As [`append`](Self::append), with metadata that is kept as the text that it is, or without being found by the
                /// search.
                ///
                /// # Errors
                /// As [`append`](Self::append), and `InvalidInput` for a text that is no JSON, or an event that has metadata of
                /// its own.
                example [
                    /// ```
                    /// # use descartes_state::AppendOptions;
                    /// # descartes_state_testing::example(async |store| {
                    /// # let mut event = descartes_state_testing::event("what happened");
                    /// # event.metadata = None;
                    /// let metadata = r#"{"price": 1.10, "account": 12345678901234567890123}"#;
                    /// let options = AppendOptions::default().metadata_text(metadata);
                    /// store.events().append_with(&event, options).await?;
                    /// let record = store.events().get(&event.id).await?.expect("it was appended");
                    /// assert_eq!(record.metadata_text.as_deref(), Some(metadata));
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn append_with(event: &Event, options: AppendOptions<'_>) -> Seq {
                    |scope| NewEvent::prepare_with(scope, event, options)? => |table, row| table.put(row)
                }

                /// Appends many events in their order; returns the sequence number of each. The store's handle appends all or
                /// none; within a transaction of the caller's, an error leaves those before it to be rolled back by the caller.
                ///
                /// # Errors
                /// As [`append`](Self::append), and `TooLarge` above [`Limits::bulk_rows`](crate::Limits::bulk_rows) (100,000).
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// # let events = ["one", "two"].map(descartes_state_testing::event);
                    /// let numbers = store.events().append_all(&events).await?;
                    /// assert!(numbers[0] < numbers[1]);
                    /// # Ok(()) });
                    /// ```
                ]
                FewStatements fn append_all(events: &[Event]) -> Vec<Seq> {
                    |scope| NewEvent::prepare_all(scope, events)? => |table, rows| table.put_all(rows)
                }

                /// As [`append_all`](Self::append_all), each with what is special about it.
                ///
                /// # Errors
                /// As [`append_with`](Self::append_with), and `TooLarge` above [`Limits::bulk_rows`](crate::Limits::bulk_rows)
                /// (100,000).
                example [
                    /// ```
                    /// # use descartes_state::AppendOptions;
                    /// # descartes_state_testing::example(async |store| {
                    /// # let [heard, drawn] = ["words", "| | |"].map(|content| {
                    /// #     let mut event = descartes_state_testing::event(content);
                    /// #     event.metadata = None;
                    /// #     event
                    /// # });
                    /// let priced = AppendOptions::default().metadata_text(r#"{"price": 1.10}"#);
                    /// let unsearched = AppendOptions::default().searchable(false);
                    /// let numbers = store.events().append_all_with(&[(&heard, priced), (&drawn, unsearched)]).await?;
                    /// assert!(numbers[0] < numbers[1]);
                    /// # Ok(()) });
                    /// ```
                ]
                FewStatements fn append_all_with(events: &[(&Event, AppendOptions<'_>)]) -> Vec<Seq> {
                    |scope| NewEvent::prepare_all_with(scope, events)? => |table, rows| table.put_all(rows)
                }

                /// Removes the events whose `timestamp` is before this Unix second, from the search too; returns how many, in
                /// rows.
                ///
                /// # Errors
                /// Only the database's.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// let removed = store.events().purge_before(1_700_000_000).await?;
                    /// assert_eq!(removed, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                Bulk fn purge_before(seconds: i64) -> usize {
                    |_scope| seconds => |table, seconds| table.purge_before(*seconds)
                }
            }
        }
    };
}
pub(crate) use event_methods;

event_methods!(repository);
