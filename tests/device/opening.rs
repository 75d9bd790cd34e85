//! Opening a device, and why it cannot be.

use dragnext::kernels::cuda::device::{Device, Unavailable};
use dragnext::kernels::cuda::driver::{
    Address, ConvolutionData, Convolved, Direction, Driver, Memory,
};

use crate::convolutions::shape;
use crate::fakes::{KERNELS, add, download, is_case, open, refused, upload};

#[test]
#[ignore = "run by every_case_holds"]
fn opens_and_tells() {
    if !is_case() {
        return;
    }
    assert_eq!(Device::count(), Ok(1));
    for _ in 0..3 {
        let device = open();
        assert_eq!(device.name().as_deref(), Ok("Fake GPU 0"));
        assert_eq!(device.compute_capability(), Ok((9, 0)));
        assert_eq!(device.driver_version(), Ok(13_000));
        assert_eq!(device.multiprocessors(), 132);
        let libraries = device.libraries();
        assert_eq!(libraries.cublaslt, "13.1.2");
        assert_eq!(libraries.cudnn.as_deref(), Ok("9.10.2"));
        assert_eq!(
            device.memory(),
            Memory {
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
        assert_eq!(refused(), Unavailable::NoDevice);
        assert_eq!(Device::count(), Err(Unavailable::NoDevice));
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn no_such_device() {
    if is_case() {
        let Err(error) = Device::open(2, KERNELS) else {
            panic!("there are two")
        };
        assert_eq!(error, Unavailable::NoSuchDevice { index: 2, count: 2 });
        let devices = [open(), Device::open(1, KERNELS).expect("there are two")];
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
            Unavailable::DeviceTooOld {
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
            Unavailable::DriverTooOld {
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
        let Err(Unavailable::Kernels { reason, log }) = Device::open(0, "nonsense") else {
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
            Device::open(0, "a\0b"),
            Err(Unavailable::Kernels { .. })
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
            Unavailable::Failed {
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
        let Unavailable::Failed { call, reason } = refused() else {
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
        let Unavailable::NoLibrary {
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
        let Unavailable::LibraryVersion {
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
            device.libraries().cudnn,
            Err(Unavailable::LibraryVersion {
                library: "cuDNN",
                found: "8.9".into(),
                needed
            })
        );
        let none = ConvolutionData {
            from: Address::NONE,
            weight: Address::NONE,
            to: Address::NONE,
            bias: None,
            residual: None,
        };
        assert_eq!(
            device.convolution(&shape(Direction::Forward), &none),
            Ok(Convolved::Not)
        );
        assert_eq!(device.refused_convolutions(), []);
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn incomplete_cudnn() {
    if is_case() {
        let cudnn = open().libraries().cudnn;
        assert!(
            matches!(
                cudnn,
                Err(Unavailable::NoLibrary {
                    library: "cudnn_graph",
                    ..
                })
            ),
            "{cudnn:?}"
        );
    }
}
