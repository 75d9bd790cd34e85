//! The pass that a thread runs: which of its operations are submitted, recorded or held back.

use std::cell::RefCell;

use super::super::driver::{Operation, Outcome, RecordedOperation};
use super::super::gpu::{Gpu, ok_or_throw};
use super::super::pool::{ArenaId, HeldPass};
use crate::kernels::fault::DeviceFault;

thread_local! {
    static RUNNING: RefCell<Option<RunningPass>> = const { RefCell::new(None) };
}

/// The pass that a thread runs.
#[derive(Debug)]
struct RunningPass {
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
fn with_running<T>(gpu: &Gpu, work: impl FnOnce(&mut RunningPass) -> T) -> Option<T> {
    let found = RUNNING.try_with(|running| {
        let mut running = running.borrow_mut();
        running
            .as_mut()
            .filter(|running| running.gpu == address(gpu))
            .map(work)
    });
    found.ok().flatten()
}

/// Returns whether this thread runs a pass, on any GPU.
pub(super) fn is_running() -> bool {
    RUNNING.with(|running| running.borrow().is_some())
}

/// Notes that this thread prepares the inputs of a pass with this arena.
pub(super) fn prepare(gpu: &Gpu, arena: ArenaId) {
    let running = RunningPass {
        gpu: address(gpu),
        arena,
        state: State::Inputs,
    };
    RUNNING.with(|current| current.replace(Some(running)));
}

/// Begins the pass itself: records its operations, or holds them back as long as they are those of
/// `record`.
pub(super) fn start(gpu: &Gpu, record: Option<Vec<RecordedOperation>>) {
    let state = match record {
        None => State::Recording(Vec::new()),
        Some(record) => State::Holding {
            record,
            count: 0,
            pass: gpu.pool().begin_holding(),
        },
    };
    with_running(gpu, |running| running.state = state);
}

/// Ends the pass. What it still holds back is not submitted.
pub(super) fn finish(gpu: &Gpu) {
    let running = RUNNING.with(|running| running.borrow_mut().take());
    if let Some(State::Holding { pass, .. }) = running.map(|running| running.state) {
        gpu.pool().end_holding(pass);
    }
}

/// Returns the arena of the pass that this thread runs.
pub(in super::super) fn arena(gpu: &Gpu) -> Option<ArenaId> {
    with_running(gpu, |running| running.arena)
}

/// Returns the arena of the pass that this thread runs, unless operations that use it are still to be
/// submitted.
pub(super) fn unused_arena(gpu: &Gpu) -> Option<ArenaId> {
    with_running(gpu, |running| {
        (!matches!(running.state, State::CatchingUp)).then_some(running.arena)
    })?
}

/// Returns whether this thread prepares the inputs of a pass.
pub(in super::super) fn is_preparing(gpu: &Gpu) -> bool {
    with_running(gpu, |running| matches!(running.state, State::Inputs)).unwrap_or(false)
}

/// Holds an operation back if it is the next one of the record, and returns its outcome then. If it is
/// another one, submits those that were held back.
pub(in super::super) fn hold_back(
    gpu: &Gpu,
    operation: &Operation,
) -> Option<Result<Outcome, DeviceFault>> {
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
pub(in super::super) fn record(
    gpu: &Gpu,
    operation: &Operation,
    outcome: &Result<Outcome, DeviceFault>,
) {
    with_running(gpu, |running| {
        if let State::Recording(record) = &mut running.state {
            record.push(RecordedOperation::new(operation, outcome.clone()));
        }
    });
}

/// Submits what this thread's pass holds back, and makes the rest of this run one that is neither
/// compared nor recorded.
pub(in super::super) fn submit_held(gpu: &Gpu) {
    submit_record(gpu);
    with_running(gpu, |running| {
        if !matches!(running.state, State::Inputs | State::CatchingUp) {
            running.state = State::Submitting;
        }
    });
}

/// Submits what this thread's pass holds back, and returns it; `None` if it holds nothing back.
pub(super) fn submit_record(gpu: &Gpu) -> Option<Vec<RecordedOperation>> {
    let (mut record, count, held) = take_held(gpu)?;
    record.truncate(count);
    submit_all(gpu, &record);
    drop(held);
    with_running(gpu, |running| running.state = State::Submitting);
    Some(record)
}

/// Takes what this thread's pass holds back if that is its whole record, with the mark that keeps the
/// memory of the operations.
pub(super) fn take_whole(gpu: &Gpu) -> Option<(Vec<RecordedOperation>, Held<'_>)> {
    let is_whole = with_running(gpu, |running| match &running.state {
        State::Holding { record, count, .. } => *count > 0 && *count == record.len(),
        _ => false,
    })?;
    let (record, _, held) = is_whole.then(|| take_held(gpu))??;
    Some((record, held))
}

/// Takes the record, the number of its operations that are held back, and the mark that keeps their memory.
fn take_held(gpu: &Gpu) -> Option<(Vec<RecordedOperation>, usize, Held<'_>)> {
    with_running(gpu, |running| {
        if !matches!(running.state, State::Holding { .. }) {
            return None;
        }
        match std::mem::replace(&mut running.state, State::CatchingUp) {
            State::Holding {
                record,
                count,
                pass,
            } => Some((record, count, Held { gpu, pass })),
            other => {
                running.state = other;
                None
            }
        }
    })?
}

/// Takes what was recorded in this run.
pub(super) fn take_recorded(gpu: &Gpu) -> Option<Vec<RecordedOperation>> {
    let state = with_running(gpu, |running| {
        std::mem::replace(&mut running.state, State::Submitting)
    })?;
    match state {
        State::Recording(record) => Some(record),
        _ => None,
    }
}

/// Submits recorded operations one by one.
pub(super) fn submit_all(gpu: &Gpu, record: &[RecordedOperation]) {
    for operation in record {
        ok_or_throw(operation.resubmit(|operation| gpu.submit_now(operation)));
    }
}

/// Operations that are held back. When dropped, freed memory that they use may be used again.
pub(super) struct Held<'a> {
    gpu: &'a Gpu,
    pass: HeldPass,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.gpu.pool().end_holding(self.pass);
    }
}
