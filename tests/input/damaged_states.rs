//! State bodies that can't be decoded: unknown codecs, broken frames, bombs.

use descartes_state::diesel::sql_types::{BigInt, Binary};
use descartes_state::diesel::{prelude::*, sql_query};
use descartes_state::{
    AgentState, PageRequest, SqliteStateStore, StateStoreError, StoreOptions, TransitionDraft,
    TransitionFilter,
};

use descartes_state_testing::{TestResult, agent, connect_to_tamper};

/// Bodies and codec columns, and the table that they stand in.
const BODIES: [(&str, &str); 4] = [
    ("agent_states", "state_data"),
    ("state_snapshots", "state_data"),
    ("state_transitions", "state_before"),
    ("state_transitions", "state_after"),
];

async fn filled() -> Result<SqliteStateStore, StateStoreError> {
    let options = StoreOptions::default().compression(true);
    let store = SqliteStateStore::temporary_with(options).await?;
    let large = "state ".repeat(1_000);
    store
        .save_agent_state(&AgentState {
            state_data: large.clone(),
            ..agent("a")
        })
        .await?;
    store.create_snapshot("a", None).await?;
    store
        .transitions()
        .record(&TransitionDraft::new("a", &large, &large))
        .await?;
    Ok(store)
}

async fn read(store: &SqliteStateStore, table: &str) -> Result<(), StateStoreError> {
    match table {
        "agent_states" => store.load_agent_state("a").await.map(drop),
        "state_transitions" => store.get_state_history("a", 9).await.map(drop),
        _ => {
            let id = store.list_snapshots("a").await?.remove(0).0;
            store.restore_snapshot(&id).await
        }
    }
}

/// Puts these bytes into each body, and looks how it is read.
async fn is_corrupt(codec: i64, bytes: &[u8], in_column: &str, says: &str) -> TestResult {
    for (table, body) in BODIES {
        let store = filled().await?;
        read(&store, table).await?;
        let broken = sql_query(format!("UPDATE {table} SET {body} = ?, {body}_codec = ?"))
            .bind::<Binary, _>(bytes)
            .bind::<BigInt, _>(codec)
            .execute(&mut connect_to_tamper(store.path())?)?;
        assert_eq!(broken, 1);
        let result = read(&store, table).await;
        let text = result
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default();
        let column = format!("{body}{in_column}");
        assert!(
            matches!(&result, Err(StateStoreError::Corrupt { table: named, column: place, .. })
                if *named == table && *place == column),
            "{table}.{column}: {result:?}"
        );
        assert!(text.contains(says), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_codec_is_corrupt() -> TestResult {
    is_corrupt(2, b"text", "_codec", "unknown codec 2").await?;
    is_corrupt(-1, b"text", "_codec", "unknown codec -1").await
}

#[tokio::test]
async fn a_body_that_is_not_what_its_codec_says_is_corrupt() -> TestResult {
    // A BLOB where text should stand; the other way round is tried with every column.
    is_corrupt(0, b"text", "", "codec says text").await
}

#[tokio::test]
async fn a_broken_frame_is_corrupt() -> TestResult {
    let frame = zstd::encode_all(&b"some state ".repeat(50)[..], 1)?;
    is_corrupt(1, b"", "", "").await?;
    is_corrupt(1, b"no frame at all", "", "zstd").await?;
    is_corrupt(1, &frame[..frame.len() - 3], "", "zstd").await?;
    let mut flipped = frame;
    flipped[6] ^= 0xff;
    is_corrupt(1, &flipped, "", "").await
}

#[tokio::test]
async fn a_frame_of_no_text_is_corrupt() -> TestResult {
    is_corrupt(1, &zstd::encode_all(&b"\xff\xfe"[..], 1)?, "", "UTF-8").await
}

/// A store whose bodies in a table are these bytes.
async fn damaged(
    table: &str,
    codec: i64,
    bytes: &[u8],
) -> Result<SqliteStateStore, Box<dyn std::error::Error>> {
    let store = filled().await?;
    for (_, body) in BODIES.iter().filter(|(named, _)| *named == table) {
        sql_query(format!("UPDATE {table} SET {body} = ?, {body}_codec = ?"))
            .bind::<Binary, _>(bytes)
            .bind::<BigInt, _>(codec)
            .execute(&mut connect_to_tamper(store.path())?)?;
    }
    Ok(store)
}

/// The most memory that this process ever held, in bytes, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1_024)
}

#[tokio::test]
async fn a_bomb_is_too_large_and_never_unpacked_whole() -> TestResult {
    const FRAME: u64 = 256 * 1024 * 1024;
    // 2 GiB of zeros, as frames one behind the other, in some 170 KiB; the ceiling is 64 MiB.
    let frame = zstd::encode_all(std::io::Read::take(std::io::repeat(0), FRAME), 1)?;
    let bomb = frame.repeat(8);
    assert!(bomb.len() < 1_000_000);
    let before = peak_memory();
    for (table, _) in BODIES {
        let store = damaged(table, 1, &bomb).await?;
        match read(&store, table).await {
            Err(StateStoreError::TooLarge { size, limit, .. }) => assert!(size > limit),
            // A restore copies inside SQL, and unpacks nothing.
            Ok(()) if table == "state_snapshots" => {
                assert!(store.load_agent_state("a").await.is_err());
            }
            // A list shows the rest.
            Ok(()) if table == "state_transitions" => {
                let (all, page) = (TransitionFilter::default(), PageRequest::new(10));
                let omitted = store.transitions().list(&all, &page).await?.omitted;
                assert!(omitted.iter().any(|row| row.bytes > row.limit));
            }
            other => return Err(format!("{table}: {other:?}").into()),
        }
    }
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        assert!(
            after - before < 4 * FRAME,
            "it took {} bytes",
            after - before
        );
    }
    Ok(())
}
