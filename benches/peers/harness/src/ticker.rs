//! A task that wants to run every millisecond, and how late it does: what a store does to its neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::job::TickerReport;
use crate::measure::Latencies;

pub(crate) struct Ticker {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Latencies>,
}

impl Ticker {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut delays = Latencies::default();
            let mut every = interval(Duration::from_millis(1));
            every.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while !stopped.load(Ordering::Relaxed) {
                let due = every.tick().await;
                delays.record(Instant::now().saturating_duration_since(due));
            }
            delays
        });
        Self { stop, task }
    }

    pub(crate) async fn finish(self) -> Result<TickerReport> {
        self.stop.store(true, Ordering::Relaxed);
        let delays = self.task.await?;
        let histogram = delays.histogram()?;
        Ok(TickerReport {
            ticks: delays.len(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            worst: histogram.max(),
        })
    }
}
