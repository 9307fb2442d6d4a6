//! Clocks, disks and latencies.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::resource::{UsageWho, getrusage};

/// Latencies of one task, or of all.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0
            .push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn histogram(&self) -> Result<Histogram<u64>> {
        const HOUR: u64 = 3_600_000_000_000;
        let mut histogram = Histogram::new_with_bounds(1, HOUR, 3)?;
        for &latency in &self.0 {
            histogram.saturating_record(latency.max(1));
        }
        Ok(histogram)
    }
}

/// The processor time of this process so far: user and system, all threads.
pub(crate) fn cpu_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1_000_000.0;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The size of a database and its log. It looks at names only: opening and closing the file would drop SQLite's locks.
///
/// # Errors
/// Where there is no such file.
pub fn bytes_on_disk(path: &Path) -> Result<u64> {
    let database = fs::metadata(path)
        .with_context(|| format!("{}", path.display()))?
        .len();
    let log = fs::metadata(with_suffix(path, "-wal")).map_or(0, |metadata| metadata.len());
    Ok(database + log)
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The median time of appending 4 KiB to a file and making it durable.
///
/// # Errors
/// Only the file system's.
pub fn fsync_probe(directory: &Path, times: usize) -> Result<u64> {
    let path = directory.join(format!("fsync-probe-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{}", path.display()))?;
    let page = [0x5a_u8; 4096];
    let mut latencies = Latencies::default();
    for _ in 0..times {
        let start = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        latencies.record(start.elapsed());
    }
    drop(file);
    fs::remove_file(&path)?;
    Ok(latencies.histogram()?.value_at_quantile(0.5))
}

/// Takes a file's pages out of the system's cache. Nobody has it open.
///
/// # Errors
/// Only the file system's.
#[expect(
    clippy::disallowed_methods,
    reason = "no connection of this process is open on the file"
)]
pub fn forget_cached_pages(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    // Pages that are still to be written can't be dropped.
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}
