//! Proof that a run lives: a lock that the system drops when its process dies, whatever way.
//!
//! Process numbers prove nothing by themselves: they are given again, and two containers may have the same, as they may
//! have host name and boot. So each run holds a lock on a file of its own in a directory beside the database; everybody on
//! one kernel sees it. The row of the session keeps who it was, for people, and as evidence where there is no such file, as on a
//! server.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use descartes_state::serde_json::{Value, json};
use descartes_state::uuid::Uuid;

/// The key of a session's metadata under which a run says who it is.
pub(crate) const RECORDER: &str = "recorder";

/// A run's proof of life, while it is held.
#[derive(Debug)]
pub(crate) struct ProofOfLife {
    /// Locked; `None` where there is no database file, or the directory can't be written.
    file: Option<(File, PathBuf)>,
}

impl ProofOfLife {
    /// Begins to prove that the run with this session lives, beside the database file.
    pub(crate) fn begin(database: Option<&Path>, session_id: &str) -> Self {
        let path = database.map(|database| lock_path(database, session_id));
        let file = path.and_then(|path| Some((locked(&path).ok()?, path)));
        Self { file }
    }

    /// Takes the proof away, once the end is written.
    pub(crate) fn end(self) {
        if let Some((_locked, path)) = &self.file {
            // While it is locked still: who comes now finds no file, or one that is nobody's. What is left harms nobody.
            let _removed = fs::remove_file(path);
        }
    }
}

fn lock_path(database: &Path, session_id: &str) -> PathBuf {
    let mut directory = database.as_os_str().to_owned();
    directory.push(".runs");
    PathBuf::from(directory).join(session_id)
}

fn locked(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    file.try_lock()?;
    Ok(file)
}

/// Returns who this process is: machine, boot, namespace of process numbers, number and start time.
pub(crate) fn evidence() -> Value {
    let own = std::process::id();
    json!({
        "machine": machine(),
        "boot": read("/proc/sys/kernel/random/boot_id"),
        "pid_namespace": namespace(),
        "pid": own,
        "started": start_time(u64::from(own)),
    })
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

/// Returns a name of this machine that tells nobody its id, which is to be kept from others (machine-id(5)).
fn machine() -> Option<String> {
    const OURS: Uuid = Uuid::from_u128(0x2f0b_6a4e_93d1_4c57_8e26_71c4_0ad5_b9f3);
    let id = read("/etc/machine-id")
        .filter(|id| !id.is_empty())
        .or_else(|| read("/proc/sys/kernel/hostname"))?;
    Some(Uuid::new_v5(&OURS, id.as_bytes()).to_string())
}

fn namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.into_os_string().into_string().ok()
}

/// Returns when a process was started, in ticks since the boot; `None` where there is none of that number.
fn start_time(pid: u64) -> Option<u64> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The name stands in brackets, and may hold anything; what follows are numbers, and this is the 20th
    // (proc_pid_stat(5)).
    let (_, numbers) = stat.rsplit_once(')')?;
    numbers.split_whitespace().nth(19)?.parse().ok()
}

/// What is known of a run that has written no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// It lives; a process that was stopped does too.
    Alive,
    /// It is dead, and why that is known.
    Dead(String),
    /// Nothing tells. It may be on another machine.
    Silent,
}

/// Returns whether the run with this session lives, by its lock, or by what the session's metadata says of its process.
pub(crate) fn judge(
    database: Option<&Path>,
    session_id: &str,
    metadata: Option<&Value>,
) -> Liveness {
    match database.and_then(|database| try_lock(&lock_path(database, session_id))) {
        Some(true) => return Liveness::Dead("nobody holds the lock of its process".to_owned()),
        Some(false) => return Liveness::Alive,
        None => {}
    }
    let Some(recorder) = metadata.and_then(|metadata| metadata.get(RECORDER)) else {
        return Liveness::Silent;
    };
    let is_own = |key: &str, own: Option<String>| {
        let theirs = recorder.get(key).and_then(Value::as_str);
        theirs.is_some() && theirs == own.as_deref()
    };
    if !is_own("machine", machine()) {
        return Liveness::Silent;
    }
    if !is_own("boot", read("/proc/sys/kernel/random/boot_id")) {
        return Liveness::Dead("its machine was started again".to_owned());
    }
    let (pid, started) = (
        recorder.get("pid").and_then(Value::as_u64),
        recorder.get("started").and_then(Value::as_u64),
    );
    match (is_own("pid_namespace", namespace()), pid, started) {
        (true, Some(pid), Some(started)) if start_time(pid) == Some(started) => Liveness::Alive,
        (true, Some(pid), Some(_)) => Liveness::Dead(format!("its process {pid} is gone")),
        _ => Liveness::Silent,
    }
}

/// Returns whether the lock is free; `None` where there is no such file, or it can't be read.
fn try_lock(path: &Path) -> Option<bool> {
    let file = OpenOptions::new().write(true).open(path).ok()?;
    match file.try_lock() {
        Ok(()) => Some(true),
        Err(TryLockError::WouldBlock) => Some(false),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Takes the file of a dead run away.
pub(crate) fn forget(database: Option<&Path>, session_id: &str) {
    if let Some(database) = database {
        // What is left harms nobody.
        let _removed = fs::remove_file(lock_path(database, session_id));
    }
}

#[cfg(test)]
mod tests {
    use super::{Liveness, ProofOfLife, RECORDER, evidence, judge};
    use descartes_state::serde_json::json;

    #[test]
    fn a_run_lives_as_long_as_its_lock_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state.db");
        let database = Some(file.as_path());
        let proof = ProofOfLife::begin(database, "s");
        let (locked, path) = proof.file.unwrap();
        let gone = json!({ RECORDER: { "machine": super::machine(), "boot": "another" } });
        assert_eq!(judge(database, "s", Some(&gone)), Liveness::Alive);
        // As the system does it at any death.
        drop(locked);
        assert!(matches!(judge(database, "s", None), Liveness::Dead(_)));
        super::forget(database, "s");
        assert!(!path.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn without_a_lock_the_evidence_of_the_same_kernel_decides_and_no_other() {
        let nowhere = std::path::Path::new("/nowhere/state.db");
        for database in [Some(nowhere), None] {
            let with = |key: &str, value| {
                let mut own = evidence();
                own[key] = value;
                judge(database, "s", Some(&json!({ RECORDER: own })))
            };
            assert_eq!(with("x", json!(null)), Liveness::Alive);
            assert!(matches!(with("started", json!(1)), Liveness::Dead(_)));
            assert!(matches!(with("boot", json!("another")), Liveness::Dead(_)));
            assert_eq!(with("machine", json!("another")), Liveness::Silent);
            assert_eq!(with("pid_namespace", json!("another")), Liveness::Silent);
            assert_eq!(judge(database, "s", Some(&json!({}))), Liveness::Silent);
            assert_eq!(judge(database, "s", None), Liveness::Silent);
        }
    }
}
