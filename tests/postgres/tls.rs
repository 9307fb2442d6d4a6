//! Connections under TLS: to a server whose certificate is signed by itself, and where libpq has none.

use descartes_state::error::DatabaseFailure;
use descartes_state::{PostgresStateStore, StateStoreError, StoreOptions};

/// Connects to where that must be refused for good, and returns what was said.
async fn refusal(url: &str) -> String {
    let refused = PostgresStateStore::connect(url, StoreOptions::default()).await;
    let error = refused.unwrap_err();
    let StateStoreError::DatabaseError(failure) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(failure.kind(), DatabaseFailure::CannotOpen, "{error}");
    assert!(!error.is_retryable(), "{error}");
    error.to_string()
}

#[cfg(all(feature = "postgres-bundled", not(feature = "postgres-bundled-tls")))]
#[tokio::test]
async fn a_build_without_tls_refuses_a_url_that_asks_for_it_and_says_why() {
    for mode in ["require", "verify-full"] {
        let said = refusal(&format!("postgres://ada@localhost/state?sslmode={mode}")).await;
        assert!(said.contains("SSL support is not compiled in"), "{said}");
    }
}

#[cfg(feature = "postgres-bundled-tls")]
mod with_tls {
    use descartes_state::diesel::prelude::*;
    use descartes_state::{PostgresStateStore, StoreOptions};
    use descartes_state_testing::{PostgresSchema, agent};

    use super::refusal;

    descartes_state::diesel::table! {
        pg_stat_ssl (pid) {
            pid -> Integer,
            ssl -> Bool,
        }
    }

    #[declare_sql_function]
    extern "SQL" {
        fn pg_backend_pid() -> descartes_state::diesel::sql_types::Integer;
    }

    /// Writes and reads, and asks the server whether it was under TLS.
    async fn assert_works_under_tls(url: &str) {
        let store = PostgresStateStore::connect(url, StoreOptions::default()).await;
        let store = store.unwrap();
        store.initialize().await.unwrap();
        store.save_agent_state(&agent("a")).await.unwrap();
        let loaded = store.load_agent_state("a").await.unwrap();
        assert_eq!(loaded.unwrap(), agent("a"));
        let is_encrypted = store.transact(|tx| {
            let own = pg_stat_ssl::table.filter(pg_stat_ssl::pid.eq(pg_backend_pid()));
            let is_encrypted: bool = own.select(pg_stat_ssl::ssl).get_result(tx.postgres()?)?;
            Ok(is_encrypted)
        });
        assert!(is_encrypted.await.unwrap());
    }

    /// Returns the schema's URL with one part changed.
    fn changed(schema: &PostgresSchema, part: &str, to: &str) -> String {
        let url = schema.url();
        assert!(url.contains(part), "{part}");
        url.replacen(part, to, 1)
    }

    /// Returns the part of the URL that names the certificate.
    fn certificate(schema: &PostgresSchema) -> String {
        let url = schema.url();
        let mut parts = url.split(['?', '&']);
        let part = parts.find(|part| part.starts_with("sslrootcert="));
        part.unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_url_that_requires_tls_has_it_whoever_signed_the_certificate() {
        let Some(schema) = PostgresSchema::with_tls() else {
            return;
        };
        // libpq would check the certificate if it were named.
        let checked = format!("sslmode=verify-full&{}", certificate(&schema));
        assert_works_under_tls(&changed(&schema, &checked, "sslmode=require")).await;
    }

    #[tokio::test]
    async fn a_certificate_that_is_named_is_trusted_for_its_host() {
        let Some(schema) = PostgresSchema::with_tls() else {
            return;
        };
        assert_works_under_tls(&schema.url()).await;
    }

    #[tokio::test]
    async fn a_certificate_for_another_host_is_refused_and_both_are_named() {
        let Some(schema) = PostgresSchema::with_tls() else {
            return;
        };
        let said = refusal(&changed(&schema, "@localhost", "@127.0.0.1")).await;
        assert!(said.contains("certificate for \"localhost\""), "{said}");
        assert!(said.contains("not match host name \"127.0.0.1\""), "{said}");
    }

    #[tokio::test]
    async fn a_certificate_that_nothing_vouches_for_is_refused_and_the_reason_named() {
        let Some(schema) = PostgresSchema::with_tls() else {
            return;
        };
        for (root, expected) in [
            ("/missing/root.crt", "\"/missing/root.crt\" does not exist"),
            ("system", "certificate verify failed"),
        ] {
            let url = changed(
                &schema,
                &certificate(&schema),
                &format!("sslrootcert={root}"),
            );
            let said = refusal(&url).await;
            assert!(said.contains(expected), "{said}");
        }
    }
}
