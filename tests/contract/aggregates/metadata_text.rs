//! Metadata that is appended as text: kept to the digit, and the same event once more adds nothing.

use descartes_state::error::ErrorKind;
use descartes_state::{AppendOptions, Event, StoreOptions};
use serde_json::json;

use descartes_state_testing::{Place, TestResult, event};

const METADATA: &str =
    "{\"z\": 1.10,\n \"a\":12345678901234567890123, \"b\":[1e400, 0.1000000000000000055511]}";

fn with_text(metadata: &str) -> AppendOptions<'_> {
    AppendOptions::default().metadata_text(metadata)
}

#[tokio::test]
async fn metadata_that_comes_as_text_is_kept_as_it_is() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let event = Event {
            metadata: None,
            ..event("a price")
        };
        let seq = store
            .events()
            .append_with(&event, with_text(METADATA))
            .await?;
        let record = store.events().get(&event.id).await?.ok_or("none")?;
        assert_eq!(record.metadata_text.as_deref(), Some(METADATA));
        let read = record.event.metadata.as_ref().ok_or("none")?;
        assert_eq!(
            (&read["z"], &read["b"]),
            (&json!(1.1), &json!(["1e400", 0.1]))
        );

        // Once more, as a text and as it was read but for what no value holds.
        assert_eq!(
            store
                .events()
                .append_with(&event, with_text(METADATA))
                .await?,
            seq
        );
        let rows = [event.clone()];
        let again =
            store.transact(move |tx| tx.events().append_with(&rows[0], with_text(METADATA)));
        assert_eq!(again.await?, seq);
        assert_eq!(store.events().append(&record.event).await?, seq);
        let other = store
            .events()
            .append_with(&event, with_text("{\"z\":1.2}"))
            .await;
        assert_eq!(
            other.err().map(|error| error.kind()),
            Some(ErrorKind::Conflict)
        );
    }
    Ok(())
}

#[tokio::test]
async fn metadata_of_a_value_is_the_text_that_serde_json_writes() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let event = event("plain");
        store.events().append(&event).await?;
        let record = store.events().get(&event.id).await?.ok_or("none")?;
        assert_eq!(record.metadata_text.as_deref(), Some("{\"n\":1}"));
    }
    Ok(())
}
