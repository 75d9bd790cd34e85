//! What a piece of work costs: time, page faults, allocations, memory.

use std::fs;
use std::time::Instant;

use dragnext::kernels::Backend;
use dragnext::progress::{Progress, Stage};
use serde::Serialize;

use crate::allocations;

/// The cost of one run. What only Linux tells is absent elsewhere.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// Pages that the kernel had to give or map.
    pub(crate) minor_faults: Option<u64>,
    /// Pages that came from the disk.
    pub(crate) major_faults: Option<u64>,
    pub(crate) allocations: u64,
    pub(crate) allocated_bytes: u64,
    /// The most memory that was resident, weights included.
    pub(crate) peak_bytes: Option<u64>,
    /// The most memory of a device that was held so far, and kernels and library calls that were asked of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launches: Option<u64>,
    /// Until all of that was asked for; the device may still be at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issue_seconds: Option<f64>,
}

/// Work that has begun.
pub(crate) struct Meter<B: Backend> {
    backend: B,
    launches: Option<u64>,
    since: Instant,
    faults: Option<[u64; 2]>,
    allocations: (u64, u64),
}

impl<B: Backend> Meter<B> {
    pub(crate) fn start(backend: &B) -> Self {
        forget_peak();
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

/// Minor and major faults of all threads so far: fields 10 and 12 of /proc/self/stat, counted behind the name in parentheses.
fn faults() -> Option<[u64; 2]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some([fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?])
}

/// Lets the kernel count the peak from here on.
fn forget_peak() {
    // Where it cannot, the peak is that of the whole run so far.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The cost of every stage of an edit, listening as a progress display would.
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
