//! Kernels and threads.

use dragnext::kernels::cuda::driver::{Driver, Launch, MemoryInfo};
use dragnext::kernels::fault::DeviceFault;

use super::fakes::{add, download, is_case, open, upload};

#[test]
#[ignore = "run by every_case_holds"]
fn launches() {
    if !is_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[1.0, 2.0, 3.0]);
    add(&device, "add_number", x, 3, 0.5, 0).expect("it can be started");
    add(
        &device,
        "attention_add",
        x.plus(4),
        2,
        10.0,
        99 * 1024 - 1024,
    )
    .expect("it has much shared memory");
    assert_eq!(download(&device, x, 3), [1.5, 12.5, 13.5]);
    for (kernel, shared) in [
        ("no_such_kernel", 0),
        ("add_number", 48 * 1024),
        ("attention_add", 99 * 1024),
    ] {
        let Err(DeviceFault::Lost { call, reason }) = add(&device, kernel, x, 3, 1.0, shared)
        else {
            panic!("{kernel} cannot be started")
        };
        assert!(
            call == "cuLaunchKernel" && reason.starts_with(kernel),
            "{reason}"
        );
    }
    device
        .launch(&Launch {
            kernel: "add_number",
            blocks: [0, 1, 1],
            threads: 256,
            shared: 0,
            arguments: &[],
        })
        .expect("nothing to do");
    assert_eq!(
        download(&device, x, 3),
        [1.5, 12.5, 13.5],
        "what was refused was not done, and the GPU is not lost"
    );
    device.free(x);
}

#[test]
#[ignore = "run by every_case_holds"]
fn stays_lost() {
    if !is_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[1.0]);
    add(&device, "add_number", x, 1, 1.0, 0).expect("the first one goes well");
    let fault = add(&device, "add_number", x, 1, 1.0, 0).expect_err("the second one does not");
    let reason =
        "add_number: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered".into();
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
#[ignore = "run by every_case_holds"]
fn goes_on() {
    if !is_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[1.0]);
    add(&device, "add_number", x, 1, 1.0, 0).expect("the first one goes well");
    add(&device, "add_number", x, 1, 1.0, 0).expect_err("the second one does not");
    add(&device, "add_number", x, 1, 1.0, 0).expect("the third one does again");
    assert_eq!(download(&device, x, 1), [3.0]);
    device.free(x);
}

#[test]
#[ignore = "run by every_case_holds"]
fn works_on_threads() {
    if !is_case() {
        return;
    }
    let device = open();
    let x = upload(&device, &[1.0]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            add(&device, "add_number", x, 1, 2.0, 0)
                .expect("the context is bound on the other thread, too")
        });
    });
    assert_eq!(download(&device, x, 1), [3.0]);
    std::thread::spawn(move || {
        device.free(x);
        drop(device);
    })
    .join()
    .expect("it can go on another thread");
}
