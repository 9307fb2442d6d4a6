//! Inputs of any kind, for properties.

use std::cell::Cell;

use descartes_state::serde_json::Value;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use crate::TestResult;

thread_local! {
    /// Whether the store that is tested on this thread keeps texts with a NUL character.
    static KEEPS_NUL: Cell<bool> = const { Cell::new(true) };
}

/// Tests a store from here on, on this thread, that refuses texts with a NUL character.
pub fn refuse_nul() {
    KEEPS_NUL.set(false);
}

/// Returns whether the store that is tested on this thread keeps texts with a NUL character.
#[must_use]
pub fn keeps_nul() -> bool {
    KEEPS_NUL.get()
}

/// Returns text with anything in it that the store keeps: control characters, NUL, any script.
pub fn any_text() -> impl Strategy<Value = String> {
    let keeps_nul = keeps_nul();
    any_characters().prop_map(move |text| {
        if keeps_nul {
            text
        } else {
            text.replace('\0', "")
        }
    })
}

fn any_characters() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::collection::vec(any::<char>(), 0..40)
            .prop_map(|characters| characters.into_iter().collect()),
        "[a-z\\x00\u{7f}\u{301}\u{1f980} \"'%_:;\\\\\n]{0,40}",
        Just(String::new()),
    ]
}

/// Returns an identifier: any text but an empty one, NUL, or more than 512 bytes.
pub fn any_id() -> impl Strategy<Value = String> {
    any_text().prop_map(|text| format!("i{}", text.replace('\0', "")))
}

/// Returns JSON with every kind of number, to the last bit.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // From all bit patterns: subnormal, negative zero and huge ones too; JSON has no NaN and no infinity.
        any::<u64>().prop_map(|bits| Value::from(f64::from_bits(bits))),
        any_characters().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((any_characters(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Tries a property on inputs of a strategy, on a blocking thread, so that it may wait for the store.
pub async fn for_all<S>(
    cases: u32,
    inputs: impl FnOnce() -> S + Send + 'static,
    property: impl Fn(S::Value) -> TestCaseResult + Send + 'static,
) -> TestResult
where
    S: Strategy,
{
    let keeps_nul = keeps_nul();
    let tried = tokio::task::spawn_blocking(move || {
        // The thread may have served another test.
        KEEPS_NUL.set(keeps_nul);
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 500,
            ..Config::default()
        };
        // As text: the error's type holds the input, which need not be Send.
        TestRunner::new(config)
            .run(&inputs(), property)
            .map_err(|error| error.to_string())
    });
    Ok(tried.await??)
}
