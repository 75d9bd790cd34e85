//! Opening a device, and why it cannot be.

use dragnext::kernels::cuda::device::{CudaDevice, DeviceUnavailable};
use dragnext::kernels::cuda::driver::{
    Address, ConvolutionData, ConvolutionOutcome, Direction, Driver, MemoryInfo,
};

use super::convolutions::shape;
use super::fakes::{KERNELS, add, download, is_case, open, refused, upload};

#[test]
#[ignore = "run by every_case_holds"]
fn opens_and_tells() {
    if !is_case() {
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
#[ignore = "run by every_case_holds"]
fn no_device() {
    if is_case() {
        assert_eq!(refused(), DeviceUnavailable::NoDevice);
        assert_eq!(CudaDevice::count(), Err(DeviceUnavailable::NoDevice));
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn no_such_device() {
    if is_case() {
        let Err(error) = CudaDevice::open(2, KERNELS) else {
            panic!("there are two")
        };
        assert_eq!(
            error,
            DeviceUnavailable::NoSuchDevice { index: 2, count: 2 }
        );
        let devices = [open(), CudaDevice::open(1, KERNELS).expect("there are two")];
        assert_eq!(devices[1].name().as_deref(), Ok("Fake GPU 1"));
        // Each call binds its own context.
        let places = [0, 1].map(|index| upload(&devices[index], &[1.0]));
        for index in [0, 1, 0] {
            add(&devices[index], "add_number", places[index], 1, 1.0, 0)
                .expect("it can be started");
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
#[ignore = "run by every_case_holds"]
fn old_device() {
    if is_case() {
        assert_eq!(
            refused(),
            DeviceUnavailable::DeviceTooOld {
                name: "Fake GPU 0".into(),
                found: (7, 5),
                needed: (8, 0)
            }
        );
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn old_driver() {
    if is_case() {
        assert_eq!(
            refused(),
            DeviceUnavailable::DriverTooOld {
                found: 11_080,
                needed: 12_000
            }
        );
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn bad_kernels() {
    if is_case() {
        let Err(DeviceUnavailable::Kernels { reason, log }) = CudaDevice::open(0, "nonsense")
        else {
            panic!("that is no PTX")
        };
        assert_eq!(
            (reason.as_str(), log.as_str()),
            (
                "CUDA_ERROR_INVALID_PTX",
                "ptxas application ptx input, line 1; error: nonsense"
            )
        );
        assert!(matches!(
            CudaDevice::open(0, "a\0b"),
            Err(DeviceUnavailable::Kernels { .. })
        ));
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn failing_start() {
    if is_case() {
        let reason =
            "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered".to_owned();
        assert_eq!(
            refused(),
            DeviceUnavailable::Failed {
                call: "cuStreamCreate".into(),
                reason
            }
        );
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn no_room_to_open() {
    if is_case() {
        let DeviceUnavailable::Failed { call, reason } = refused() else {
            panic!("it has no room for the workspace")
        };
        assert_eq!(
            (call.as_str(), reason.as_str()),
            (
                "cuMemAllocAsync",
                "the GPU has no 33554432 bytes left: 1000000 of 1000000 are free"
            )
        );
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn no_cublaslt() {
    if is_case() {
        let DeviceUnavailable::NoLibrary {
            library,
            searched,
            reason,
        } = refused()
        else {
            panic!("it is not there")
        };
        assert_eq!((library, reason), ("cuBLASLt", None));
        assert!(searched.iter().any(|name| name == "libcublasLt.so.13"));
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn other_cublaslt() {
    if is_case() {
        let DeviceUnavailable::LibraryVersion {
            library, needed, ..
        } = refused()
        else {
            panic!("it does not go with the driver")
        };
        assert_eq!(
            (library, needed),
            (
                "cuBLASLt",
                std::env::var("FAKE_NEEDED").expect("the case says so")
            )
        );
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn no_cudnn() {
    if is_case() {
        let device = open();
        let needed = "9".into();
        assert_eq!(
            device.library_versions().cudnn,
            Err(DeviceUnavailable::LibraryVersion {
                library: "cuDNN",
                found: "8.9".into(),
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
        assert_eq!(device.unsupported_convolutions(), []);
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn incomplete_cudnn() {
    if is_case() {
        let cudnn = open().library_versions().cudnn;
        assert!(
            matches!(
                cudnn,
                Err(DeviceUnavailable::NoLibrary {
                    library: "cudnn_graph",
                    ..
                })
            ),
            "{cudnn:?}"
        );
    }
}
