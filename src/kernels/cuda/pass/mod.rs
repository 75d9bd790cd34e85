//! Work that is repeated, such as a pass through a network, as graphs.
//!
//! A drag makes the same forward and backward pass again and again, of several hundred operations each.
//! Submitting them one by one takes the host longer than the GPU needs for them. So a pass that makes the
//! same operations as its last run is submitted as one graph. A pass within another one is a part of it:
//! an iteration of a drag, with its loss and both passes, is one graph
//! ([`Network::iteration`](crate::model::unet::Network::iteration)).
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
//! - Inputs that differ from run to run are copied to the arena before the pass ([`Backend::pass`](crate::kernels::Backend::pass)).
//! - A read or a write of the host within a pass, and running out of memory, submit what was held back.
//! - A graph that cannot be made, or lacks memory at its launch, is not tried again before the next trim; its
//!   operations are submitted.
//! - A trim drops graphs, records and arenas. It follows every stage of an edit, and short memory.
//! - Passes of other threads have other arenas. A thread that starts a pass of the same kind meanwhile
//!   submits its operations one by one.

mod known;
mod running;

use std::sync::Arc;

use super::gpu::Gpu;
use crate::kernels::{Format, PassKey};
use known::{Key, KnownPass, end_arenas};
pub(super) use known::{Passes, forget};
pub(super) use running::{arena, hold_back, is_preparing, record, submit_held};

/// A run of a pass, from [`begin`] to [`Run::end`]. When it is dropped before, as by a fault, what it
/// holds back is not submitted, and the pass is forgotten.
#[derive(Debug)]
pub(super) struct Run<'a> {
    gpu: &'a Arc<Gpu>,
    key: Key,
    known: KnownPass,
    /// Number of trims at the start.
    trims: usize,
    has_ended: bool,
}

/// Begins a run of a pass that was run before: its inputs are prepared next. Returns `None` if its
/// operations are submitted as any others.
pub(super) fn begin(gpu: &Arc<Gpu>, key: PassKey, format: Format) -> Option<Run<'_>> {
    let key = (key, format.name());
    if running::is_running() {
        return None;
    }
    let mut passes = gpu.passes();
    let mut known = passes.take(&key)?;
    let trims = passes.trims();
    drop(passes);
    let arena = gpu.pool().begin_arena(known.arena);
    known.arena = Some(arena);
    running::prepare(gpu, arena);
    Some(Run {
        gpu,
        key,
        known,
        trims,
        has_ended: false,
    })
}

impl Run<'_> {
    /// Begins the pass itself, after its inputs.
    pub(super) fn start(&mut self) {
        running::start(self.gpu, self.known.record.take());
    }

    /// Ends the pass: launches its graph, or submits what was held back.
    pub(super) fn end(mut self) {
        let (gpu, known) = (self.gpu, &mut self.known);
        known.misses += 1;
        if !known.launch(gpu, self.trims) {
            known.graph = None;
            known.record = running::submit_record(gpu).or_else(|| running::take_recorded(gpu));
        }
        self.has_ended = true;
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        running::finish(self.gpu);
        let known = std::mem::take(&mut self.known);
        let mut passes = self.gpu.passes();
        let ended = if self.has_ended && passes.trims() == self.trims {
            passes.put_back(&self.key, known)
        } else {
            passes.forget(&self.key);
            Some(known)
        };
        drop(passes);
        end_arenas(self.gpu, ended);
    }
}
