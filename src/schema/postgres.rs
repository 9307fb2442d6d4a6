// @generated automatically by Diesel CLI.

pub mod sql_types {
    #[derive(diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "tsvector", schema = "pg_catalog"))]
    pub struct Tsvector;
}

diesel::table! {
    agent_states (key) {
        key -> Text,
        namespace -> Text,
        agent_id -> Text,
        name -> Text,
        status -> Text,
        metadata -> Text,
        state_data -> Bytea,
        state_data_codec -> Int8,
        version -> Int8,
        created_at -> Int8,
        updated_at -> Int8,
        is_deleted -> Bool,
        revision -> Int8,
        recorded_at -> Int8,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Tsvector;

    events (seq) {
        seq -> Int8,
        namespace -> Text,
        id -> Text,
        event_type -> Text,
        timestamp -> Int8,
        session_id -> Text,
        actor_type -> Text,
        actor_id -> Text,
        content -> Text,
        metadata -> Nullable<Text>,
        git_commit -> Nullable<Text>,
        created_at -> Int8,
        recorded_at -> Int8,
        search_text -> Nullable<Text>,
        search_words -> Nullable<Tsvector>,
    }
}

diesel::table! {
    revision_floors (namespace, aggregate) {
        namespace -> Text,
        aggregate -> Text,
        revision -> Int8,
    }
}

diesel::table! {
    sessions (seq) {
        seq -> Int8,
        namespace -> Text,
        id -> Text,
        agent_id -> Text,
        started_at -> Int8,
        ended_at -> Nullable<Int8>,
        status -> Text,
        metadata -> Nullable<Text>,
        created_at -> Int8,
        updated_at -> Int8,
        is_deleted -> Bool,
        revision -> Int8,
        recorded_at -> Int8,
    }
}

diesel::table! {
    state_snapshots (seq) {
        seq -> Int8,
        namespace -> Text,
        id -> Text,
        agent_id -> Text,
        name -> Text,
        status -> Text,
        metadata -> Text,
        state_data -> Bytea,
        state_data_codec -> Int8,
        version -> Int8,
        description -> Nullable<Text>,
        created_at -> Int8,
        expires_at -> Nullable<Int8>,
        revision -> Int8,
        recorded_at -> Int8,
    }
}

diesel::table! {
    state_transitions (seq) {
        seq -> Int8,
        namespace -> Text,
        id -> Text,
        agent_id -> Text,
        state_before -> Bytea,
        state_before_codec -> Int8,
        state_after -> Bytea,
        state_after_codec -> Int8,
        reason -> Nullable<Text>,
        timestamp -> Int8,
        metadata -> Nullable<Text>,
        recorded_at -> Int8,
    }
}

diesel::table! {
    tasks (seq) {
        seq -> Int8,
        namespace -> Text,
        id -> Text,
        title -> Text,
        description -> Nullable<Text>,
        status -> Text,
        assigned_to -> Nullable<Text>,
        created_at -> Int8,
        updated_at -> Int8,
        metadata -> Nullable<Text>,
        is_deleted -> Bool,
        revision -> Int8,
        recorded_at -> Int8,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    agent_states,
    events,
    revision_floors,
    sessions,
    state_snapshots,
    state_transitions,
    tasks,
);
