//! What each public type can do wherever it goes: the API guidelines' common traits, checked by the compiler.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;

use descartes_state::error::ErrorKind;
use descartes_state::migrations::Revert;
use descartes_state::page::Order;
use descartes_state::serde_json::{from_value, json};
use descartes_state::{
    ActorType, AgentFilter, AgentRecord, AgentState, Agents, ChangeIf, Codec, Cursor,
    DatabaseError, DatabaseFailure, Durability, Event, EventFilter, EventRecord, Events, Limits,
    ManualClock, MigrationError, MigrationRecord, Migrations, OpenMode, Page, PageRequest,
    PendingMigration, Revision, SaveIf, Seq, SerializationError, Session, SessionFilter,
    SessionRecord, SessionStatus, Sessions, SnapshotFilter, SnapshotOptions, SnapshotRecord,
    Snapshots, SqliteStateStore, StateStore, StateStoreError, StateTransition, StoreOptions,
    SystemClock, Task, TaskFilter, TaskRecord, TaskStatus, Tasks, TimeRange, TransitionDraft,
    TransitionFilter, TransitionRecord, Transitions,
};

use descartes_state_testing::TestResult;

fn crosses_threads<T: Send + Sync + Debug>() {}
fn is_shared<T: Send + Sync + ?Sized>() {}
fn is_data<T: Send + Sync + Debug + Clone + PartialEq + 'static>() {}
fn is_word<T: Send + Sync + Debug + Copy + Eq + Hash + 'static>() {}
fn is_written_and_read<T: Display + FromStr>() {}
fn is_error<T: std::error::Error + Send + Sync + 'static>() {}

#[test]
fn every_public_type_crosses_threads_and_can_be_looked_at() {
    crosses_threads::<SqliteStateStore>();
    is_shared::<dyn StateStore>();
    crosses_threads::<Agents<'_>>();
    crosses_threads::<Transitions<'_>>();
    crosses_threads::<Snapshots<'_>>();
    crosses_threads::<Events<'_>>();
    crosses_threads::<Tasks<'_>>();
    crosses_threads::<Sessions<'_>>();
    crosses_threads::<Migrations<'_>>();
    crosses_threads::<StoreOptions>();
    crosses_threads::<ManualClock>();
    crosses_threads::<SystemClock>();
    is_error::<StateStoreError>();
    is_error::<DatabaseError>();
    is_error::<MigrationError>();
    is_error::<SerializationError>();
}

#[test]
fn data_is_cloned_and_compared_and_words_are_copied_and_hashed() {
    is_data::<AgentState>();
    is_data::<AgentRecord>();
    is_data::<AgentFilter>();
    is_data::<StateTransition>();
    is_data::<TransitionDraft>();
    is_data::<TransitionRecord>();
    is_data::<TransitionFilter>();
    is_data::<SnapshotRecord>();
    is_data::<SnapshotOptions>();
    is_data::<SnapshotFilter>();
    is_data::<Event>();
    is_data::<EventRecord>();
    is_data::<EventFilter>();
    is_data::<Task>();
    is_data::<TaskRecord>();
    is_data::<TaskFilter>();
    is_data::<Session>();
    is_data::<SessionRecord>();
    is_data::<SessionFilter>();
    is_data::<MigrationRecord>();
    is_data::<PendingMigration>();
    is_data::<Revert>();
    is_data::<Page<AgentRecord>>();
    is_data::<PageRequest>();
    is_data::<TimeRange>();
    is_data::<Limits>();
    is_data::<Cursor>();
    is_word::<Revision>();
    is_word::<Seq>();
    is_word::<SaveIf>();
    is_word::<ChangeIf>();
    is_word::<Order>();
    is_word::<ErrorKind>();
    is_word::<DatabaseFailure>();
    is_word::<Durability>();
    is_word::<OpenMode>();
    is_word::<Codec>();
    is_word::<ActorType>();
    is_word::<TaskStatus>();
    is_word::<SessionStatus>();
    is_written_and_read::<Revision>();
    is_written_and_read::<Seq>();
    is_written_and_read::<Cursor>();
    is_written_and_read::<ActorType>();
    is_written_and_read::<TaskStatus>();
    is_written_and_read::<SessionStatus>();
}

#[test]
fn a_revision_and_a_sequence_number_are_numbers_to_everybody_else() -> TestResult {
    let (revision, seq) = (Revision::from(7), Seq::from(9));
    assert_eq!((revision.get(), i64::from(seq)), (7, 9));
    assert_eq!(format!("{revision} {seq:>3}"), "7   9");
    assert_eq!(json!([revision, seq]), json!([7, 9]));
    assert_eq!(from_value::<Revision>(json!(7))?, revision);
    assert_eq!(
        ("7".parse::<Revision>()?, "9".parse::<Seq>()?),
        (revision, seq)
    );
    assert!(Revision::from(8) > revision && "seven".parse::<Revision>().is_err());
    assert_eq!(SaveIf::from(revision), SaveIf::Revision(revision));
    assert_eq!(ChangeIf::from(revision), ChangeIf::Revision(revision));
    assert_eq!(
        (SaveIf::default(), ChangeIf::default()),
        (SaveIf::Any, ChangeIf::Any)
    );
    Ok(())
}
