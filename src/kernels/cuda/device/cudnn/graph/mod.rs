//! Convolutions with cuDNN's graph API: an operation graph, an engine for it, and a plan that runs
//! it. `DRAGNEXT_CUDNN=graph` selects it.
//!
//! No GPU has run this. Where cuDNN is installed, a test makes the graphs and the plans of Stable
//! Diffusion 1.5 with it, for GPUs that it knows by their properties; cuDNN 9.28 has an acceptable
//! engine for each, with all terms. Another library of the tests computes the results.
//!
//! The legacy functions offer the algorithms of the Ampere generation. The graph API also reaches
//! the kernels for the tensor cores of Hopper, adds bias and residual in one call, and takes padding
//! that differs on opposite sides, as the autoencoder's downsampling has.
//!
//! **The choice of an engine** follows from the library's ranking alone: the first engine that is
//! deterministic, precise, compiled, and content with the limit of workspace. The ranking depends on
//! shape, GPU and version of the library, so the same input gives the same bytes in every run. The
//! best few engines are not timed: they round differently, a timing differs from run to run, and
//! which bytes an edit gives would depend on what else the GPU did at its start. A remembered choice
//! would repeat it on one machine only, until its cache is cleared.
//!
//! **Failures.** What the library does not support is remembered, and the legacy functions compute
//! that shape from then on. Short memory and a lost GPU are faults, as in every other call. Any
//! other failure to plan leaves the GPU untouched, so the legacy functions compute that one call.

mod descriptor;
mod engines;
mod operations;
mod target;
#[cfg(test)]
mod tests;

use cudarc::cudnn::sys::{
    cudnnBackendAttributeName_t as Attribute, cudnnBackendDescriptorType_t as DescriptorType,
    cudnnHandle_t,
};

use crate::kernels::cuda::driver::{Address, Convolution, ConvolutionData};

use super::super::call::LibraryFailure;
use super::pointer;
use super::support;
use descriptor::{Descriptor, PointerValue};
use engines::ExecutionPlan;
pub(super) use operations::Terms;
use operations::{ALIGNMENT, OperationGraph};
use target::Target;

/// A plan for a convolution with certain terms.
#[derive(Debug)]
pub(super) struct GraphPlan {
    execution: ExecutionPlan,
    #[expect(dead_code, reason = "it lives as long as the plan")]
    graph: OperationGraph,
    shape: Convolution,
    terms: Terms,
}

impl GraphPlan {
    /// Plans a convolution with at most `limit` bytes of workspace.
    pub(super) fn new(
        handle: cudnnHandle_t,
        shape: &Convolution,
        terms: Terms,
        limit: u64,
    ) -> Result<Self, LibraryFailure> {
        let padding = support::padding(shape)
            .map_err(|reason| LibraryFailure::Unsupported(reason.to_owned()))?;
        let target = Target::Handle(handle);
        let graph = OperationGraph::new(&target, shape, padding, terms)?;
        Ok(Self {
            execution: engines::plan(&target, &graph.graph, limit)?,
            graph,
            shape: *shape,
            terms,
        })
    }

    /// Returns the bytes of workspace that it takes, at least one.
    pub(super) fn workspace(&self) -> usize {
        self.execution.workspace.max(1)
    }

    /// Returns whether the plan can take these addresses.
    pub(super) fn accepts(&self, data: &ConvolutionData) -> bool {
        let operands = operations::operands(self.shape.direction, self.terms, data);
        operands
            .iter()
            .all(|(_, address)| address.0.is_multiple_of(ALIGNMENT))
    }

    /// Runs the plan.
    pub(super) fn execute(
        &self,
        handle: cudnnHandle_t,
        data: &ConvolutionData,
        workspace: Address,
    ) -> Result<(), LibraryFailure> {
        let operands = operations::operands(self.shape.direction, self.terms, data);
        let (ids, addresses): (Vec<i64>, Vec<PointerValue>) = operands
            .into_iter()
            .map(|(id, address)| (id, PointerValue(pointer(address))))
            .unzip();
        let pack = Descriptor::new(DescriptorType::CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?
            .with(Attribute::CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &ids)?
            .with(Attribute::CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, &addresses)?
            .with(
                Attribute::CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                &[PointerValue(pointer(workspace))],
            )?
            .finalised()?;
        // SAFETY: the handle is alive; the caller owns the tensors, which match their descriptors;
        // the workspace has the size that the plan requested.
        Ok(unsafe { self.execution.plan.execute(handle, &pack) }?)
    }
}
