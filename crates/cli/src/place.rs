//! Where the store is.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use descartes_state::AnyStateStore;

/// A database file, or a server's URL, whose password is shown to nobody.
#[derive(Clone)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(given: PathBuf) -> Self {
        Self(given)
    }

    /// Returns the file; `None` where it is a server's URL.
    pub(crate) fn file(&self) -> Option<&Path> {
        (!AnyStateStore::is_url(&self.0)).then_some(&self.0)
    }

    /// Returns what to show of the place of this store: a file as it was given, a server without its password.
    pub(crate) fn shown(&self, store: &AnyStateStore) -> String {
        match self.file() {
            Some(file) => file.to_string_lossy().into_owned(),
            None => store.place(),
        }
    }
}

impl AsRef<OsStr> for Place {
    fn as_ref(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file() {
            Some(file) => file.fmt(formatter),
            None => formatter.write_str("a server's URL"),
        }
    }
}
