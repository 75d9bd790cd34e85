//! Short memory: the libraries report it with the codes of a failed execution.

use dragnext::kernels::cuda::device::CudaDevice;
use dragnext::kernels::cuda::driver::{
    Address, ConvolutionData, ConvolutionOutcome, Direction, Driver, Format, Gemm, MatrixView,
};
use dragnext::kernels::fault::DeviceFault;

use super::convolutions::shape;
use super::fakes::{open, runs_a_case, upload};

/// Bytes that a case takes from the GPU, so that fewer remain than the libraries need.
const TAKEN: usize = 120_000_000;

/// Operands of a product and of convolutions, all in one allocation.
struct Operands {
    device: CudaDevice,
    address: Address,
}

impl Operands {
    fn new() -> Self {
        let device = open();
        let address = upload(&device, &[0.0; 1000]);
        Self { device, address }
    }

    fn convolve(&self, direction: Direction) -> Result<ConvolutionOutcome, DeviceFault> {
        let data = ConvolutionData {
            from: self.address,
            weight: self.address,
            to: self.address,
            bias: None,
            residual: None,
        };
        self.device.convolution(&shape(direction), &data)
    }

    /// Computes one of everything.
    fn compute(&self) -> Result<(), DeviceFault> {
        let matrix = MatrixView {
            address: self.address,
            format: Format::F32,
            stride: 4,
            batch_stride: 0,
        };
        self.device.gemm(&Gemm {
            rows: 4,
            cols: 4,
            inner: 4,
            batch: 1,
            alpha: 1.0,
            a: matrix,
            a_transposed: false,
            b: matrix,
            b_transposed: false,
            c: matrix,
            add: None,
            bias: None,
        })?;
        for direction in [Direction::Forward, Direction::Backward] {
            assert_eq!(
                self.convolve(direction)?,
                ConvolutionOutcome::Full,
                "a failed call is not remembered"
            );
        }
        Ok(())
    }
}

impl Drop for Operands {
    fn drop(&mut self) {
        self.device.free(self.address);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn libraries_get_the_memory_that_the_pool_keeps() {
    if runs_a_case() {
        let operands = Operands::new();
        let taken = operands.device.allocate(TAKEN).expect("there is memory");
        operands.device.free(taken);
        operands.compute().expect("unused memory is returned");
        assert_eq!(operands.device.refused_convolutions(), []);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn short_memory_is_out_of_memory_and_passes() {
    if runs_a_case() {
        let operands = Operands::new();
        let taken = operands.device.allocate(TAKEN).expect("there is memory");
        let fault = operands.compute().expect_err("memory is short");
        assert!(
            matches!(fault, DeviceFault::OutOfMemory { need: 0, free, total: 200_000_000 } if free < 60_000_000),
            "{fault:?}"
        );
        operands.device.free(taken);
        operands.compute().expect("memory is there again");
        assert_eq!(operands.device.refused_convolutions(), []);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_failure_with_free_memory_is_a_lost_gpu() {
    if runs_a_case() {
        let operands = Operands::new();
        for _ in 0..2 {
            let fault = operands.compute().expect_err("the library fails");
            assert!(matches!(fault, DeviceFault::Lost { .. }), "{fault:?}");
        }
        assert_eq!(operands.device.refused_convolutions(), []);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_trim_returns_memory_to_the_system() {
    if runs_a_case() {
        let operands = Operands::new();
        let taken = operands.device.allocate(TAKEN).expect("there is memory");
        operands.device.free(taken);
        operands.device.trim().expect("the GPU is there");
        // The fake's code for this case is not that of short memory, so nothing else trims.
        operands.compute().expect("the memory was returned before");
    }
}
