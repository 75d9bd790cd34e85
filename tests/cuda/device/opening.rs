//! Opening a device, and the errors when it cannot be opened.

use dragnext::kernels::cuda::device::{CudaDevice, DeviceUnavailable};
use dragnext::kernels::cuda::driver::{
    Address, ConvolutionData, ConvolutionOutcome, Direction, Driver, MemoryInfo,
};

use super::convolutions::shape;
use super::fakes::{KERNELS, add, download, open, open_error, ptx, runs_a_case, upload};

#[test]
#[ignore = "run by every_case_passes"]
fn opening_reports_name_and_versions() {
    if !runs_a_case() {
        return;
    }
    assert_eq!(CudaDevice::count(), Ok(1));
    for _ in 0..3 {
        let device = open();
        assert_eq!(device.name().as_deref(), Ok("Fake GPU 0"));
        assert_eq!(device.compute_capability(), Ok((9, 0)));
        assert_eq!(device.driver_version(), Ok(13_000));
        assert_eq!(device.multiprocessors(), 132);
        let library_versions = device.library_versions();
        assert_eq!(library_versions.cublaslt, "13.1.2");
        assert_eq!(library_versions.cudnn.as_deref(), Ok("9.10.2"));
        assert_eq!(
            device.memory(),
            MemoryInfo {
                free: (1 << 30) - (32 << 20),
                total: 1 << 30
            }
        );
    }
    let (first, second) = (open(), open());
    drop(first);
    assert_eq!(second.name().as_deref(), Ok("Fake GPU 0"));
    assert!(second.allocate(1).is_ok_and(|address| {
        second.free(address);
        address.0.is_multiple_of(256)
    }));
}

#[test]
#[ignore = "run by every_case_passes"]
fn no_device() {
    if runs_a_case() {
        assert_eq!(open_error(), DeviceUnavailable::NoDevice);
        assert_eq!(CudaDevice::count(), Err(DeviceUnavailable::NoDevice));
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn an_index_beyond_the_last_device() {
    if runs_a_case() {
        let Err(error) = CudaDevice::open(2, &ptx(KERNELS)) else {
            panic!("there are two devices")
        };
        assert_eq!(
            error,
            DeviceUnavailable::NoSuchDevice { index: 2, count: 2 }
        );
        let devices = [
            open(),
            CudaDevice::open(1, &ptx(KERNELS)).expect("there are two devices"),
        ];
        assert_eq!(devices[1].name().as_deref(), Ok("Fake GPU 1"));
        // Each call makes its own context current.
        let places = [0, 1].map(|index| upload(&devices[index], &[1.0]));
        for index in [0, 1, 0] {
            add(&devices[index], "add_value", places[index], 1, 1.0, 0)
                .expect("the launch succeeds");
        }
        assert_eq!(
            [1, 0].map(|index| download(&devices[index], places[index], 1)[0]),
            [2.0, 3.0]
        );
        for index in [0, 1] {
            devices[index].free(places[index]);
        }
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn an_old_device() {
    if runs_a_case() {
        assert_eq!(
            open_error(),
            DeviceUnavailable::DeviceTooOld {
                name: "Fake GPU 0".into(),
                found: (7, 5),
                needed: (8, 0)
            }
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn an_old_driver() {
    if runs_a_case() {
        assert_eq!(
            open_error(),
            DeviceUnavailable::DriverTooOld {
                found: 11_080,
                needed: 12_000
            }
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn invalid_ptx() {
    if runs_a_case() {
        let Err(DeviceUnavailable::Kernels { reason, log }) = CudaDevice::open(0, &ptx("nonsense"))
        else {
            panic!("the PTX is invalid")
        };
        assert_eq!(
            (reason.as_str(), log.as_str()),
            (
                "CUDA_ERROR_INVALID_PTX",
                "ptxas application ptx input, line 1; error: nonsense"
            )
        );
        assert!(matches!(
            CudaDevice::open(0, &ptx("a\0b")),
            Err(DeviceUnavailable::Kernels { .. })
        ));
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_failing_call() {
    if runs_a_case() {
        let reason =
            "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered".to_owned();
        assert_eq!(
            open_error(),
            DeviceUnavailable::Failed {
                call: "cuStreamCreate".into(),
                reason
            }
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn no_memory_for_the_workspace() {
    if runs_a_case() {
        let DeviceUnavailable::Failed { call, reason } = open_error() else {
            panic!("there is no memory for the workspace")
        };
        assert_eq!(
            (call.as_str(), reason.as_str()),
            (
                "cuMemAllocAsync",
                "out of memory: 33554432 bytes requested, 1000000 of 1000000 are free"
            )
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn only_a_stub_of_the_driver() {
    let installed = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib/wsl/lib",
    ]
    .iter()
    .any(|folder| std::path::Path::new(folder).join("libcuda.so.1").exists());
    // A stub on the library path does not hide a driver that is installed.
    if runs_a_case() && !installed {
        let DeviceUnavailable::NoDriver { searched, reason } = open_error() else {
            panic!("the stub is not a driver")
        };
        assert!(searched.iter().any(|name| name == "libcuda.so"));
        assert_eq!(
            reason.as_deref(),
            Some("a stub of the CUDA toolkit is on the library path")
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_missing_cublaslt() {
    if runs_a_case() {
        let DeviceUnavailable::NoLibrary {
            library,
            searched,
            reason,
        } = open_error()
        else {
            panic!("cuBLASLt is missing")
        };
        assert_eq!((library, reason), ("cuBLASLt", None));
        assert!(searched.iter().any(|name| name == "libcublasLt.so.13"));
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn an_unsupported_cublaslt() {
    if runs_a_case() {
        let DeviceUnavailable::LibraryVersion {
            library, needed, ..
        } = open_error()
        else {
            panic!("the driver does not support this version")
        };
        assert_eq!(
            (library, needed),
            (
                "cuBLASLt",
                std::env::var("FAKE_NEEDED").expect("the case sets it")
            )
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn an_unsupported_cudnn() {
    if runs_a_case() {
        let device = open();
        let needed = "9".into();
        let found = std::env::var("FAKE_FOUND").expect("the case sets it");
        assert_eq!(
            device.library_versions().cudnn,
            Err(DeviceUnavailable::LibraryVersion {
                library: "cuDNN",
                found,
                needed
            })
        );
        let none = ConvolutionData {
            from: Address::NULL,
            weight: Address::NULL,
            to: Address::NULL,
            bias: None,
            residual: None,
        };
        assert_eq!(
            device.convolution(&shape(Direction::Forward), &none),
            Ok(ConvolutionOutcome::Unsupported)
        );
        assert_eq!(device.refused_convolutions(), []);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_missing_cudnn_sublibrary() {
    if runs_a_case() {
        let missing = std::env::var("FAKE_MISSING").expect("the case sets it");
        let Err(DeviceUnavailable::NoLibrary {
            library, searched, ..
        }) = open().library_versions().cudnn
        else {
            panic!("`{missing}` is missing")
        };
        assert_eq!(library, missing);
        assert_eq!(searched[0], format!("lib{missing}.so.9"));
    }
}

/// A later version needs a sublibrary that earlier ones do not have, and that must not be loaded with them.
#[test]
#[ignore = "run by every_case_passes"]
fn cudnn_sublibraries_of_its_version() {
    if runs_a_case() {
        let expected = std::env::var("FAKE_LOADED").expect("the case sets it");
        assert!(open().library_versions().cudnn.is_ok());
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let is_loaded = maps.contains("libcudnn_engines_tensor_ir.so.9");
        assert_eq!(is_loaded.to_string(), expected);
    }
}
