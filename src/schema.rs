// @generated automatically by Diesel CLI.

diesel::table! {
    agent_states (key) {
        key -> Text,
        namespace -> Text,
        agent_id -> Text,
        name -> Text,
        status -> Text,
        metadata -> Text,
        state_data -> Text,
        state_data_codec -> BigInt,
        version -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        is_deleted -> Bool,
        revision -> BigInt,
        recorded_at -> BigInt,
    }
}

diesel::table! {
    events (seq) {
        seq -> BigInt,
        namespace -> Text,
        id -> Text,
        event_type -> Text,
        timestamp -> BigInt,
        session_id -> Text,
        actor_type -> Text,
        actor_id -> Text,
        content -> Text,
        metadata -> Nullable<Text>,
        git_commit -> Nullable<Text>,
        created_at -> BigInt,
        recorded_at -> BigInt,
        search_text -> Nullable<Text>,
    }
}

diesel::table! {
    revision_floors (namespace, aggregate) {
        namespace -> Text,
        aggregate -> Text,
        revision -> BigInt,
    }
}

diesel::table! {
    sessions (seq) {
        seq -> BigInt,
        namespace -> Text,
        id -> Text,
        agent_id -> Text,
        started_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        status -> Text,
        metadata -> Nullable<Text>,
        created_at -> BigInt,
        updated_at -> BigInt,
        is_deleted -> Bool,
        revision -> BigInt,
        recorded_at -> BigInt,
    }
}

diesel::table! {
    state_snapshots (seq) {
        seq -> BigInt,
        namespace -> Text,
        id -> Text,
        agent_id -> Text,
        name -> Text,
        status -> Text,
        metadata -> Text,
        state_data -> Text,
        state_data_codec -> BigInt,
        version -> BigInt,
        description -> Nullable<Text>,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        revision -> BigInt,
        recorded_at -> BigInt,
    }
}

diesel::table! {
    state_transitions (seq) {
        seq -> BigInt,
        namespace -> Text,
        id -> Text,
        agent_id -> Text,
        state_before -> Text,
        state_before_codec -> BigInt,
        state_after -> Text,
        state_after_codec -> BigInt,
        reason -> Nullable<Text>,
        timestamp -> BigInt,
        metadata -> Nullable<Text>,
        recorded_at -> BigInt,
    }
}

diesel::table! {
    tasks (seq) {
        seq -> BigInt,
        namespace -> Text,
        id -> Text,
        title -> Text,
        description -> Nullable<Text>,
        status -> Text,
        assigned_to -> Nullable<Text>,
        created_at -> BigInt,
        updated_at -> BigInt,
        metadata -> Nullable<Text>,
        is_deleted -> Bool,
        revision -> BigInt,
        recorded_at -> BigInt,
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
