//! Kernel launches, and faults during launches.

use dragnext::kernels::cuda::device::{CudaDevice, Kernels};
use dragnext::kernels::cuda::driver::{Driver, Launch, MemoryInfo};
use dragnext::kernels::fault::DeviceFault;

use super::fakes::{KERNELS, add, download, open, runs_a_case, upload};

#[test]
#[ignore = "run by every_case_passes"]
fn launches() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[1.0, 2.0, 3.0]);
    add(&device, "add_value", x, 3, 0.5, 0).expect("the launch succeeds");
    add(
        &device,
        "attention_add",
        x.plus(4),
        2,
        10.0,
        99 * 1024 - 1024,
    )
    .expect("the launch may use opted-in shared memory");
    assert_eq!(download(&device, x, 3), [1.5, 12.5, 13.5]);
    for (kernel, shared) in [
        ("no_such_kernel", 0),
        ("add_value", 48 * 1024),
        ("attention_add", 99 * 1024),
    ] {
        let Err(DeviceFault::Lost { call, reason }) = add(&device, kernel, x, 3, 1.0, shared)
        else {
            panic!("{kernel} cannot be launched")
        };
        assert!(
            call == "cuLaunchKernel" && reason.starts_with(kernel),
            "{reason}"
        );
    }
    device
        .launch(&Launch {
            kernel: "add_value",
            blocks: [0, 1, 1],
            threads: 256,
            shared: 0,
            arguments: &[],
        })
        .expect("an empty operation succeeds");
    assert_eq!(
        download(&device, x, 3),
        [1.5, 12.5, 13.5],
        "rejected launches do nothing, and the GPU is not lost"
    );
    device.free(x);
}

/// Machine code for the fake GPU whose factor tells its compute capability.
fn machine_code((major, minor): (u32, u32)) -> Option<Vec<u8>> {
    let code = match (major, minor) {
        (8, _) => format!("{KERNELS} factor {major}{minor}\0"),
        // Rejected by the driver.
        (9, 0) => "nonsense\0".to_owned(),
        // Lacks a kernel.
        (9, 1) => "factor 91 .entry add_value(\0".to_owned(),
        _ => return None,
    };
    Some(code.into_bytes())
}

/// The factor that the kernels of the loaded image have is `FAKE_FACTOR`; that of PTX is 1.
#[test]
#[ignore = "run by every_case_passes"]
fn machine_code_or_ptx() {
    if !runs_a_case() {
        return;
    }
    let kernels = Kernels {
        ptx: KERNELS.to_owned(),
        machine_code,
    };
    let device = CudaDevice::open(0, &kernels).expect("the fake GPU can be opened");
    let x = upload(&device, &[0.0]);
    for kernel in ["add_value", "attention_add"] {
        add(&device, kernel, x, 1, 0.5, 0).expect("the launch succeeds");
    }
    let factor = std::env::var("FAKE_FACTOR").expect("the case has a factor");
    assert_eq!(download(&device, x, 1), [factor.parse::<f32>().unwrap()]);
    let form = if factor == "1" { "Ptx" } else { "MachineCode" };
    let description = device.description();
    assert!(description.contains(form), "{description}");
    device.free(x);
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_lost_device_stays_lost() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[1.0]);
    add(&device, "add_value", x, 1, 1.0, 0).expect("the first launch succeeds");
    let fault = add(&device, "add_value", x, 1, 1.0, 0).expect_err("the second launch fails");
    let reason =
        "add_value: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered".into();
    assert_eq!(
        fault,
        DeviceFault::Lost {
            call: "cuLaunchKernel".into(),
            reason
        }
    );
    assert_eq!(device.allocate(1), Err(fault.clone()));
    assert_eq!(device.read(x, &mut [0; 4]), Err(fault));
    assert_eq!(device.memory(), MemoryInfo { free: 0, total: 0 });
    device.free(x);
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_failed_launch_is_not_fatal() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[1.0]);
    add(&device, "add_value", x, 1, 1.0, 0).expect("the first launch succeeds");
    add(&device, "add_value", x, 1, 1.0, 0).expect_err("the second launch fails");
    add(&device, "add_value", x, 1, 1.0, 0).expect("the third launch succeeds");
    assert_eq!(download(&device, x, 1), [3.0]);
    device.free(x);
}

#[test]
#[ignore = "run by every_case_passes"]
fn several_threads() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[1.0]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            add(&device, "add_value", x, 1, 2.0, 0)
                .expect("the context is made current on the other thread");
        });
    });
    assert_eq!(download(&device, x, 1), [3.0]);
    std::thread::spawn(move || {
        device.free(x);
        drop(device);
    })
    .join()
    .expect("the device can be dropped on another thread");
}
