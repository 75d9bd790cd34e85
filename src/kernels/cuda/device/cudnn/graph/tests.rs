//! Graphs and engines of the installed library, for GPUs that need not be there.
//!
//! Skipped without cuDNN 9.8 or later, cuBLASLt of its version of CUDA, and a `libcuda.so.1` with the six
//! functions that cuDNN's engines link against; a stub does. Nothing runs.

use cudarc::cudnn::sys::{
    cudnnBackendAttributeName_t as Attribute, cudnnBackendAttributeType_t as AttributeType,
    cudnnBackendDescriptorType_t as DescriptorType,
};

use super::super::super::library::{NvidiaLibrary, find_for_graphs};
use super::super::super::symbol::invoke;
use super::*;
use crate::kernels::cuda::driver::{Direction, Format};

/// Properties of GPUs that engines depend on: name, compute capability times 100, multiprocessors,
/// shared memory of a block, and threads and blocks of a multiprocessor.
const GPUS: [(&str, [u32; 5]); 3] = [
    ("NVIDIA A100-SXM4-80GB", [800, 108, 166_912, 2048, 32]),
    ("NVIDIA GeForce RTX 4090", [890, 128, 101_376, 1536, 24]),
    ("NVIDIA H100 80GB HBM3", [900, 132, 232_448, 2048, 32]),
];

/// Returns the library's description of a GPU.
fn properties(
    (name, [version, multiprocessors, shared, threads, blocks]): (&str, [u32; 5]),
) -> String {
    serde_json::json!({
        "deviceName": name, "deviceVer": version, "driverVer": 13000, "cudaDeviceId": 0, "pciDeviceId": 0,
        "multiProcessorCount": multiprocessors, "smCountOrigin": 0, "warpSize": 32,
        "maxGridSize": [2_147_483_647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
        "maxThreadsPerBlock": 1024, "maxThreadsPerSM": threads, "maxCtasPerSM": blocks,
        "regsPerBlock": 65536, "maxRegistersPerSM": 65536,
        "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": shared,
        "reservedSharedMemoryPerBlock": 1024, "oversizedSharedMemoryPerBlock": 0,
        "totalGlobalMem": 24_000_000_000_u64, "l2CacheSize": 50 << 20, "memoryBusWidth": 5120,
        "smClockRateKHz": 1_800_000, "memClockRateKHz": 2_000_000, "isTccDriver": 0, "supportCoopLaunch": 1,
    })
    .to_string()
}

fn target(properties: &str) -> Target {
    let text = std::ffi::CString::new(properties).expect("no zeros");
    let bytes = text.as_bytes_with_nul();
    let empty = Descriptor::new(DescriptorType::CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)
        .expect("the library has device properties");
    // SAFETY: the attribute takes that many characters.
    let set = unsafe {
        empty.set(
            Attribute::CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
            AttributeType::CUDNN_TYPE_CHAR,
            bytes.len(),
            bytes.as_ptr().cast(),
        )
    };
    set.expect("the attribute can be set");
    Target::Properties(empty.finalised().expect("the properties are complete"))
}

/// Loads the library; says why it cannot.
fn load() -> Result<(), String> {
    NvidiaLibrary::Cudnn
        .find()
        .map_err(|missing| missing.to_string())?;
    // SAFETY: the library is loaded.
    let (version, cuda) = unsafe {
        (
            invoke!(cudnn, cudnnGetVersion()),
            invoke!(cudnn, cudnnGetCudartVersion()),
        )
    };
    if version < 90_800 {
        return Err(format!(
            "cuDNN {version} plans only for GPUs that are there"
        ));
    }
    find_for_graphs((cuda / 1000) as u32).map_err(|missing| missing.to_string())
}

/// Convolutions of Stable Diffusion 1.5: side, channels from and to, kernel, stride, padding.
const SHAPES: [[usize; 6]; 8] = [
    [64, 4, 320, 3, 1, 1],
    [64, 320, 320, 3, 1, 1],
    [64, 320, 320, 3, 2, 1],
    [64, 960, 320, 1, 1, 0],
    [8, 2560, 1280, 3, 1, 1],
    [64, 320, 4, 3, 1, 1],
    [256, 256, 128, 3, 1, 1],
    // The autoencoder's downsampling, with zeros below and to the right only.
    [128, 256, 256, 3, 2, 0],
];

#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
fn every_convolution_of_stable_diffusion_has_an_engine() {
    if let Err(missing) = load() {
        eprintln!("skipped: {missing}");
        return;
    }
    for gpu in GPUS {
        let target = target(&properties(gpu));
        let limit = 1 << 30;
        for [side, from, to, kernel, stride, pad] in SHAPES {
            for format in [Format::F16, Format::Bf16, Format::F32] {
                for (direction, terms) in [
                    (Direction::Forward, Terms::None),
                    (Direction::Forward, Terms::Bias),
                    (Direction::Forward, Terms::ResidualAndBias),
                    (Direction::Backward, Terms::None),
                ] {
                    let shape = Convolution {
                        direction,
                        format,
                        batch: 2,
                        input: [side, side, from],
                        output: [side / stride, side / stride, to],
                        kernel,
                        stride,
                        pad,
                    };
                    let padding = support::padding(&shape).expect("there is a padding");
                    let graph = OperationGraph::new(&target, &shape, padding, terms)
                        .unwrap_or_else(|failure| panic!("{shape}: {failure:?}"));
                    let engine = || {
                        let found =
                            engines::plan(&target, &graph.graph, limit).unwrap_or_else(|failure| {
                                panic!("{}: {shape}{}: {failure:?}", gpu.0, terms.text())
                            });
                        assert!(found.workspace as u64 <= limit);
                        let engine = found
                            .configuration
                            .descriptor(
                                Attribute::CUDNN_ATTR_ENGINECFG_ENGINE,
                                DescriptorType::CUDNN_BACKEND_ENGINE_DESCRIPTOR,
                            )
                            .expect("a configuration has an engine");
                        engine
                            .values::<i64>(Attribute::CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1)
                            .expect("an engine has a number")
                    };
                    assert_eq!(engine(), engine(), "{shape}: the choice is the same again");
                }
            }
        }
    }
}
