//! The GPU that a graph is planned for.

use cudarc::cudnn::sys::{cudnnBackendAttributeName_t as Attribute, cudnnHandle_t};

use super::super::super::call::CallFailure;
use super::descriptor::{Descriptor, HandleValue};

/// What tells the library the GPU.
#[derive(Debug)]
pub(super) enum Target {
    /// A handle, with which plans run.
    Handle(cudnnHandle_t),
    /// Properties of a GPU that need not be there (cuDNN 9.8 or later). Plans cannot run.
    #[cfg(test)]
    Properties(Descriptor),
}

impl Target {
    /// Sets the GPU of an operation graph.
    pub(super) fn of_graph(&self, graph: Descriptor) -> Result<Descriptor, CallFailure> {
        match self {
            Self::Handle(handle) => graph.with(
                Attribute::CUDNN_ATTR_OPERATIONGRAPH_HANDLE,
                &[HandleValue(*handle)],
            ),
            #[cfg(test)]
            Self::Properties(_) => Ok(graph),
        }
    }

    /// Sets the GPU of a ranking of engines, which otherwise is that of the graph.
    #[cfg_attr(
        not(test),
        expect(clippy::unnecessary_wraps, reason = "setting properties can fail")
    )]
    pub(super) fn of_ranking(&self, ranking: Descriptor) -> Result<Descriptor, CallFailure> {
        match self {
            Self::Handle(_) => Ok(ranking),
            #[cfg(test)]
            Self::Properties(properties) => {
                ranking.with_descriptors(Attribute::CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, &[properties])
            }
        }
    }

    /// Sets the GPU of an execution plan.
    pub(super) fn of_plan(&self, plan: Descriptor) -> Result<Descriptor, CallFailure> {
        match self {
            Self::Handle(handle) => plan.with(
                Attribute::CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                &[HandleValue(*handle)],
            ),
            #[cfg(test)]
            Self::Properties(properties) => plan.with_descriptors(
                Attribute::CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                &[properties],
            ),
        }
    }
}
