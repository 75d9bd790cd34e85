//! Bytes in and out.

use dragnext::kernels::cuda::driver::{Address, Driver};
use dragnext::kernels::fault::DeviceFault;

use super::fakes::{is_case, open};

#[test]
#[ignore = "run by every_case_holds"]
fn moves_bytes() {
    if !is_case() {
        return;
    }
    let device = open();
    // More than the staging memory holds, in small pieces whose bytes are gone as soon as they were written, then in a large one.
    let pieces: Vec<_> = (0..100_u8)
        .map(|piece| {
            let address = device.allocate(100_001).expect("there is memory");
            let mut bytes = vec![piece; 100_001];
            device.write(address, &bytes).expect("it can be written");
            bytes.fill(0xee);
            address
        })
        .collect();
    for (piece, address) in pieces.iter().enumerate() {
        let mut bytes = vec![0; 100_001];
        device.read(*address, &mut bytes).expect("it can be read");
        assert!(bytes.iter().all(|byte| usize::from(*byte) == piece));
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let from = device.allocate(large.len()).expect("there is memory");
    let mut gone = large.clone();
    device.write(from, &gone).expect("it can be written");
    gone.fill(0);
    let to = device.allocate(large.len()).expect("there is memory");
    device
        .copy(from, to, large.len())
        .expect("it can be copied");
    device.clear(to.plus(1000), 500).expect("it can be cleared");
    device.read(to, &mut gone).expect("it can be read");
    assert!(gone[1000..1500].iter().all(|byte| *byte == 0));
    assert!(gone[..1000] == large[..1000] && gone[1500..] == large[1500..]);
    // Nothing is as good as something.
    device
        .write(Address::NULL, &[])
        .expect("nothing can be written");
    device
        .read(Address::NULL, &mut [])
        .expect("nothing can be read");
    device
        .clear(Address::NULL, 0)
        .expect("nothing can be cleared");
    device
        .copy(Address::NULL, Address::NULL, 0)
        .expect("nothing can be copied");
    let nothing = device.allocate(0).expect("there is memory");
    for address in pieces.into_iter().chain([from, to, nothing, Address::NULL]) {
        device.free(address);
    }
}

#[test]
#[ignore = "run by every_case_holds"]
fn runs_out_of_memory() {
    if !is_case() {
        return;
    }
    let device = open();
    let first = device.allocate(30_000_000).expect("there is memory");
    device.free(first);
    assert_eq!(
        device.memory().free,
        100_000_000 - (32 << 20),
        "the pool's unused memory is free, too"
    );
    let second = device
        .allocate(60_000_000)
        .expect("what the pool kept is given back for it");
    let fault = device.allocate(10_000_000).expect_err("there is no memory");
    let free = 100_000_000 - 60_000_000 - (32 << 20);
    assert_eq!(
        fault,
        DeviceFault::OutOfMemory {
            need: 10_000_000,
            free,
            total: 100_000_000
        }
    );
    device.free(second);
    let third = device.allocate(10_000_000).expect("the GPU is not lost");
    device.free(third);
}
