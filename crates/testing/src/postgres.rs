//! A PostgreSQL server for tests, where there is one.

use std::io::Write;
use std::sync::Once;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::sql_types::BigInt;
use descartes_state::diesel::{self, Connection, PgConnection, RunQueryDsl};
use descartes_state::{PostgresStateStore, StoreOptions, new_id};

/// The variables that name a server's URL, each with how the script starts it.
const SERVER: (&str, &str) = ("DESCARTES_STATE_POSTGRES", "start");
const SERVER_WITH_TLS: (&str, &str) = ("DESCARTES_STATE_POSTGRES_TLS", "start-tls");

/// A schema of its own on the server, which goes with it.
#[derive(Debug)]
pub struct PostgresSchema {
    server: String,
    name: String,
}

impl PostgresSchema {
    /// Returns a schema that nobody else has; `None` where no server is named, which is said once in the tests' output.
    #[must_use]
    pub fn new() -> Option<Self> {
        static SAID: Once = Once::new();
        Some(Self::on(named(SERVER, &SAID)?))
    }

    /// The same on the server that speaks TLS; its URL ends in `sslmode=verify-full&sslrootcert=` and the certificate's path.
    #[must_use]
    pub fn with_tls() -> Option<Self> {
        static SAID: Once = Once::new();
        Some(Self::on(named(SERVER_WITH_TLS, &SAID)?))
    }

    /// Returns a schema that nobody else has, on the server at a URL.
    #[must_use]
    pub fn on(server: String) -> Self {
        let name = format!("test_{}", new_id().simple());
        Self { server, name }
    }

    /// Returns the URL of a store in it.
    #[must_use]
    pub fn url(&self) -> String {
        let mark = if self.server.contains('?') { '&' } else { '?' };
        let Self { server, name } = self;
        format!("{server}{mark}schema={name}&application_name={name}")
    }

    /// Opens a store in it.
    pub async fn open(&self, options: StoreOptions) -> PostgresStateStore {
        let store = PostgresStateStore::connect(&self.url(), options).await;
        let store = store.unwrap();
        store.initialize().await.unwrap();
        store
    }

    /// Cuts every connection that the schema's stores have.
    pub fn cut(&self, connection: &mut PgConnection) {
        self.cut_some(connection, 100);
    }

    /// Cuts about so many of a hundred connections that the schema's stores have, by chance; returns how many.
    pub fn cut_some(&self, connection: &mut PgConnection, percent: u64) -> i64 {
        let which = format!("random() * 100 < {percent}");
        self.of_connections(connection, "count(pg_terminate_backend(pid))", &which)
    }

    /// Returns how many connections of the schema's stores wait for something that the server names so.
    pub fn waiting(&self, connection: &mut PgConnection, wait_event: &str) -> i64 {
        let which = format!("wait_event = '{wait_event}'");
        self.of_connections(connection, "count(*)", &which)
    }

    fn of_connections(&self, connection: &mut PgConnection, what: &str, which: &str) -> i64 {
        let query = format!(
            "SELECT {what} FROM pg_stat_activity WHERE application_name = '{}' AND {which}",
            self.name
        );
        let query = diesel::dsl::sql::<BigInt>(&query);
        query.get_result(connection).unwrap()
    }

    /// Returns a connection of its own to the schema.
    #[must_use]
    pub fn connect(&self) -> PgConnection {
        let mut connection = PgConnection::establish(&self.server).unwrap();
        let path = format!("SET search_path = {}", self.name);
        connection.batch_execute(&path).unwrap();
        connection
    }
}

impl Drop for PostgresSchema {
    fn drop(&mut self) {
        if let Ok(mut connection) = PgConnection::establish(&self.server) {
            let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name);
            let _kept = connection.batch_execute(&drop);
        }
    }
}

fn named((variable, action): (&str, &str), said: &Once) -> Option<String> {
    let server = std::env::var(variable).ok();
    if server.is_none() {
        said.call_once(|| {
            // Not by a macro, whose output is captured.
            let _unheard = writeln!(
                std::io::stderr(),
                "SKIPPED: the tests on PostgreSQL, for want of a server: \
                 {variable}=$(.ci/postgres {action} /tmp/pg) cargo test"
            );
        });
    }
    server
}
