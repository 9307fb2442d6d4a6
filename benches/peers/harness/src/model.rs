//! What goes in and comes out, alike for every contestant that has no types of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct Agent {
    pub agent_id: String,
    pub name: String,
    pub status: String,
    pub metadata: Value,
    pub state_data: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Debug, Clone)]
pub struct AgentRecord {
    pub agent: Agent,
    pub key: String,
    pub namespace: String,
    pub revision: i64,
    pub recorded_at: i64,
    pub is_deleted: bool,
    pub codec: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorType {
    User,
    Agent,
    System,
}

impl ActorType {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::System => "system",
        }
    }

    /// # Errors
    /// For a word that is none of them.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "user" => Self::User,
            "agent" => Self::Agent,
            "system" => Self::System,
            other => bail!("unknown actor type {other:?}"),
        })
    }
}

#[derive(Debug, Clone)]
pub struct Event {
    pub id: Uuid,
    pub event_type: String,
    pub timestamp: i64,
    pub session_id: String,
    pub actor_type: ActorType,
    pub actor_id: String,
    pub content: String,
    pub metadata: Option<Value>,
    pub git_commit: Option<String>,
}

#[derive(Debug, Clone)]
pub struct EventRecord {
    pub event: Event,
    pub seq: i64,
    pub namespace: String,
    pub created_at: i64,
    pub recorded_at: i64,
}

#[derive(Debug, Clone)]
pub struct Transition {
    pub agent_id: String,
    pub state_before: String,
    pub state_after: String,
    pub reason: Option<String>,
    pub metadata: Option<Value>,
}

#[derive(Debug, Clone)]
pub struct TransitionRecord {
    pub transition: Transition,
    pub id: Uuid,
    pub timestamp: i64,
    pub seq: i64,
    pub namespace: String,
    pub recorded_at: i64,
}

#[derive(Debug, Clone)]
pub struct Task {
    pub id: Uuid,
    pub title: String,
    pub description: Option<String>,
    pub status: String,
    pub assigned_to: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    pub metadata: Option<Value>,
}

/// The present.
#[derive(Debug, Clone, Copy)]
pub struct UnixTime {
    pub seconds: i64,
    pub micros: i64,
}

impl UnixTime {
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            seconds: since.as_secs().cast_signed(),
            micros: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        }
    }
}

/// A state body as it is stored, with its codec: text (0), or zstd (1) as a BLOB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    Text(&'a str),
    Zstd(Vec<u8>),
}

impl Body<'_> {
    #[must_use]
    pub fn codec(&self) -> i64 {
        match self {
            Self::Text(_) => 0,
            Self::Zstd(_) => 1,
        }
    }
}

/// As our own store does it: level 1 above 1 KiB, where it is smaller.
///
/// # Errors
/// Only zstd's.
pub fn encode_body(text: &str, compress: bool) -> Result<Body<'_>> {
    if compress && text.len() > 1024 {
        let bytes = zstd::bulk::compress(text.as_bytes(), 1)?;
        if bytes.len() < text.len() {
            return Ok(Body::Zstd(bytes));
        }
    }
    Ok(Body::Text(text))
}

/// # Errors
/// For bytes that are not what the codec says.
pub fn decode_body(codec: i64, bytes: Vec<u8>) -> Result<String> {
    let bytes = match codec {
        0 => bytes,
        1 => zstd::stream::decode_all(bytes.as_slice()).context("zstd")?,
        other => bail!("unknown codec {other}"),
    };
    Ok(String::from_utf8(bytes)?)
}
