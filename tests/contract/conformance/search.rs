//! Search: whatever a person types is searched as plain words.

use std::sync::Arc;

use descartes_state::{Event, StateStore};
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::agents::too_many;
use super::configurations::LIST_ROWS;
use descartes_state_testing::{TestResult, any_text, event, for_all, keeps_nul};

type Store = Arc<dyn StateStore>;

async fn save(store: &Store, contents: &[&str]) -> TestResult {
    for content in contents {
        store.save_event(&event(content)).await?;
    }
    Ok(())
}

/// The contents of the hits.
async fn hits(store: &Store, text: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let hits = store.search_events(text).await?;
    Ok(hits.into_iter().map(|event| event.content).collect())
}

pub(crate) async fn all_words_must_be_there_in_any_order(store: Store) -> TestResult {
    save(&store, &["alpha beta", "beta gamma", "beta and alpha"]).await?;
    assert_eq!(
        hits(&store, "beta alpha").await?,
        ["beta and alpha", "alpha beta"]
    );
    assert_eq!(hits(&store, "beta").await?.len(), 3);
    assert_eq!(hits(&store, "alpha gamma").await?, [""; 0]);
    // Whole words, not parts of them.
    assert_eq!(hits(&store, "alph").await?, [""; 0]);
    Ok(())
}

pub(crate) async fn case_and_accents_do_not_count(store: Store) -> TestResult {
    save(&store, &["Grüße aus KÖLN"]).await?;
    for text in ["köln", "Koln", "GRÜßE", "AUS koln"] {
        assert_eq!(hits(&store, text).await?.len(), 1, "{text}");
    }
    Ok(())
}

pub(crate) async fn what_looks_like_syntax_is_searched_as_words(store: Store) -> TestResult {
    let contents = [
        "it's written in C++",
        "AND NEAR OR NOT",
        "an a-b test",
        "content:secret namespace_word",
        "she said \"quoted words\" twice",
        "100% of ^caret {braces} (parens) star*",
        "日本語 text",
        "only plain",
    ];
    save(&store, &contents).await?;
    // What is typed, and which contents it finds.
    let table: [(&str, &[usize]); 20] = [
        ("it's", &[0]),
        ("C++", &[0]),
        ("AND", &[1]),
        ("plain AND only", &[]),
        ("plain OR nothing", &[]),
        ("NOT plain", &[]),
        ("NEAR", &[1]),
        ("NEAR(plain only)", &[]),
        ("a-b", &[2]),
        ("b-a", &[]),
        ("content:secret", &[3]),
        ("content : plain", &[]),
        ("namespace_word", &[3]),
        ("\"quoted", &[4]),
        ("\"quoted words\" said", &[4]),
        ("^caret {braces} (parens)", &[5]),
        ("plai*", &[]),
        ("- plain", &[7]),
        ("plain \u{1f980}", &[]),
        ("日本語", &[6]),
    ];
    for (text, found) in table {
        let found: Vec<_> = found.iter().map(|index| contents[*index]).collect();
        assert_eq!(hits(&store, text).await?, found, "{text}");
    }
    // The namespace's own word in the index is no content.
    assert_eq!(hits(&store, "n").await?, [""; 0]);
    Ok(())
}

pub(crate) async fn a_text_without_words_finds_nothing(store: Store) -> TestResult {
    save(&store, &["alpha", "\"\"", "", "*"]).await?;
    for text in [
        "",
        "   ",
        "\"",
        "\"\"",
        "*",
        "- + ^",
        "\u{1f980}",
        "\0",
        "()",
        "'",
    ] {
        assert_eq!(hits(&store, text).await?, [""; 0], "{text:?}");
    }
    Ok(())
}

pub(crate) async fn any_text_at_all_is_searched_without_an_error(store: Store) -> TestResult {
    save(&store, &["alpha beta", "NEAR AND OR"]).await?;
    const SYNTAX: &str =
        "[abANDORNOTNEAR*+^:(){}\",'\\-\\[\\]\\\\ \\x00\n\u{301}\u{345}\u{661}½]{0,30}";
    let texts = || prop_oneof![any_text(), SYNTAX];
    let runtime = Handle::current();
    for_all(256, texts, move |text| {
        let result = runtime.block_on(store.search_events(&text));
        prop_assert!(result.is_ok(), "{:?}", result);
        Ok(())
    })
    .await
}

pub(crate) async fn an_event_is_found_by_each_of_its_words(store: Store) -> TestResult {
    // ASCII words among any other signs: what counts as a letter elsewhere is the tokenizer's to say.
    let words_and_signs = || {
        let words = proptest::collection::vec("[a-z0-9]{1,8}", 1..6);
        let signs = if keeps_nul() {
            "[-+*^:(){}\"'.,;!? \n\t\\x00]{1,3}"
        } else {
            "[-+*^:(){}\"'.,;!? \n\t]{1,3}"
        };
        (words, signs)
    };
    let runtime = Handle::current();
    for_all(24, words_and_signs, move |(words, signs)| {
        let sent = event(&words.join(&signs));
        let found = runtime.block_on(async {
            store.save_event(&sent).await?;
            let mut found = store.search_events(&sent.content).await?;
            for word in &words {
                let text = format!("{signs}{word}{signs}");
                let hits = store.search_events(&text).await?;
                found.extend(hits.into_iter().filter(|hit| hit.id == sent.id));
            }
            found.retain(|hit| hit.id == sent.id);
            Ok::<_, descartes_state::StateStoreError>(found.len())
        });
        match found {
            Ok(found) => prop_assert_eq!(found, words.len() + 1),
            // Short words come again and again; that's the other promise.
            Err(descartes_state::StateStoreError::TooManyRows { .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
        Ok(())
    })
    .await
}

pub(crate) async fn content_behind_a_nul_character_is_found(store: Store) -> TestResult {
    if !keeps_nul() {
        // The store refuses it, as `tests/postgres` shows.
        return Ok(());
    }
    save(&store, &["before\0behind"]).await?;
    for text in ["before", "behind", "behind before", "before\0behind"] {
        assert_eq!(hits(&store, text).await?, ["before\0behind"], "{text:?}");
    }
    assert_eq!(hits(&store, "before\0elsewhere").await?, [""; 0]);
    Ok(())
}

pub(crate) async fn hits_are_newest_first(store: Store) -> TestResult {
    // The second would be the best match, and the third has the highest time.
    let contents = [
        "word and more",
        "word word word",
        "word far away from the start",
    ];
    for (content, timestamp) in contents.iter().zip([5, 1, 9]) {
        store
            .save_event(&Event {
                timestamp,
                ..event(content)
            })
            .await?;
    }
    let mut newest_first = contents;
    newest_first.reverse();
    assert_eq!(hits(&store, "word").await?, newest_first);
    Ok(())
}

pub(crate) async fn too_many_hits_are_an_error_never_a_cut(store: Store) -> TestResult {
    for _ in 0..LIST_ROWS {
        store.save_event(&event("word")).await?;
    }
    assert_eq!(hits(&store, "word").await?.len(), LIST_ROWS);
    store.save_event(&event("word")).await?;
    too_many(store.search_events("word").await, "events().search(..)");
    Ok(())
}
