//! Summarises several runs of a call.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::call::Run;
use crate::cost::Cost;

/// The summary of all runs of a call, or of a stage of an edit.
#[derive(Serialize)]
pub(crate) struct Summary {
    /// Seconds of every run, in order.
    seconds: Vec<f64>,
    median: f64,
    min: f64,
    minor_faults: Option<u64>,
    major_faults: Option<u64>,
    allocations: u64,
    allocated_bytes: u64,
    /// Maximum over all runs, as for `device_peak_bytes`; the other counts are medians.
    peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launches: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issue_seconds: Option<f64>,
    /// Floating-point operations, if the reference has them.
    flop: Option<f64>,
    gflop_per_second: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    stages: BTreeMap<&'static str, Summary>,
}

impl Summary {
    /// Summarises at least one run.
    pub(crate) fn new(runs: &[Run], flop: Option<f64>) -> Self {
        let mut stages: BTreeMap<&'static str, Vec<Cost>> = BTreeMap::new();
        for (stage, cost) in runs.iter().flat_map(|run| &run.stages) {
            stages.entry(stage).or_default().push(*cost);
        }
        let costs: Vec<Cost> = runs.iter().map(|run| run.cost).collect();
        let stages = stages
            .into_iter()
            .map(|(stage, costs)| (stage, Self::of_costs(&costs, None, BTreeMap::new())))
            .collect();
        Self::of_costs(&costs, flop, stages)
    }

    fn of_costs(costs: &[Cost], flop: Option<f64>, stages: BTreeMap<&'static str, Self>) -> Self {
        let seconds: Vec<f64> = costs.iter().map(|cost| cost.seconds).collect();
        let mut sorted = seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        Self {
            min: sorted[0],
            seconds,
            median,
            minor_faults: median_of(costs, |cost| cost.minor_faults),
            major_faults: median_of(costs, |cost| cost.major_faults),
            allocations: median_of(costs, |cost| cost.allocations),
            allocated_bytes: median_of(costs, |cost| cost.allocated_bytes),
            peak_bytes: costs.iter().filter_map(|cost| cost.peak_bytes).max(),
            device_peak_bytes: costs.iter().filter_map(|cost| cost.device_peak_bytes).max(),
            issue_seconds: minimum(costs.iter().filter_map(|cost| cost.issue_seconds)),
            launches: median_of(costs, |cost| cost.launches),
            flop,
            gflop_per_second: flop.map(|flop| flop / median / 1e9),
            stages,
        }
    }
}

fn minimum(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    numbers.reduce(f64::min)
}

fn median_of<T: Ord>(costs: &[Cost], of: impl Fn(&Cost) -> T) -> T {
    let mut sorted: Vec<T> = costs.iter().map(of).collect();
    sorted.sort();
    sorted.swap_remove(sorted.len() / 2)
}
