//! The functions of NVIDIA's libraries that this program calls. A library that lacks one is rejected
//! when it is loaded, so calls need no check.

/// Functions of the driver.
pub(super) const DRIVER: &[&str] = &[
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetDefaultMemPool",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDriverGetVersion",
    "cuFuncGetAttribute",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAllocAsync",
    "cuMemAllocHost_v2",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemPoolGetAttribute",
    "cuMemPoolSetAttribute",
    "cuMemPoolTrimTo",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD16Async",
    "cuMemsetD32Async",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamQuery",
    "cuStreamSynchronize",
];

/// Functions of cuBLASLt.
pub(super) const CUBLAS_LT: &[&str] = &[
    "cublasLtCreate",
    "cublasLtDestroy",
    "cublasLtGetStatusString",
    "cublasLtGetVersion",
    "cublasLtMatmul",
    "cublasLtMatmulAlgoGetHeuristic",
    "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescDestroy",
    "cublasLtMatmulDescSetAttribute",
    "cublasLtMatmulPreferenceCreate",
    "cublasLtMatmulPreferenceDestroy",
    "cublasLtMatmulPreferenceSetAttribute",
    "cublasLtMatrixLayoutCreate",
    "cublasLtMatrixLayoutDestroy",
    "cublasLtMatrixLayoutSetAttribute",
];

/// Functions of cuDNN.
pub(super) const CUDNN: &[&str] = &[
    "cudnnBackendCreateDescriptor",
    "cudnnBackendDestroyDescriptor",
    "cudnnBackendExecute",
    "cudnnBackendFinalize",
    "cudnnBackendGetAttribute",
    "cudnnBackendSetAttribute",
    "cudnnConvolutionBackwardData",
    "cudnnConvolutionBiasActivationForward",
    "cudnnConvolutionForward",
    "cudnnCreate",
    "cudnnCreateActivationDescriptor",
    "cudnnCreateConvolutionDescriptor",
    "cudnnCreateFilterDescriptor",
    "cudnnCreateTensorDescriptor",
    "cudnnDestroy",
    "cudnnDestroyActivationDescriptor",
    "cudnnDestroyConvolutionDescriptor",
    "cudnnDestroyFilterDescriptor",
    "cudnnDestroyTensorDescriptor",
    "cudnnGetConvolutionBackwardDataAlgorithm_v7",
    "cudnnGetConvolutionBackwardDataWorkspaceSize",
    "cudnnGetConvolutionForwardAlgorithm_v7",
    "cudnnGetConvolutionForwardWorkspaceSize",
    "cudnnGetCudartVersion",
    "cudnnGetErrorString",
    "cudnnGetLastErrorString",
    "cudnnGetVersion",
    "cudnnSetActivationDescriptor",
    "cudnnSetConvolution2dDescriptor",
    "cudnnSetConvolutionMathType",
    "cudnnSetFilter4dDescriptor",
    "cudnnSetStream",
    "cudnnSetTensor4dDescriptor",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::library::NvidiaLibrary;

    /// Every file that calls a library.
    const SOURCES: [&str; 20] = [
        include_str!("call.rs"),
        include_str!("context.rs"),
        include_str!("cublaslt/descriptors.rs"),
        include_str!("cublaslt/mod.rs"),
        include_str!("cublaslt/plan.rs"),
        include_str!("cudnn/api.rs"),
        include_str!("cudnn/graph/descriptor.rs"),
        include_str!("cudnn/graph/engines.rs"),
        include_str!("cudnn/graph/mod.rs"),
        include_str!("cudnn/graph/operations.rs"),
        include_str!("cudnn/graph/target.rs"),
        include_str!("cudnn/legacy/descriptors.rs"),
        include_str!("cudnn/legacy/mod.rs"),
        include_str!("cudnn/legacy/plan.rs"),
        include_str!("cudnn/mod.rs"),
        include_str!("graph.rs"),
        include_str!("memory.rs"),
        include_str!("mod.rs"),
        include_str!("module.rs"),
        include_str!("staging.rs"),
    ];

    /// Returns the identifiers before a parenthesis that start with `prefix` and a capital letter.
    fn called(prefix: &str) -> BTreeSet<&'static str> {
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let code = SOURCES
            .iter()
            .map(|source| source.split("#[cfg(test)]").next().unwrap_or_default());
        code.flat_map(|code| code.match_indices('(').map(move |(end, _)| &code[..end]))
            .map(|before| {
                &before[before
                    .rfind(|character| !word(character))
                    .map_or(0, |at| at + 1)..]
            })
            .filter(|name| {
                name.strip_prefix(prefix)
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
            })
            .collect()
    }

    #[test]
    fn every_called_function_is_listed() {
        for (library, prefix) in [
            (NvidiaLibrary::Driver, "cu"),
            (NvidiaLibrary::CublasLt, "cublasLt"),
            (NvidiaLibrary::Cudnn, "cudnn"),
        ] {
            let listed: BTreeSet<_> = library.functions().iter().copied().collect();
            let called = called(prefix);
            assert!(called.len() > 10, "too few calls were found in the sources");
            assert_eq!(listed, called, "{}", library.name());
        }
    }
}
