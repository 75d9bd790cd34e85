//! The check of devices on the emulated GPU: it passes in every format, and a GPU with a wrong kernel or library fails.

use dragnext::device::check::{CheckReport, Extent, check};
use dragnext::kernels::Format;
use dragnext::kernels::comparison::{Case, compare, small};
use dragnext::kernels::cuda::Cuda;
use dragnext::kernels::cuda::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Driver, Gemm, KernelArgument,
    Launch, MemoryInfo,
};
use dragnext::kernels::fault::DeviceFault;

use super::compiled::available;
use super::emulated::{ConvolutionSupport, Emulated};
use crate::bench::report;
use crate::faulty::{OPERATIONS, WrongOperation, assert_caught};

/// Methods that the CUDA backend computes in fewer calls than the operations that they consist of.
const COMBINING: [&str; 8] = [
    "linears",
    "linears_backward",
    "stacked_weights",
    "merged_all",
    "matmuls",
    "group_norm_joined",
    "group_norm_backward_split",
    "self_attention_backward",
];

const FORMATS: [Format; 3] = [Format::F32, Format::F16, Format::Bf16];

fn checked(driver: impl Driver + 'static, formats: &[Format]) -> CheckReport {
    let cuda = Cuda::new(driver, Format::F16);
    let backends: Vec<(Format, Cuda)> = formats
        .iter()
        .map(|format| (*format, cuda.in_format(*format)))
        .collect();
    check(&backends, Extent::Small).expect("there is memory")
}

#[test]
fn the_emulated_gpu_passes_in_every_format() {
    if !available("the_emulated_gpu_passes_in_every_format") {
        return;
    }
    for library in [ConvolutionSupport::Full, ConvolutionSupport::Unsupported] {
        let found = checked(Emulated::new(library), &FORMATS);
        report(&format!("{library:?}: {found:?}"));
        for format in FORMATS {
            assert!(
                found.passes_in(format),
                "{library:?}: {}",
                found.summary(format)
            );
        }
    }
}

/// The emulator does not round factors to TensorFloat-32, whose bounds f32 has.
#[test]
fn bounds_are_not_close() {
    if !available("bounds_are_not_close") {
        return;
    }
    let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Partial), Format::F16);
    for format in FORMATS {
        let findings = compare(&[(format, cuda.in_format(format))], &small());
        let (share, name) = findings.expect("there is memory")[0]
            .closest
            .clone()
            .expect("results");
        report(&format!(
            "{}: {share:.2} of its bound: {name}",
            format.name()
        ));
        assert!(share < 0.6, "{name}, {}: {share}", format.name());
    }
}

/// What is wrong with a GPU.
#[derive(Debug, Clone, Copy)]
enum GpuFault {
    /// Kernels whose names begin so do nothing.
    Kernel(&'static str),
    /// Kernels whose names begin so do nothing if this holds.
    Launch(&'static str, fn(&Launch) -> bool),
    /// Matrix products are 5 percent too large.
    Products,
    /// Of several products in one call, only the first is computed.
    Batches,
    /// The library has no products of f16.
    Refused,
    /// There is no memory for more than this many bytes at once.
    Memory(usize),
}

/// An emulated GPU with a fault.
#[derive(Debug)]
struct FaultyGpu {
    inner: Emulated,
    fault: GpuFault,
}

impl Driver for FaultyGpu {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault> {
        if matches!(self.fault, GpuFault::Memory(limit) if bytes > limit) {
            return Err(DeviceFault::OutOfMemory {
                need: bytes as u64,
                free: 0,
                total: 1 << 20,
            });
        }
        self.inner.allocate(bytes)
    }

    fn free(&self, address: Address) {
        self.inner.free(address);
    }

    fn trim(&self) -> Result<(), DeviceFault> {
        self.inner.trim()
    }

    fn write(&self, to: Address, bytes: &[u8]) -> Result<(), DeviceFault> {
        self.inner.write(to, bytes)
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault> {
        self.inner.read(from, bytes)
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.inner.copy(from, to, bytes)
    }

    fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.inner.clear(to, bytes)
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceFault> {
        let does_nothing = match self.fault {
            GpuFault::Kernel(name) => launch.kernel.starts_with(name),
            GpuFault::Launch(name, when) => launch.kernel.starts_with(name) && when(launch),
            _ => false,
        };
        if does_nothing {
            return Ok(());
        }
        self.inner.launch(launch)
    }

    fn gemm(&self, gemm: &Gemm) -> Result<(), DeviceFault> {
        match self.fault {
            GpuFault::Products => self.inner.gemm(&Gemm {
                alpha: 1.05 * gemm.alpha,
                ..*gemm
            }),
            GpuFault::Batches => self.inner.gemm(&Gemm { batch: 1, ..*gemm }),
            GpuFault::Refused if gemm.a.format == Format::F16 => Err(DeviceFault::Refused {
                call: "cublasLtMatmul".into(),
                reason: "no algorithm".into(),
            }),
            _ => self.inner.gemm(gemm),
        }
    }

    fn convolution(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<ConvolutionOutcome, DeviceFault> {
        self.inner.convolution(shape, data)
    }

    fn memory(&self) -> MemoryInfo {
        self.inner.memory()
    }

    fn refused_convolutions(&self) -> Vec<(Convolution, String)> {
        self.inner.refused_convolutions()
    }

    fn multiprocessors(&self) -> u32 {
        self.inner.multiprocessors()
    }

    fn description(&self) -> String {
        self.inner.description()
    }
}

fn faulty(fault: GpuFault) -> FaultyGpu {
    FaultyGpu {
        inner: Emulated::new(ConvolutionSupport::Full),
        fault,
    }
}

#[test]
fn a_gpu_with_a_fault_fails_and_what_differs_is_named() {
    if !available("a_gpu_with_a_fault_fails_and_what_differs_is_named") {
        return;
    }
    for (fault, name) in [
        (GpuFault::Kernel("silu_f16"), "SiLU"),
        (GpuFault::Kernel("geglu_backward_f16"), "GEGLU backward"),
        (GpuFault::Products, "matrix product"),
        (
            GpuFault::Refused,
            "matrix product, 64 x 32 by 32 x 4, f16: a GPU library",
        ),
    ] {
        let found = checked(faulty(fault), &[Format::F32, Format::F16]);
        let summary = found.summary(Format::F16);
        report(&format!("{fault:?}: {summary}"));
        assert!(summary.starts_with(name), "{fault:?}: {summary}");
        assert!(!found.passes_in(Format::F16));
        // Without wrong kernels in f32, the device can be used in f32.
        let is_of_f16 = !matches!(fault, GpuFault::Products);
        assert_eq!(found.passes_in(Format::F32), is_of_f16, "{fault:?}");
    }
}

/// Returns whether an argument of a launch is a buffer.
fn is_set(launch: &Launch, index: usize) -> bool {
    matches!(launch.arguments[index], KernelArgument::Pointer(address) if address != Address::NULL)
}

/// Several operations in one call have kernels and library calls of their own. A fault there differs nowhere else.
#[test]
fn a_fault_in_several_operations_at_once_is_named() {
    if !available("a_fault_in_several_operations_at_once_is_named") {
        return;
    }
    let of_two_maps = |launch: &Launch| is_set(launch, 1);
    let to_two_maps = |launch: &Launch| is_set(launch, 7);
    // The gradients of the self-attention with 64 channels are written to rows of 192.
    let side_by_side = |launch: &Launch| matches!(launch.arguments[8], KernelArgument::U32(stride) if stride == 192);
    for (fault, operation, name) in [
        (
            GpuFault::Batches,
            "layers of one shape",
            "layers of one shape, stacked weights, 64 rows, 32 to 32 channels",
        ),
        (
            GpuFault::Launch("group_norm_whole", of_two_maps),
            "joined group norm",
            "joined group norm, both maps, 2 x 64 pixels of 32 + 32 channels in 8 groups",
        ),
        (
            GpuFault::Launch("group_norm_backward_whole", to_two_maps),
            "joined group norm backward",
            "joined group norm backward, 2 x 64 pixels of 32 + 32 channels in 8 groups",
        ),
        (
            GpuFault::Launch("attention_backward_kv", side_by_side),
            "self-attention backward",
            "self-attention backward, keys, batch 2, 2 heads of 32, 64 queries, 64 keys",
        ),
    ] {
        let found = checked(faulty(fault), &FORMATS);
        // The kernel of attention that is wrong exists for 16-bit formats.
        let is_of_attention = operation.starts_with("self-attention");
        let formats = if is_of_attention {
            &FORMATS[1..]
        } else {
            &FORMATS[..]
        };
        for format in formats.iter().copied() {
            let summary = found.summary(format);
            report(&format!("{fault:?}: {summary}"));
            let of_format = found.of_format(format).expect("it was checked");
            let differences = &of_format.differences;
            let first = differences.first().expect("the fault is caught");
            assert!(first.to_string().starts_with(name), "{fault:?}: {first}");
            let is_batch = matches!(fault, GpuFault::Batches);
            for difference in differences {
                // Products of one shape and the heads of an attention without a fused kernel are such calls too.
                let is_of = difference.operation.starts_with(operation);
                assert!(is_of || is_batch, "{fault:?}: {difference}");
            }
        }
    }
}

/// Each method that combines operations, on the calls of the CUDA backend: the tests of candle's backend have its default methods.
#[test]
fn each_wrong_method_that_combines_operations_is_named() {
    if !available("each_wrong_method_that_combines_operations_is_named") {
        return;
    }
    let combining = |case: &Case| {
        matches!(
            case,
            Case::LayersOfOneShape { .. } | Case::JoinedGroupNorm { .. } | Case::Attention { .. }
        )
    };
    let cases: Vec<Case> = small().into_iter().filter(combining).collect();
    let operations: Vec<WrongOperation> = OPERATIONS
        .iter()
        .filter(|(operation, _)| COMBINING.iter().any(|name| operation.starts_with(name)))
        .copied()
        .collect();
    assert!(operations.len() > COMBINING.len());
    for format in FORMATS {
        let cuda = Cuda::new(Emulated::new(ConvolutionSupport::Full), format);
        assert_caught(format, &cuda, &operations, &cases);
    }
}

#[test]
fn a_gpu_without_memory_is_not_a_wrong_one() {
    if !available("a_gpu_without_memory_is_not_a_wrong_one") {
        return;
    }
    let cuda = Cuda::new(faulty(GpuFault::Memory(4096)), Format::F16);
    let error = check(&[(Format::F16, cuda)], Extent::Small).expect_err("there is no memory");
    assert_eq!(error.kind().name(), "compute.out_of_memory");
}
