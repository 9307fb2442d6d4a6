//! The sessions.

use super::handle::handle;
use crate::condition::{ChangeIf, SaveIf};
use crate::models::{NewSession, Session, SessionFilter, SessionRecord, SessionStatus};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};
use crate::repository::session_methods;

session_methods!(handle);
