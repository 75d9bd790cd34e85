//! Passes through a network that are repeated, as graphs.
//!
//! A drag makes the same forward and backward pass again and again, of several hundred operations each.
//! Submitting them one by one takes the host longer than the GPU needs for them. So a pass that makes the
//! same operations as its last run is submitted as one graph:
//!
//! | run | its operations |
//! |---|---|
//! | first | are submitted; libraries choose algorithms, biases are converted |
//! | second | are submitted and recorded; memory comes from the pass's own arena ([`super::pool`]) |
//! | later | are compared with the record, one by one, and held back as long as they are the same. If all are, a graph of them is launched, which is made the first time. At the first difference those before it are submitted, and the others as in the second run |
//!
//! A graph therefore computes exactly what its operations would: equality of the operations, with all
//! addresses and numbers, is checked in every run. The code of the pass runs every time; only the calls of
//! driver and libraries are saved.
//!
//! - Inputs that differ from run to run are copied to the arena before the pass ([`super::Backend::pass`]).
//! - A read or a write of the host within a pass, and running out of memory, submit what was held back.
//! - A graph that cannot be made is not tried again before the next trim; its operations are submitted.
//! - A trim drops graphs, records and arenas. It follows every stage of an edit, and short memory.
//! - Passes of other threads have other arenas. A thread that starts a pass of the same kind meanwhile
//!   submits its operations one by one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::driver::{Graph, Operation, Outcome, RecordedOperation};
use super::gpu::{Gpu, ok_or_throw};
use super::pool::{ArenaId, HeldPass};
use crate::kernels::fault::{DeviceFault, throw};
use crate::kernels::{Format, PassKey};

/// Runs in a row that launch no existing graph after which a pass is no longer recorded.
const MAX_MISSES: usize = 8;
/// Number of passes that are remembered between trims. Each keeps the memory of one run.
const MAX_PASSES: usize = 8;

/// Identifies a pass on a GPU.
type Key = (PassKey, &'static str);

/// What is known of the passes of a GPU.
#[derive(Debug, Default)]
pub(super) struct Passes {
    enabled: bool,
    /// `None` while a thread runs the pass.
    known: BTreeMap<Key, Option<KnownPass>>,
    /// Number of trims. A pass that runs during one is forgotten when it ends.
    trims: usize,
    figures: GraphFigures,
}

/// A pass between two runs.
#[derive(Debug, Default)]
struct KnownPass {
    arena: Option<ArenaId>,
    record: Option<Vec<RecordedOperation>>,
    graph: Option<Box<dyn Graph>>,
    /// Runs since the last one that launched a graph which was there.
    misses: usize,
}

/// What became of the passes of a GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GraphFigures {
    /// Graphs made.
    pub made: usize,
    /// Graphs launched.
    pub launched: usize,
    /// Why a graph could not be made: the first time.
    pub failure: Option<String>,
}

impl Passes {
    /// Lets repeated passes become graphs, or not.
    pub(super) fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Returns whether repeated passes become graphs.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Returns what became of the passes.
    pub(super) fn figures(&self) -> &GraphFigures {
        &self.figures
    }
}

thread_local! {
    /// The pass that this thread runs.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// A pass that a thread runs.
#[derive(Debug)]
struct Running {
    /// Address of the GPU, by which it is identified.
    gpu: usize,
    arena: ArenaId,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Inputs are prepared.
    Inputs,
    /// Operations are submitted and recorded.
    Recording(Vec<RecordedOperation>),
    /// Operations are held back: the first `count` of the record were made again.
    Holding {
        record: Vec<RecordedOperation>,
        count: usize,
        pass: HeldPass,
    },
    /// Operations that were held back are being submitted. They still use the arena's unused memory.
    CatchingUp,
    /// Operations are submitted.
    Submitting,
}

fn address(gpu: &Gpu) -> usize {
    std::ptr::from_ref(gpu) as usize
}

/// Calls `work` with the pass that this thread runs on a GPU.
fn with_running<T>(gpu: &Gpu, work: impl FnOnce(&mut Running) -> T) -> Option<T> {
    let found = RUNNING.try_with(|running| {
        let mut running = running.borrow_mut();
        running
            .as_mut()
            .filter(|running| running.gpu == address(gpu))
            .map(work)
    });
    found.ok().flatten()
}

/// Returns the arena of the pass that this thread runs.
pub(super) fn arena(gpu: &Gpu) -> Option<ArenaId> {
    with_running(gpu, |running| running.arena)
}

/// Returns whether this thread prepares the inputs of a pass.
pub(super) fn is_preparing(gpu: &Gpu) -> bool {
    with_running(gpu, |running| matches!(running.state, State::Inputs)).unwrap_or(false)
}

/// Holds an operation back if it is the next one of the record, and returns its outcome then. If it is
/// another one, submits those that were held back.
pub(super) fn hold_back(gpu: &Gpu, operation: &Operation) -> Option<Result<Outcome, DeviceFault>> {
    let is_next = with_running(gpu, |running| {
        let State::Holding { record, count, .. } = &mut running.state else {
            return Ok(None);
        };
        let next = record.get(*count);
        let Some(next) = next.filter(|next| next.operation().is_same(operation)) else {
            return Err(());
        };
        *count += 1;
        Ok(Some(next.outcome().clone()))
    })?;
    is_next.unwrap_or_else(|()| {
        let record = submit_record(gpu)?;
        with_running(gpu, |running| running.state = State::Recording(record));
        None
    })
}

/// Records an operation that was submitted.
pub(super) fn record(gpu: &Gpu, operation: &Operation, outcome: &Result<Outcome, DeviceFault>) {
    with_running(gpu, |running| {
        if let State::Recording(record) = &mut running.state {
            record.push(RecordedOperation::new(operation, outcome.clone()));
        }
    });
}

/// Submits what this thread's pass holds back, and makes the rest of this run one that is neither
/// compared nor recorded.
pub(super) fn submit_held(gpu: &Gpu) {
    submit_record(gpu);
    with_running(gpu, |running| {
        if !matches!(running.state, State::Inputs | State::CatchingUp) {
            running.state = State::Submitting;
        }
    });
}

/// Submits what this thread's pass holds back, and returns it; `None` if it holds nothing back.
fn submit_record(gpu: &Gpu) -> Option<Vec<RecordedOperation>> {
    let state = with_running(gpu, |running| {
        let is_holding = matches!(running.state, State::Holding { .. });
        is_holding.then(|| std::mem::replace(&mut running.state, State::CatchingUp))
    })??;
    let State::Holding {
        mut record,
        count,
        pass,
    } = state
    else {
        return None;
    };
    record.truncate(count);
    let held = Held { gpu, pass };
    submit_all(gpu, &record);
    drop(held);
    with_running(gpu, |running| running.state = State::Submitting);
    Some(record)
}

fn submit_all(gpu: &Gpu, record: &[RecordedOperation]) {
    for operation in record {
        ok_or_throw(operation.resubmit(|operation| gpu.submit_now(operation)));
    }
}

/// Operations that are held back. When dropped, freed memory that they use may be used again.
struct Held<'a> {
    gpu: &'a Gpu,
    pass: HeldPass,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.gpu.pool().end_holding(self.pass);
    }
}

/// Drops the graphs, records and arenas of all passes that do not run, and the arena of this thread's
/// pass, unless operations that use it are still to be submitted. Passes that run are forgotten when they end.
pub(super) fn forget(gpu: &Gpu) {
    let idle = {
        let mut passes = gpu.passes();
        passes.trims += 1;
        let (running, idle) = std::mem::take(&mut passes.known)
            .into_iter()
            .partition(|(_, known)| known.is_none());
        passes.known = running;
        idle
    };
    let idle: BTreeMap<Key, Option<KnownPass>> = idle;
    end_arenas(gpu, idle.into_values().flatten());
    let own = with_running(gpu, |running| {
        (!matches!(running.state, State::CatchingUp)).then_some(running.arena)
    });
    if let Some(own) = own.flatten() {
        gpu.pool().end_arena(own);
    }
}

fn end_arenas(gpu: &Gpu, passes: impl IntoIterator<Item = KnownPass>) {
    for KnownPass { arena, graph, .. } in passes {
        drop(graph);
        if let Some(arena) = arena {
            gpu.pool().end_arena(arena);
        }
    }
}

/// A run of a pass, from [`begin`] to [`Run::end`]. When it is dropped before, as by a fault, what it
/// holds back is not submitted, and the pass is forgotten.
#[derive(Debug)]
pub(super) struct Run<'a> {
    gpu: &'a Arc<Gpu>,
    key: Key,
    known: KnownPass,
    trims: usize,
    has_ended: bool,
}

/// Begins a run of a pass that was run before: its inputs are prepared next. Returns `None` if its
/// operations are submitted as any others.
pub(super) fn begin(gpu: &Arc<Gpu>, key: PassKey, format: Format) -> Option<Run<'_>> {
    let key = (key, format.name());
    if RUNNING.with(|running| running.borrow().is_some()) {
        return None;
    }
    let mut passes = gpu.passes();
    let mut known = passes.begin(&key)?;
    let trims = passes.trims;
    drop(passes);
    let arena = gpu.pool().begin_arena(known.arena);
    known.arena = Some(arena);
    let running = Running {
        gpu: address(gpu),
        arena,
        state: State::Inputs,
    };
    RUNNING.with(|current| current.replace(Some(running)));
    Some(Run {
        gpu,
        key,
        known,
        trims,
        has_ended: false,
    })
}

impl Passes {
    /// Takes a pass that is to be recorded or compared; `None` if its operations are only submitted.
    fn begin(&mut self, key: &Key) -> Option<KnownPass> {
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
}

impl Run<'_> {
    /// Begins the pass itself, after its inputs.
    pub(super) fn start(&mut self) {
        let state = match self.known.record.take() {
            None => State::Recording(Vec::new()),
            Some(record) => State::Holding {
                record,
                count: 0,
                pass: self.gpu.pool().begin_holding(),
            },
        };
        with_running(self.gpu, |running| running.state = state);
    }

    /// Ends the pass: launches its graph, or submits what was held back.
    pub(super) fn end(mut self) {
        let (gpu, known) = (self.gpu, &mut self.known);
        known.misses += 1;
        let is_whole = with_running(gpu, |running| match &running.state {
            State::Holding { record, count, .. } => *count == record.len(),
            _ => false,
        });
        known.record = if is_whole == Some(true) {
            known.launch(gpu)
        } else {
            known.graph = None;
            submit_record(gpu).or_else(|| take_recorded(gpu))
        };
        self.has_ended = true;
    }
}

/// Takes what was recorded in this run.
fn take_recorded(gpu: &Gpu) -> Option<Vec<RecordedOperation>> {
    let state = with_running(gpu, |running| {
        std::mem::replace(&mut running.state, State::Submitting)
    })?;
    match state {
        State::Recording(record) => Some(record),
        _ => None,
    }
}

impl KnownPass {
    /// Launches the graph of what this thread's pass holds back, which is a whole record. Makes it first if
    /// there is none; if that fails, submits the operations. Returns the record.
    fn launch(&mut self, gpu: &Gpu) -> Option<Vec<RecordedOperation>> {
        let (record, pass) = with_running(gpu, |running| {
            match std::mem::replace(&mut running.state, State::CatchingUp) {
                State::Holding { record, pass, .. } => Some((record, pass)),
                _ => None,
            }
        })??;
        let _held = Held { gpu, pass };
        let graph = match self.graph.take() {
            Some(graph) => {
                self.misses = 0;
                graph
            }
            None => match gpu.driver().graph(&record) {
                Ok(graph) => {
                    gpu.passes().figures.made += 1;
                    graph
                }
                Err(fault @ DeviceFault::Lost { .. }) => throw(fault),
                Err(fault) => {
                    gpu.passes()
                        .figures
                        .failure
                        .get_or_insert_with(|| reason(&fault));
                    self.misses = MAX_MISSES;
                    submit_all(gpu, &record);
                    return None;
                }
            },
        };
        gpu.count_launch();
        ok_or_throw(graph.launch());
        gpu.passes().figures.launched += 1;
        self.graph = Some(graph);
        Some(record)
    }
}

/// Describes why a graph could not be made.
fn reason(fault: &DeviceFault) -> String {
    match fault {
        DeviceFault::OutOfMemory { .. } => "out of memory".to_owned(),
        DeviceFault::Refused { call, reason } | DeviceFault::Lost { call, reason } => {
            format!("`{call}`: {reason}")
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let running = RUNNING.with(|running| running.borrow_mut().take());
        if let Some(State::Holding { pass, .. }) = running.map(|running| running.state) {
            self.gpu.pool().end_holding(pass);
        }
        let mut known = std::mem::take(&mut self.known);
        let mut passes = self.gpu.passes();
        let is_kept = self.has_ended && passes.trims == self.trims;
        let ended = if !is_kept {
            passes.known.remove(&self.key);
            Some(known)
        } else if known.misses >= MAX_MISSES {
            let misses = known.misses;
            let rest = std::mem::take(&mut known);
            let given_up = KnownPass {
                misses,
                ..KnownPass::default()
            };
            passes.known.insert(self.key.clone(), Some(given_up));
            Some(rest)
        } else {
            passes.known.insert(self.key.clone(), Some(known));
            None
        };
        drop(passes);
        end_arenas(self.gpu, ended);
    }
}
