//! Allocation and transfers.

use dragnext::kernels::cuda::driver::{Address, Driver};
use dragnext::kernels::fault::DeviceFault;

use super::fakes::{open, runs_a_case};

#[test]
#[ignore = "run by every_case_passes"]
fn transfers() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    // Small writes that exceed the staging memory in total, each from a source that is overwritten
    // at once, then a large write.
    let pieces: Vec<_> = (0..100_u8)
        .map(|piece| {
            let address = device.allocate(100_001).expect("the allocation succeeds");
            let mut bytes = vec![piece; 100_001];
            device.write(address, &bytes).expect("the write succeeds");
            bytes.fill(0xee);
            address
        })
        .collect();
    for (piece, address) in pieces.iter().enumerate() {
        let mut bytes = vec![0; 100_001];
        device
            .read(*address, &mut bytes)
            .expect("the read succeeds");
        assert!(bytes.iter().all(|byte| usize::from(*byte) == piece));
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let from = device
        .allocate(large.len())
        .expect("the allocation succeeds");
    let mut gone = large.clone();
    device.write(from, &gone).expect("the write succeeds");
    gone.fill(0);
    let to = device
        .allocate(large.len())
        .expect("the allocation succeeds");
    device
        .copy(from, to, large.len())
        .expect("the copy succeeds");
    device
        .clear(to.plus(1000), 500)
        .expect("the clear succeeds");
    device.read(to, &mut gone).expect("the read succeeds");
    assert!(gone[1000..1500].iter().all(|byte| *byte == 0));
    assert!(gone[..1000] == large[..1000] && gone[1500..] == large[1500..]);
    // Transfers of zero bytes.
    device
        .write(Address::NULL, &[])
        .expect("a write of zero bytes succeeds");
    device
        .read(Address::NULL, &mut [])
        .expect("a read of zero bytes succeeds");
    device
        .clear(Address::NULL, 0)
        .expect("a clear of zero bytes succeeds");
    device
        .copy(Address::NULL, Address::NULL, 0)
        .expect("a copy of zero bytes succeeds");
    let nothing = device.allocate(0).expect("the allocation succeeds");
    for address in pieces.into_iter().chain([from, to, nothing, Address::NULL]) {
        device.free(address);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn running_out_of_memory() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let first = device
        .allocate(30_000_000)
        .expect("the allocation succeeds");
    device.free(first);
    assert_eq!(
        device.memory().free,
        100_000_000 - (32 << 20),
        "unused memory of the pool counts as free"
    );
    let second = device
        .allocate(60_000_000)
        .expect("unused memory of the pool is released");
    let fault = device
        .allocate(10_000_000)
        .expect_err("the allocation exceeds the memory");
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
