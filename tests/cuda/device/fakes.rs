//! The fake libraries: building them, and operations that the cases share.

use std::path::Path;
use std::process::Command;

use dragnext::kernels::cuda::device::{CudaDevice, DeviceUnavailable, Kernels};
use dragnext::kernels::cuda::driver::{Address, Driver, KernelArgument, Launch};
use dragnext::kernels::fault::DeviceFault;

pub(crate) const KERNELS: &str = ".version 8.0\n.target sm_80\n.visible .entry add_value(\n)\n{}\n.visible .entry attention_add(\n)\n{}\n";

/// Returns kernels in PTX only.
pub(crate) fn ptx(text: &str) -> Kernels {
    Kernels {
        ptx: text.to_owned(),
        machine_code: |_| None,
    }
}

/// Environment variable that is set in the process of a case.
pub(crate) const MARK: &str = "FAKE_CASE";
/// Environment variable with the library folder of a case; `all` if unset.
pub(crate) const FOLDER: &str = "FAKE_FOLDER";

/// The libraries: file name, source, and options of the compiler. The names are those that come first.
const LIBRARIES: [(&str, &str, &[&str]); 11] = [
    ("libcuda.so.1", "driver.c", &[]),
    ("libcublasLt.so.13", "cublaslt.c", &[]),
    ("libcublasLt.so", "cublaslt.c", &[]),
    ("libcudnn.so.9", "cudnn.c", &[]),
    ("libcudnn_graph.so.9", "part.c", &[]),
    ("libcudnn_ops.so.9", "part.c", &[]),
    ("libcudnn_cnn.so.9", "part.c", &[]),
    ("libcudnn_heuristic.so.9", "part.c", &[]),
    ("libcudnn_engines_precompiled.so.9", "part.c", &[]),
    ("libcudnn_engines_runtime_compiled.so.9", "part.c", &[]),
    ("libcudnn_engines_tensor_ir.so.9", "part.c", &[]),
];
/// Libraries that must not be used where those above are: a stub of the driver and old versions.
const OTHERS: [(&str, &str, &[&str]); 3] = [
    ("libcuda.so", "stub.c", &[]),
    ("libcublasLt.so", "cublaslt.c", &["-DVERSION=110502"]),
    ("libcudnn.so", "cudnn.c", &["-DVERSION=8907"]),
];
/// Folders by their libraries: numbers in [`LIBRARIES`], and in [`OTHERS`].
const FOLDERS: [(&str, &[usize], &[usize]); 8] = [
    ("all", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[]),
    ("newer", &[0, 1, 3, 4, 5, 6, 7, 8, 9, 10], &[]),
    ("precompiled", &[0, 1, 3, 4, 5, 6, 7, 8], &[]),
    ("others", &[0, 1, 3, 4, 5, 6, 7, 8, 9], &[0, 1, 2]),
    ("driver", &[0], &[]),
    ("lone", &[0, 1, 3], &[]),
    ("older", &[0, 1], &[2]),
    ("stub", &[1, 3], &[0]),
];

/// Builds the libraries in folders of a case each. Returns `false` if there is no C compiler.
pub(crate) fn build(folder: &Path) -> bool {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/device/libraries");
    for (name, text) in [
        ("part.c", "int fake_part;\n"),
        // CUDA_ERROR_STUB_LIBRARY.
        (
            "stub.c",
            "int cuInit(unsigned flags) { (void)flags; return 34; }\n",
        ),
    ] {
        std::fs::write(folder.join(name), text).expect("a file can be written");
    }
    let compile = |set: &str, (library, file, options): &(&str, &str, &[&str])| {
        let own = folder.join(file);
        let file = if own.exists() { own } else { source.join(file) };
        let target = folder.join(set).join(library);
        std::fs::create_dir_all(folder.join(set)).expect("a folder can be created");
        let compiled = Command::new("cc")
            .args(["-std=gnu17", "-O1", "-shared", "-fPIC"])
            .args(*options)
            .arg("-o")
            .arg(target)
            .arg(file)
            .arg("-ldl")
            .output();
        compiled.is_ok_and(|output| {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{errors}");
            true
        })
    };
    let built = LIBRARIES.iter().all(|library| compile("good", library))
        && OTHERS.iter().all(|library| compile("bad", library));
    for (name, good, bad) in FOLDERS.iter().filter(|_| built) {
        std::fs::create_dir(folder.join(name)).expect("a folder can be created");
        let good = good.iter().map(|index| ("good", LIBRARIES[*index].0));
        let bad = bad.iter().map(|index| ("bad", OTHERS[*index].0));
        for (set, library) in good.chain(bad) {
            std::fs::copy(
                folder.join(set).join(library),
                folder.join(name).join(library),
            )
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
    CudaDevice::open(0, &ptx(KERNELS)).expect("the fake GPU can be opened")
}

pub(crate) fn open_error() -> DeviceUnavailable {
    CudaDevice::open(0, &ptx(KERNELS)).expect_err("the fake GPU cannot be opened")
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
