//! Which engine computes a graph: the first of the library's ranking that keeps this program's
//! promises.

use cudarc::cudnn::sys::{
    cudnnBackendAttributeName_t as Attribute, cudnnBackendBehaviorNote_t as Behavior,
    cudnnBackendDescriptorType_t as DescriptorType, cudnnBackendHeurMode_t as Ranking,
    cudnnBackendNumericalNote_t as Numerics,
};

use super::super::super::call::{CallFailure, LibraryFailure};
use super::descriptor::{BehaviorNote, Descriptor, NumericalNote};
use super::target::Target;

/// Rankings in the order in which they are asked: two by estimated speed, and one of engines that
/// are slow but always there.
const RANKINGS: [Ranking; 3] = [
    Ranking::CUDNN_HEUR_MODE_A,
    Ranking::CUDNN_HEUR_MODE_B,
    Ranking::CUDNN_HEUR_MODE_FALLBACK,
];
/// The best configurations of a ranking that are considered. The library has up to about 40.
const CONFIGURATIONS: usize = 64;
/// More notes than an engine has.
const NOTES: usize = 32;

/// A finalised execution plan, the configuration of its engine, and the bytes of its workspace.
#[derive(Debug)]
pub(super) struct ExecutionPlan {
    pub(super) plan: Descriptor,
    /// It lives as long as the plan.
    #[cfg_attr(not(test), expect(dead_code, reason = "the plan refers to it"))]
    pub(super) configuration: Descriptor,
    pub(super) workspace: usize,
}

/// Returns the plan of the first acceptable engine that takes at most `limit` bytes of workspace.
pub(super) fn plan(
    target: &Target,
    graph: &Descriptor,
    limit: u64,
) -> Result<ExecutionPlan, LibraryFailure> {
    let mut refusal = LibraryFailure::Unsupported("cuDNN has no deterministic engine".to_owned());
    for ranking in RANKINGS {
        let found = match configurations(target, graph, ranking).map_err(LibraryFailure::from) {
            Err(unsupported @ LibraryFailure::Unsupported(_)) => {
                refusal = unsupported;
                continue;
            }
            found => found?,
        };
        for configuration in found {
            match is_acceptable(&configuration).map_err(LibraryFailure::from) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(unsupported @ LibraryFailure::Unsupported(_)) => {
                    refusal = unsupported;
                    continue;
                }
                Err(failure) => return Err(failure),
            }
            match limited(target, configuration, limit) {
                Err(unsupported @ LibraryFailure::Unsupported(_)) => refusal = unsupported,
                plan => return plan,
            }
        }
    }
    Err(refusal)
}

/// Returns the configurations of engines that the library proposes, best first.
fn configurations(
    target: &Target,
    graph: &Descriptor,
    ranking: Ranking,
) -> Result<Vec<Descriptor>, CallFailure> {
    let query = Descriptor::new(DescriptorType::CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)?
        .with_descriptors(Attribute::CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, &[graph])?
        .with(Attribute::CUDNN_ATTR_ENGINEHEUR_MODE, &[ranking])?;
    target.of_ranking(query)?.finalised()?.descriptors(
        Attribute::CUDNN_ATTR_ENGINEHEUR_RESULTS,
        DescriptorType::CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
        CONFIGURATIONS,
    )
}

/// Returns whether an engine is deterministic, precise, and compiled.
fn is_acceptable(configuration: &Descriptor) -> Result<bool, CallFailure> {
    let engine = configuration.descriptor(
        Attribute::CUDNN_ATTR_ENGINECFG_ENGINE,
        DescriptorType::CUDNN_BACKEND_ENGINE_DESCRIPTOR,
    )?;
    let numerics = engine.values(Attribute::CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, NOTES)?;
    let behavior = engine.values(Attribute::CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, NOTES)?;
    Ok(numerics.iter().all(|note| is_allowed(*note)) && behavior.iter().all(|note| is_met(*note)))
}

/// Returns whether a numerical note allows to use an engine. Notes that are not known here do not.
///
/// Tensor cores are allowed in every format, in f32 with factors in TensorFloat-32 as in the legacy
/// functions. Not allowed are sums in no fixed order, inputs or sums of fewer bits, and Winograd and
/// FFT algorithms, which lose precision.
fn is_allowed(note: NumericalNote) -> bool {
    [
        Numerics::CUDNN_NUMERICAL_NOTE_TENSOR_CORE,
        Numerics::CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP,
    ]
    .iter()
    .any(|allowed| *allowed as u32 == note.0)
}

/// Returns whether a requirement of an engine is met. Those that are not known here are not.
///
/// An engine that is compiled at run time takes seconds at its first use in every process, and its
/// rounding may depend on the compiler's version, which nothing records.
fn is_met(note: BehaviorNote) -> bool {
    [
        Behavior::CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API,
        Behavior::CUDNN_BEHAVIOR_NOTE_CUBLASLT_DEPENDENCY,
    ]
    .iter()
    .any(|met| *met as u32 == note.0)
}

/// Returns the plan of a configuration, unless its workspace is too large.
fn limited(
    target: &Target,
    configuration: Descriptor,
    limit: u64,
) -> Result<ExecutionPlan, LibraryFailure> {
    let plan = Descriptor::new(DescriptorType::CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)?;
    let plan = target
        .of_plan(plan)?
        .with_descriptors(
            Attribute::CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
            &[&configuration],
        )?
        .finalised()?;
    let sizes = plan.values::<i64>(Attribute::CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1)?;
    let workspace = sizes.first().copied().unwrap_or(i64::MAX);
    match usize::try_from(workspace) {
        Ok(bytes) if bytes as u64 <= limit => Ok(ExecutionPlan {
            plan,
            configuration,
            workspace: bytes,
        }),
        _ => Err(LibraryFailure::Unsupported(format!(
            "the workspace of {workspace} bytes is too large"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_notes_are_accepted() {
        let accepted = |is: fn(u32) -> bool| (0..40).filter(|note| is(*note)).collect::<Vec<_>>();
        // TENSOR_CORE and STRICT_NAN_PROP.
        assert_eq!(accepted(|note| is_allowed(NumericalNote(note))), [0, 9]);
        // SUPPORTS_CUDA_GRAPH_NATIVE_API and CUBLASLT_DEPENDENCY.
        assert_eq!(accepted(|note| is_met(BehaviorNote(note))), [3, 4]);
    }
}
