//! The events that a search finds.
//!
//! One statement finds them where the words alone decide, planned for these words. Where places matter (`it's` is two words, one after the other), where a word is too long for a vector, and where a row has no vector,
//! the rows that may match are asked once more, as recent ones are on SQLite.

use std::convert::identity;

use diesel::dsl::{max, min};
use diesel::expression::{ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Bool, Text};

use super::dialect::Connection;
use super::event_filter::{Question, restricted};
use super::limited::limited;
use super::words::{WORD_BYTES, namespace_word, shorten};
use crate::error::StateStoreError;
use crate::models::{EventRecord, EventRow, Scope};
use crate::namespace::Namespace;
use crate::page::{Order, fetch};
use crate::read_budget::ReadBudget;
use crate::repository::Words;
use crate::repository::sqlite::recent::{Recent, words_of};
use crate::repository::sqlite::words::Wanted;
use crate::schema::events;

/// Whether an event's words match a query, or it has none.
#[derive(Debug, Clone, QueryId)]
struct MayMatch {
    query: String,
}

impl Expression for MayMatch {
    type SqlType = Bool;
}

impl AppearsOnTable<events::table> for MayMatch {}
impl<Grouping> ValidGrouping<Grouping> for MayMatch {
    type IsAggregate = is_aggregate::Never;
}

impl QueryFragment<Pg> for MayMatch {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Planned for these words: rare ones are found by the index, and common ones among the newest rows.
        pass.unsafe_to_cache_prepared();
        pass.push_sql("(\"events\".\"search_words\" @@ ");
        pass.push_bind_param::<Text, String>(&self.query)?;
        pass.push_sql("::tsquery OR \"events\".\"search_words\" IS NULL)");
        Ok(())
    }
}

/// Whether an event has no words.
#[derive(Debug, Clone, Copy, QueryId)]
struct HasNoWords;

impl Expression for HasNoWords {
    type SqlType = Bool;
}

impl AppearsOnTable<events::table> for HasNoWords {}
impl SelectableExpression<events::table> for HasNoWords {}
impl<Grouping> ValidGrouping<Grouping> for HasNoWords {
    type IsAggregate = is_aggregate::Never;
}

impl QueryFragment<Pg> for HasNoWords {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_sql("(\"events\".\"search_words\" IS NULL)");
        Ok(())
    }
}

/// A query of words as PostgreSQL reads it, and whether what it finds surely matches.
struct WordQuery {
    text: String,
    is_exact: bool,
}

impl WordQuery {
    /// Returns the query, or `None` where nothing that was typed holds a word.
    fn of(
        wanted: &Wanted,
        words: Words,
        namespace: &Namespace,
    ) -> Result<Option<Self>, StateStoreError> {
        let mut parts = vec![quoted(&namespace_word(namespace.as_str()))];
        let mut is_exact = true;
        for typed in &wanted.typed {
            let mut phrase = words_of(typed)?;
            // A stored word that was cut may be shorter by a part of a character.
            let is_whole = |word: &String| word.len() + 3 < WORD_BYTES;
            is_exact &= phrase.len() <= 1 && phrase.iter().all(is_whole);
            phrase.iter_mut().for_each(shorten);
            let last = phrase.len().saturating_sub(1);
            for (place, word) in phrase.iter().enumerate() {
                let mut part = quoted(word);
                if words == Words::Beginnings && place == last {
                    part.push_str(":*");
                }
                parts.push(part);
            }
        }
        Ok((parts.len() > 1).then(|| Self {
            text: parts.join(" & "),
            is_exact,
        }))
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}

/// How many rows of the log are looked at first, and how many times as many each time after that: a common word is among the
/// newest.
const WINDOW: i64 = 4096;
const GROWTH: i64 = 64;
/// The fewest that are asked for at once.
const CANDIDATES: usize = 64;

/// Returns the events that a search finds, and one more than the page holds where there is one.
pub(super) fn find_words(
    connection: &mut Connection,
    scope: &Scope,
    _: Option<&ReadBudget>,
    question: &Question<'_>,
) -> Result<Vec<EventRecord>, StateStoreError> {
    let Some(wanted) = Wanted::of(question.text, question.words) else {
        return Ok(Vec::new());
    };
    let Some(query) = WordQuery::of(&wanted, question.words, &scope.namespace)? else {
        return Ok(Vec::new());
    };
    if query.is_exact
        && let Some(found) = find_exactly(connection, scope, &query, question)?
    {
        return Ok(found);
    }
    let ends = events::table
        .filter(events::namespace.eq(scope.namespace.as_str()))
        .select((min(events::seq), max(events::seq)));
    let (Some(oldest), Some(newest)) = ends.get_result::<(Option<i64>, Option<i64>)>(connection)?
    else {
        return Ok(Vec::new());
    };
    let bounds = question.bounds;
    let (mut first, mut last) = match (bounds.order, bounds.after) {
        (_, None) => (oldest, newest),
        (Order::Descending, Some(seq)) => (oldest, newest.min(seq.saturating_sub(1))),
        (Order::Ascending, Some(seq)) => (oldest.max(seq.saturating_add(1)), newest),
    };
    if let (Order::Ascending, Some(until)) = (bounds.order, bounds.until) {
        last = last.min(until);
    }
    let mut hits = Hits {
        connection,
        scope,
        question,
        wanted: &wanted,
        query: &query,
        found: Vec::new(),
    };
    let mut width = WINDOW;
    while first <= last && hits.missing() > 0 {
        match bounds.order {
            Order::Descending => {
                let from = last.saturating_sub(width - 1).max(first);
                hits.find_within((from, last))?;
                last = from.saturating_sub(1);
            }
            Order::Ascending => {
                let until = first.saturating_add(width - 1).min(last);
                hits.find_within((first, until))?;
                first = until.saturating_add(1);
            }
        }
        width = width.saturating_mul(GROWTH);
    }
    Ok(hits.found)
}

/// Returns what a search finds in one statement; `None` where a row has to be asked once more.
fn find_exactly(
    connection: &mut Connection,
    scope: &Scope,
    query: &WordQuery,
    question: &Question<'_>,
) -> Result<Option<Vec<EventRecord>>, StateStoreError> {
    let query = query.text.clone();
    let rows = events::table
        .filter(MayMatch { query })
        .select((EventRow::as_select(), HasNoWords))
        .into_boxed();
    let mut rows = restricted!(rows, scope, question.filter, identity, false);
    let bounds = question.bounds;
    if let (Order::Ascending, Some(until)) = (bounds.order, bounds.until) {
        rows = rows.filter(events::seq.le(until));
    }
    rows = match (bounds.order, bounds.after) {
        (Order::Descending, None) => rows.order(events::seq.desc()),
        (Order::Descending, Some(seq)) => {
            rows.filter(events::seq.lt(seq)).order(events::seq.desc())
        }
        (Order::Ascending, None) => rows.order(events::seq.asc()),
        (Order::Ascending, Some(seq)) => rows.filter(events::seq.gt(seq)).order(events::seq.asc()),
    };
    let rows = limited(rows, fetch(bounds.rows));
    let mut found = Vec::new();
    for (row, has_no_words) in rows.load::<(EventRow, bool)>(connection)? {
        if has_no_words {
            return Ok(None);
        }
        found.push(EventRow::decode(row, scope)?);
    }
    Ok(Some(found))
}

/// A search under way.
struct Hits<'h> {
    connection: &'h mut Connection,
    scope: &'h Scope,
    question: &'h Question<'h>,
    wanted: &'h Wanted,
    query: &'h WordQuery,
    found: Vec<EventRecord>,
}

impl Hits<'_> {
    /// Returns how many rows the page still lacks.
    fn missing(&self) -> usize {
        let most = self.question.bounds.rows.saturating_add(1);
        most.saturating_sub(self.found.len())
    }

    /// Finds those of a stretch of the log, in the order of the page.
    fn find_within(&mut self, (mut first, mut last): (i64, i64)) -> Result<(), StateStoreError> {
        while first <= last && self.missing() > 0 {
            let most = self.missing().max(CANDIDATES);
            let candidates = self.candidates((first, last), most)?;
            let numbers = matching(self.connection, self.wanted, self.query, &candidates)?;
            self.load(&numbers)?;
            match candidates.last() {
                Some((seq, _)) if candidates.len() >= most => match self.question.bounds.order {
                    Order::Descending => last = seq.saturating_sub(1),
                    Order::Ascending => first = seq.saturating_add(1),
                },
                _ => break,
            }
        }
        Ok(())
    }

    /// Returns those that may match, each with whether it has no words.
    fn candidates(
        &mut self,
        (first, last): (i64, i64),
        most: usize,
    ) -> Result<Vec<(i64, bool)>, StateStoreError> {
        let query = self.query.text.clone();
        let candidates = events::table
            .filter(MayMatch { query })
            .filter(events::seq.ge(first))
            .filter(events::seq.le(last))
            .select((events::seq, HasNoWords))
            .into_boxed();
        let filter = self.question.filter;
        let candidates = restricted!(candidates, self.scope, filter, identity, false);
        let candidates = match self.question.bounds.order {
            Order::Descending => candidates.order(events::seq.desc()),
            Order::Ascending => candidates.order(events::seq.asc()),
        };
        let candidates = limited(candidates, i64::try_from(most).unwrap_or(i64::MAX));
        Ok(candidates.load(self.connection)?)
    }

    fn load(&mut self, numbers: &[i64]) -> Result<(), StateStoreError> {
        let rows = events::table
            .filter(events::seq.eq_any(numbers))
            .select(EventRow::as_select())
            .into_boxed();
        let rows = match self.question.bounds.order {
            Order::Descending => rows.order(events::seq.desc()),
            Order::Ascending => rows.order(events::seq.asc()),
        };
        let missing = i64::try_from(self.missing()).unwrap_or(i64::MAX);
        for row in limited(rows, missing).load::<EventRow>(self.connection)? {
            self.found.push(EventRow::decode(row, self.scope)?);
        }
        Ok(())
    }
}

/// Returns those of the candidates that surely match.
fn matching(
    connection: &mut Connection,
    wanted: &Wanted,
    query: &WordQuery,
    candidates: &[(i64, bool)],
) -> Result<Vec<i64>, StateStoreError> {
    let (sure, unsure): (Vec<_>, Vec<_>) = candidates
        .iter()
        .partition(|(_, has_no_words)| query.is_exact && !has_no_words);
    let mut numbers: Vec<i64> = sure.into_iter().map(|(seq, _)| seq).collect();
    if unsure.is_empty() {
        return Ok(numbers);
    }
    let unsure: Vec<i64> = unsure.into_iter().map(|(seq, _)| seq).collect();
    let texts = events::table.filter(events::seq.eq_any(&unsure)).select((
        events::seq,
        events::search_text,
        events::content,
    ));
    let mut recent = Recent::new(wanted, unsure.len());
    for (seq, words, content) in texts.load::<(i64, Option<String>, String)>(connection)? {
        if recent.look_at(seq, words.unwrap_or(content))? {
            break;
        }
    }
    numbers.extend(recent.finish()?);
    Ok(numbers)
}
