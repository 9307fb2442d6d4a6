//! Calls one after the other, each with its own time.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;

/// What one operation cost at one size.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    /// `events` or `agents`.
    pub(crate) subject: &'static str,
    pub(crate) rows: u64,
    pub(crate) operation: &'static str,
    pub(crate) samples: usize,
    /// Rows that the last call returned.
    pub(crate) returned: u64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

/// Where a cost belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) subject: &'static str,
    pub(crate) rows: u64,
}

impl Size {
    /// Measures a call until there are enough samples or it has taken long enough. The call says how many rows it returned.
    pub(crate) async fn cost(
        self,
        operation: &'static str,
        mut call: impl AsyncFnMut(u64) -> Result<u64, Failure>,
    ) -> Result<Cost, Failure> {
        const WARM_UPS: u64 = 10;
        const LEAST: usize = 20;
        const MOST: usize = 1_000;
        const LONG_ENOUGH: Duration = Duration::from_secs(4);
        for number in 0..WARM_UPS {
            call(number).await?;
        }
        let mut times = Vec::with_capacity(MOST);
        let mut returned = 0;
        let begin = Instant::now();
        while times.len() < MOST && (times.len() < LEAST || begin.elapsed() < LONG_ENOUGH) {
            let number = WARM_UPS + times.len() as u64;
            let start = Instant::now();
            returned = call(number).await?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(self.summary(operation, times, returned))
    }

    /// The cost of an operation whose times, in microseconds, are known already.
    pub(crate) fn summary(
        self,
        operation: &'static str,
        mut times: Vec<f64>,
        returned: u64,
    ) -> Cost {
        times.sort_by(f64::total_cmp);
        Cost {
            subject: self.subject,
            rows: self.rows,
            operation,
            samples: times.len(),
            returned,
            median: quantile(&times, 0.5),
            p99: quantile(&times, 0.99),
        }
    }

    /// What the disk alone takes for a durable write beside the database: a durable operation can't be faster for long.
    pub(crate) async fn disk(self, directory: &Path) -> Result<Cost, Failure> {
        let mut file = tempfile::tempfile_in(directory)?;
        let page = [7_u8; 4096];
        self.cost("write and fsync of 4 KiB, without a store", async |_| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&page)?;
            file.sync_data()?;
            Ok(0)
        })
        .await
    }
}

/// The smallest time that at least this part of the times doesn't exceed.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    // The rank is within the length, which is far below what a float holds exactly.
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// Numbers below `rows` in no order, the same ones in every run.
pub(crate) fn scattered(number: u64, rows: u64) -> u64 {
    let mut mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)) % rows.max(1)
}
