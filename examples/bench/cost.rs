//! Measures time, page faults, allocations and memory.

use std::fs;
use std::time::Instant;

use dragnext::kernels::Backend;
use dragnext::progress::{Progress, Stage};
use serde::Serialize;

use crate::allocations;

/// The cost of one run. Fields that only Linux provides are `None` elsewhere.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// Page faults without disk access.
    pub(crate) minor_faults: Option<u64>,
    /// Page faults that read from disk.
    pub(crate) major_faults: Option<u64>,
    pub(crate) allocations: u64,
    pub(crate) allocated_bytes: u64,
    /// Peak resident memory, including weights.
    pub(crate) peak_bytes: Option<u64>,
    /// Peak memory of the device so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_peak_bytes: Option<u64>,
    /// Kernel launches and library calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launches: Option<u64>,
    /// Seconds until all work was issued to the device, which may still be running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issue_seconds: Option<f64>,
}

/// A measurement that has started.
pub(crate) struct Meter<B: Backend> {
    backend: B,
    launches: Option<u64>,
    since: Instant,
    faults: Option<[u64; 2]>,
    allocations: (u64, u64),
}

impl<B: Backend> Meter<B> {
    pub(crate) fn start(backend: &B) -> Self {
        reset_peak();
        backend.wait();
        Self {
            backend: backend.clone(),
            launches: backend.launches(),
            faults: faults(),
            allocations: allocations::so_far(),
            since: Instant::now(),
        }
    }

    pub(crate) fn stop(&self) -> Cost {
        let issued = self.since.elapsed().as_secs_f64();
        self.backend.wait();
        let seconds = self.since.elapsed().as_secs_f64();
        let (count, bytes) = allocations::so_far();
        let faults = faults()
            .zip(self.faults)
            .map(|(now, before)| [now[0] - before[0], now[1] - before[1]]);
        Cost {
            seconds,
            minor_faults: faults.map(|faults| faults[0]),
            major_faults: faults.map(|faults| faults[1]),
            allocations: count - self.allocations.0,
            allocated_bytes: bytes - self.allocations.1,
            peak_bytes: peak(),
            device_peak_bytes: self.backend.peak_bytes(),
            issue_seconds: self.backend.launches().map(|_| issued),
            launches: self
                .backend
                .launches()
                .zip(self.launches)
                .map(|(now, before)| now - before),
        }
    }
}

/// Returns minor and major faults of all threads so far: fields 10 and 12 of /proc/self/stat, counted from the name in parentheses.
fn faults() -> Option<[u64; 2]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some([fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?])
}

/// Resets the peak of resident memory.
fn reset_peak() {
    // If that fails, the peak is that of the whole process so far.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Measures the stages of an edit by implementing its progress display.
pub(crate) struct Stages<B: Backend> {
    backend: B,
    current: Option<(Stage, Meter<B>)>,
    pub(crate) costs: Vec<(Stage, Cost)>,
}

impl<B: Backend> Stages<B> {
    pub(crate) fn new(backend: &B) -> Self {
        Self {
            backend: backend.clone(),
            current: None,
            costs: Vec::new(),
        }
    }
}

impl<B: Backend> Progress for Stages<B> {
    fn begin(&mut self, stage: Stage, _: usize) {
        self.current = Some((stage, Meter::start(&self.backend)));
    }

    fn step(&mut self, _: Option<f64>) {}

    fn end(&mut self) {
        if let Some((stage, meter)) = self.current.take() {
            self.costs.push((stage, meter.stop()));
        }
    }
}
