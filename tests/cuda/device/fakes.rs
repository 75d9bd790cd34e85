//! The fake libraries: building them, and operations that the cases share.

use std::path::Path;
use std::process::Command;

use dragnext::kernels::cuda::device::{CudaDevice, DeviceUnavailable};
use dragnext::kernels::cuda::driver::{Address, Driver, KernelArgument, Launch};
use dragnext::kernels::fault::DeviceFault;

pub(crate) const KERNELS: &str = ".version 8.0\n.target sm_80\n.visible .entry add_value(\n)\n{}\n.visible .entry attention_add(\n)\n{}\n";

/// Environment variable that is set in the process of a case.
pub(crate) const MARK: &str = "FAKE_CASE";
/// Environment variable with the library folder of a case; `all` if unset.
pub(crate) const FOLDER: &str = "FAKE_FOLDER";

/// Builds the libraries, and folders in which some are missing. Returns `false` if there is no C
/// compiler.
pub(crate) fn build(folder: &Path) -> bool {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/device/libraries");
    let all = folder.join("all");
    std::fs::create_dir(&all).expect("a folder can be created");
    let mut libraries = vec![
        ("libcuda.so", "driver.c"),
        ("libcublasLt.so", "cublaslt.c"),
        ("libcudnn.so", "cudnn.c"),
    ];
    for part in ["graph", "ops", "cnn", "heuristic", "engines_precompiled"] {
        libraries.push((
            Box::leak(format!("libcudnn_{part}.so").into_boxed_str()),
            "part.c",
        ));
    }
    std::fs::write(folder.join("part.c"), "int fake_part;\n").expect("a file can be written");
    let built = libraries.into_iter().all(|(library, name)| {
        let file = if name == "part.c" {
            folder.join(name)
        } else {
            source.join(name)
        };
        let mut compile = Command::new("cc");
        compile
            .args(["-std=gnu17", "-O1", "-shared", "-fPIC", "-o"])
            .arg(all.join(library))
            .arg(file)
            .arg("-ldl");
        match compile.output() {
            Ok(output) => {
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                true
            }
            Err(_) => false,
        }
    });
    let lacking = [
        ("driver", &["libcuda.so"][..]),
        ("lone", &["libcuda.so", "libcublasLt.so", "libcudnn.so"]),
    ];
    for (name, libraries) in lacking.into_iter().filter(|_| built) {
        std::fs::create_dir(folder.join(name)).expect("a folder can be created");
        for library in libraries {
            std::fs::copy(all.join(library), folder.join(name).join(library))
                .expect("a file can be copied");
        }
    }
    built
}

/// Returns whether this process runs a case. Only then are the fake libraries on the library path.
pub(crate) fn runs_a_case() -> bool {
    std::env::var_os(MARK).is_some()
}

pub(crate) fn open() -> CudaDevice {
    CudaDevice::open(0, KERNELS).expect("the fake GPU can be opened")
}

pub(crate) fn open_error() -> DeviceUnavailable {
    CudaDevice::open(0, KERNELS).expect_err("the fake GPU cannot be opened")
}

pub(crate) fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

pub(crate) fn upload(device: &CudaDevice, values: &[f32]) -> Address {
    let address = device
        .allocate(4 * values.len())
        .expect("the allocation succeeds");
    device
        .write(address, &bytes(values))
        .expect("the write succeeds");
    address
}

pub(crate) fn download(device: &CudaDevice, address: Address, count: usize) -> Vec<f32> {
    let mut bytes = vec![0; 4 * count];
    device.read(address, &mut bytes).expect("the read succeeds");
    bytes
        .chunks_exact(4)
        .map(|value| f32::from_ne_bytes(value.try_into().expect("four bytes")))
        .collect()
}

pub(crate) fn add(
    device: &CudaDevice,
    kernel: &str,
    to: Address,
    count: u32,
    value: f32,
    shared: u32,
) -> Result<(), DeviceFault> {
    let arguments = [
        KernelArgument::Pointer(to),
        KernelArgument::U32(count),
        KernelArgument::F32(value),
    ];
    device.launch(&Launch {
        kernel,
        blocks: [3, 1, 1],
        threads: 256,
        shared,
        arguments: &arguments,
    })
}

/// Small integers, so that f32 products and sums are exact.
pub(crate) fn integers(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7 + seed * 13) % 17) as f32 - 8.0)
        .collect()
}
