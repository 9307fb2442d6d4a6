//! Where the server is, as a URL says it.

use std::fmt;

use diesel::ConnectionError;
use percent_encoding::percent_decode_str;

use crate::error::StateStoreError;

/// A `postgres://` URL, taken apart into what libpq reads and what only the store does.
#[derive(Clone)]
pub(super) struct Address {
    /// For libpq (<https://www.postgresql.org/docs/current/libpq-connect.html>, section 34.1.1.2).
    url: String,
    /// The schema that the store's tables are in; `None` for the server's choice.
    schema: Option<String>,
    /// The URL without its password.
    shown: String,
}

/// The longest name that PostgreSQL keeps whole, in bytes.
const NAME_BYTES: usize = 63;

/// What libpq is told where neither the URL nor a variable of its says otherwise: by itself it would wait for minutes for a host that
/// doesn't answer, and for hours for one that no longer does (seconds, but for the last: milliseconds).
const DEFAULTS: [(&str, &str, &str); 6] = [
    ("application_name", "descartes-state", "PGAPPNAME"),
    ("connect_timeout", "10", "PGCONNECT_TIMEOUT"),
    ("keepalives_idle", "30", ""),
    ("keepalives_interval", "10", ""),
    ("keepalives_count", "3", ""),
    ("tcp_user_timeout", "60000", ""),
];

/// The parameters that hold no secret.
const SHOWN: [&str; 8] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "sslmode",
    "target_session_attrs",
    "user",
];

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// `InvalidInput` for what is none, and for a schema that can't be.
    pub(super) fn parse(url: &str) -> Result<Self, StateStoreError> {
        let refuse = |reason: String| StateStoreError::invalid("database URL", reason);
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| refuse("it doesn't begin with postgres://".into()))?;
        if url.contains('\0') {
            return Err(refuse("it holds a NUL character".into()));
        }
        // What follows isn't shown: it may be a part of the password.
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if rest.rfind('@').is_some_and(|last| last > authority.len()) {
            return Err(refuse(
                "it has a / or ? before its last @: write %2F, %3F and %40 within a name or password".into(),
            ));
        }
        // libpq looks for the host behind the first, and shows what it has looked for.
        if authority.matches('@').count() > 1 {
            return Err(refuse(
                "it has more than one @ before its host: write %40 within a name or password"
                    .into(),
            ));
        }
        let is_encoded = |part: &str| {
            let digits = part.as_bytes().get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        if !rest.split('%').skip(1).all(is_encoded) {
            return Err(refuse(
                "it has a % that no two digits follow: write %25".into(),
            ));
        }
        // libpq would show the value.
        if rest.contains("%00") {
            return Err(refuse("it holds a NUL character, as %00".into()));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut schema, mut kept, mut shown) = (None, Vec::new(), Vec::new());
        let mut defaults = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(refuse(
                    "it has a parameter without a =: write %26 for a & within a value".into(),
                ));
            };
            match name {
                "schema" => {
                    let value = percent_decode_str(value).decode_utf8();
                    let value = value.map_err(|error| refuse(format!("its schema: {error}")))?;
                    if value.is_empty() || value.len() > NAME_BYTES || value.contains('\0') {
                        return Err(refuse(format!(
                            "its schema has {} bytes, of 1 to {NAME_BYTES} without NUL",
                            value.len()
                        )));
                    }
                    schema = Some(value.into_owned());
                    shown.push(part);
                }
                name if SHOWN.contains(&name) => {
                    kept.push(part);
                    shown.push(part);
                }
                _ => kept.push(part),
            }
        }
        let shown_place = match place.rsplit_once('@') {
            Some((user, hosts)) => {
                let user = user.split_once(':').map_or(user, |(user, _)| user);
                format!("{user}@{hosts}")
            }
            None => place.to_owned(),
        };
        for (name, value, variable) in DEFAULTS {
            let is_given = kept.iter().any(|part| part.split('=').next() == Some(name));
            let is_set = !variable.is_empty() && std::env::var_os(variable).is_some();
            if !is_given && !is_set {
                defaults.push(format!("{name}={value}"));
            }
        }
        kept.extend(defaults.iter().map(String::as_str));
        Ok(Self {
            url: join(place, &kept),
            schema,
            shown: join(&shown_place, &shown),
        })
    }

    /// Returns what is wrong with the URL, where libpq couldn't read it; `None` where that isn't why it failed.
    pub(super) fn refusal(&self, error: &ConnectionError) -> Option<StateStoreError> {
        let text = error.to_string();
        let is_about_url = text.starts_with("invalid ") || text.contains(" URI");
        // It shows the whole URL behind some reasons, and what may be a piece of a password behind others.
        let reason = match text.contains("query parameter") {
            true => "it has a parameter that libpq doesn't know".to_owned(),
            false => text.replace(&self.url, &self.shown),
        };
        is_about_url.then(|| StateStoreError::invalid("database URL", reason.trim_end()))
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }
}

fn join(place: &str, query: &[&str]) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("postgres://{place}{mark}{}", query.join("&"))
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

/// Returns a name as SQL, whatever is in it.
pub(super) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn the_password_is_for_libpq_alone() {
        for url in [
            "postgres://ada:s3cret@db.example:5433/state?sslmode=require&schema=team%20a",
            "postgresql://ada@db.example:5433/state?password=s3cret&sslmode=require&schema=team%20a",
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(
                address.to_string(),
                "postgres://ada@db.example:5433/state?sslmode=require&schema=team%20a"
            );
            assert!(!format!("{address:?}").contains("s3c"));
            assert!(address.url().contains("s3cret") && !address.url().contains("schema"));
            assert_eq!(address.schema(), Some("team a"));
        }
    }

    #[test]
    fn several_hosts_and_a_socket_are_passed_on() {
        for url in [
            "postgres://a:1,b:2/state?target_session_attrs=read-write",
            "postgres:///state?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/state",
        ] {
            let address = Address::parse(url).unwrap();
            assert!(address.url().starts_with(url) && address.schema().is_none());
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "state.db",
            "mysql://x",
            "",
            "postgres://x?schema=",
            "postgres://x\0",
            "postgres://ada:p?s3c@host/db",
            "postgres://ada:p/s3c@host/db",
            "postgres://ada:50%s3c@host/db",
            "postgres://ada:s3c%00@host/db",
            "postgres://ada:p@s3cret@host/db",
            "postgres://host/db?password=ab&s3c",
        ] {
            let refused = Address::parse(url).unwrap_err().to_string();
            assert!(!refused.contains("s3c"), "{refused}");
        }
    }

    #[test]
    fn no_parameter_is_shown_that_may_hold_a_secret() {
        let url = "postgres://h/db?sslpassword=s3c&pass%77ord=s3c&port=5433";
        let address = Address::parse(url).unwrap();
        assert_eq!(address.to_string(), "postgres://h/db?port=5433");
        assert!(address.url().contains("sslpassword=s3c&pass%77ord=s3c"));
    }
}
