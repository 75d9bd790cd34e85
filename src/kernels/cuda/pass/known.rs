//! What is known of passes between their runs: arenas, records and graphs.

use std::collections::BTreeMap;

use super::super::driver::{Graph, RecordedOperation};
use super::super::gpu::Gpu;
use super::super::pool::ArenaId;
use super::running::{submit_all, take_whole, unused_arena};
use crate::kernels::fault::{DeviceFault, throw};
use crate::kernels::{GraphFigures, PassKey};

/// Runs in a row that launch no existing graph after which a pass is no longer recorded.
const MAX_MISSES: usize = 8;
/// Number of passes that are remembered between trims. Each keeps the memory of one run.
const MAX_PASSES: usize = 8;

/// Identifies a pass on a GPU.
pub(super) type Key = (PassKey, &'static str);

/// What is known of the passes of a GPU.
#[derive(Debug, Default)]
pub(in super::super) struct Passes {
    enabled: bool,
    /// `None` while a thread runs the pass.
    known: BTreeMap<Key, Option<KnownPass>>,
    /// Number of trims. A pass that runs during one is forgotten when it ends.
    trims: usize,
    figures: GraphFigures,
}

/// A pass between two runs.
#[derive(Debug, Default)]
pub(super) struct KnownPass {
    pub(super) arena: Option<ArenaId>,
    pub(super) record: Option<Vec<RecordedOperation>>,
    pub(super) graph: Option<Box<dyn Graph>>,
    /// Runs since the last one that launched a graph which was there.
    pub(super) misses: usize,
}

impl Passes {
    /// Lets repeated passes become graphs, or not.
    pub(in super::super) fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Returns whether repeated passes become graphs.
    pub(in super::super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Returns what became of the passes.
    pub(in super::super) fn figures(&self) -> &GraphFigures {
        &self.figures
    }

    /// Returns the number of trims.
    pub(super) fn trims(&self) -> usize {
        self.trims
    }

    /// Takes a pass that is to be recorded or compared; `None` if its operations are only submitted.
    pub(super) fn take(&mut self, key: &Key) -> Option<KnownPass> {
        if !self.enabled {
            return None;
        }
        let Some(slot) = self.known.get_mut(key) else {
            if self.known.len() < MAX_PASSES {
                self.known.insert(key.clone(), Some(KnownPass::default()));
            }
            return None;
        };
        let is_repeated = slot.as_ref().is_some_and(|known| known.misses < MAX_MISSES);
        if is_repeated { slot.take() } else { None }
    }

    /// Puts a pass back that [`Passes::take`] returned. Returns what is not kept of it.
    pub(super) fn put_back(&mut self, key: &Key, mut known: KnownPass) -> Option<KnownPass> {
        let is_given_up = known.misses >= MAX_MISSES;
        let misses = known.misses;
        let given_up = is_given_up.then(|| std::mem::take(&mut known));
        let kept = KnownPass { misses, ..known };
        self.known.insert(key.clone(), Some(kept));
        given_up
    }

    /// Forgets a pass that [`Passes::take`] returned.
    pub(super) fn forget(&mut self, key: &Key) {
        self.known.remove(key);
    }

    /// Takes all passes that do not run, and counts a trim.
    fn take_idle(&mut self) -> Vec<KnownPass> {
        self.trims += 1;
        let (running, idle) = std::mem::take(&mut self.known)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, known)| known.is_none());
        self.known = running;
        idle.into_values().flatten().collect()
    }
}

impl KnownPass {
    /// Launches the graph of what this thread's pass holds back, if that is its whole record. Makes it first
    /// if there is none. If that fails, or the launch lacks memory, submits the operations. `trims` is the
    /// number of trims at the start of the run. Returns whether nothing is held back any more.
    pub(super) fn launch(&mut self, gpu: &Gpu, trims: usize) -> bool {
        let Some((record, _held)) = take_whole(gpu) else {
            return false;
        };
        match self.try_launch(gpu, &record) {
            Ok(()) => self.record = Some(record),
            Err(fault @ DeviceFault::Lost { .. }) => throw(fault),
            Err(fault) => {
                self.misses = MAX_MISSES;
                let mut passes = gpu.passes();
                // A trim of another thread frees the workspace that a capture needs. The next run may succeed.
                if passes.trims == trims {
                    passes.figures.failure.get_or_insert_with(|| reason(&fault));
                }
                drop(passes);
                submit_all(gpu, &record);
            }
        }
        true
    }

    /// Launches the graph of a record; makes it first if there is none. After an error, nothing was
    /// submitted, and there is no graph.
    fn try_launch(&mut self, gpu: &Gpu, record: &[RecordedOperation]) -> Result<(), DeviceFault> {
        let graph = if let Some(graph) = self.graph.take() {
            self.misses = 0;
            graph
        } else {
            let graph = gpu.driver().graph(record)?;
            gpu.passes().figures.made += 1;
            graph
        };
        graph.launch()?;
        gpu.count_launch();
        gpu.passes().figures.launched += 1;
        self.graph = Some(graph);
        Ok(())
    }
}

/// Describes why a graph could not be made or launched.
fn reason(fault: &DeviceFault) -> String {
    match fault {
        DeviceFault::OutOfMemory { .. } => "out of memory".to_owned(),
        DeviceFault::Refused { call, reason } | DeviceFault::Lost { call, reason } => {
            format!("`{call}`: {reason}")
        }
    }
}

/// Drops the graphs, records and arenas of all passes that do not run, and the arena of this thread's
/// pass, unless operations that use it are still to be submitted. Passes that run are forgotten when they end.
pub(in super::super) fn forget(gpu: &Gpu) {
    let idle = gpu.passes().take_idle();
    end_arenas(gpu, idle);
    if let Some(own) = unused_arena(gpu) {
        gpu.pool().end_arena(own);
    }
}

/// Drops graphs, and gives their memory to the pool.
pub(super) fn end_arenas(gpu: &Gpu, passes: impl IntoIterator<Item = KnownPass>) {
    for KnownPass { arena, graph, .. } in passes {
        drop(graph);
        if let Some(arena) = arena {
            gpu.pool().end_arena(arena);
        }
    }
}
