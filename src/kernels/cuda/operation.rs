//! Operations on the stream as values: a pass compares them with those of an earlier run, and makes a
//! graph of them.

use super::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Driver, Gemm, KernelArgument, Launch,
};
use crate::kernels::fault::DeviceFault;

/// An operation that runs on the stream, in the order of submission.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation<'a> {
    /// A kernel launch.
    Launch(Launch<'a>),
    /// A matrix product.
    Gemm(Gemm),
    /// A convolution.
    Convolution(Convolution, ConvolutionData),
    /// A copy from device to device.
    Copy {
        /// The source.
        from: Address,
        /// The destination.
        to: Address,
        /// The number of bytes.
        bytes: usize,
    },
    /// Bytes that are set to zero.
    Clear {
        /// The first byte.
        to: Address,
        /// The number of bytes.
        bytes: usize,
    },
}

/// What a submitted operation computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything.
    Complete,
    /// What a convolution says.
    Convolution(ConvolutionOutcome),
}

impl Operation<'_> {
    /// Submits the operation.
    ///
    /// # Errors
    /// Those of the driver's method.
    pub fn submit(&self, driver: &dyn Driver) -> Result<Outcome, DeviceFault> {
        match self {
            Self::Launch(launch) => driver.launch(launch)?,
            Self::Gemm(gemm) => driver.gemm(gemm)?,
            Self::Convolution(shape, data) => {
                return driver.convolution(shape, data).map(Outcome::Convolution);
            }
            Self::Copy { from, to, bytes } => driver.copy(*from, *to, *bytes)?,
            Self::Clear { to, bytes } => driver.clear(*to, *bytes)?,
        }
        Ok(Outcome::Complete)
    }

    /// Returns whether it is a kernel launch or a library call, and not a copy.
    pub fn is_launch(&self) -> bool {
        !matches!(self, Self::Copy { .. } | Self::Clear { .. })
    }

    /// Returns whether both compute the same bits: equal addresses, sizes, and bits of numbers.
    pub fn is_same(&self, other: &Self) -> bool {
        // 0 and -0 are equal, but have different bits.
        let bits = |operation: &Self| -> [u32; 2] {
            match operation {
                Self::Gemm(gemm) => [gemm.alpha, gemm.add.map_or(0.0, |(_, beta)| beta)],
                _ => [0.0; 2],
            }
            .map(f32::to_bits)
        };
        let arguments = |operation: &Self| match *operation {
            Operation::Launch(launch) => launch.arguments,
            _ => &[],
        };
        let number = |argument: &KernelArgument| match argument {
            KernelArgument::F32(number) => number.to_bits(),
            KernelArgument::Pointer(_) | KernelArgument::U32(_) => 0,
        };
        self == other
            && bits(self) == bits(other)
            && arguments(self)
                .iter()
                .map(number)
                .eq(arguments(other).iter().map(number))
    }

    fn stored(&self) -> StoredOperation {
        match *self {
            Self::Launch(launch) => StoredOperation::Launch {
                kernel: launch.kernel.to_owned(),
                arguments: launch.arguments.to_vec(),
                sizes: Launch {
                    kernel: "",
                    arguments: &[],
                    ..launch
                },
            },
            Self::Gemm(gemm) => StoredOperation::Other(Operation::Gemm(gemm)),
            Self::Convolution(shape, data) => {
                StoredOperation::Other(Operation::Convolution(shape, data))
            }
            Self::Copy { from, to, bytes } => {
                StoredOperation::Other(Operation::Copy { from, to, bytes })
            }
            Self::Clear { to, bytes } => StoredOperation::Other(Operation::Clear { to, bytes }),
        }
    }
}

/// An operation that owns its arguments.
#[derive(Debug, Clone)]
enum StoredOperation {
    Launch {
        kernel: String,
        arguments: Vec<KernelArgument>,
        /// The launch without kernel and arguments.
        sizes: Launch<'static>,
    },
    Other(Operation<'static>),
}

/// An operation that was submitted before, with what it computed.
#[derive(Debug, Clone)]
pub struct RecordedOperation {
    operation: StoredOperation,
    /// An `Err` if a library had no algorithm.
    outcome: Result<Outcome, DeviceFault>,
}

impl RecordedOperation {
    /// Records an operation that was submitted with this result.
    pub fn new(operation: &Operation, outcome: Result<Outcome, DeviceFault>) -> Self {
        Self {
            operation: operation.stored(),
            outcome,
        }
    }

    /// Returns the operation.
    pub fn operation(&self) -> Operation<'_> {
        match &self.operation {
            StoredOperation::Launch {
                kernel,
                arguments,
                sizes,
            } => Operation::Launch(Launch {
                kernel,
                arguments,
                ..*sizes
            }),
            StoredOperation::Other(operation) => *operation,
        }
    }

    /// Returns what the operation computed when it was recorded.
    pub fn outcome(&self) -> &Result<Outcome, DeviceFault> {
        &self.outcome
    }

    /// Submits the operation again with `submit`. Does nothing if it computed nothing before.
    ///
    /// # Errors
    /// Those of `submit`; [`DeviceFault::Refused`] if the library computes something else than before,
    /// because what follows was chosen by that.
    pub fn resubmit(
        &self,
        submit: impl FnOnce(&Operation) -> Result<Outcome, DeviceFault>,
    ) -> Result<(), DeviceFault> {
        let Ok(expected) = self.outcome else {
            return Ok(());
        };
        if expected == Outcome::Convolution(ConvolutionOutcome::Unsupported) {
            return Ok(());
        }
        let found = submit(&self.operation())?;
        if found == expected {
            return Ok(());
        }
        Err(DeviceFault::Refused {
            call: "cudnnConvolutionForward".to_owned(),
            reason: format!("expected {expected:?} as before, found {found:?}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::driver::{Format, MatrixView};
    use super::*;

    #[test]
    fn operations_are_the_same_if_all_bits_are() {
        let launch = |arguments| {
            Operation::Launch(Launch {
                kernel: "scale",
                blocks: [1; 3],
                threads: 32,
                shared: 0,
                arguments,
            })
        };
        let zero = [KernelArgument::F32(0.0), KernelArgument::U32(3)];
        let negative = [KernelArgument::F32(-0.0), KernelArgument::U32(3)];
        let recorded = RecordedOperation::new(&launch(&zero), Ok(Outcome::Complete));
        assert!(recorded.operation().is_same(&launch(&zero)));
        assert!(!recorded.operation().is_same(&launch(&negative)));
        assert!(!recorded.operation().is_same(&launch(&zero[..1])));

        let matrix = MatrixView {
            address: Address(256),
            format: Format::F32,
            stride: 1,
            batch_stride: 0,
        };
        let gemm = Gemm {
            rows: 1,
            cols: 1,
            inner: 1,
            batch: 1,
            alpha: 0.0,
            a: matrix,
            a_transposed: false,
            b: matrix,
            b_transposed: false,
            c: matrix,
            add: None,
            bias: None,
        };
        let product = Operation::Gemm(gemm);
        assert!(product.is_same(&product));
        assert!(!product.is_same(&Operation::Gemm(Gemm {
            alpha: -0.0,
            ..gemm
        })));
        assert!(!product.is_same(&launch(&zero)));
    }

    #[test]
    fn what_computed_nothing_is_not_submitted_again() {
        let clear = Operation::Clear {
            to: Address(256),
            bytes: 4,
        };
        let refused = DeviceFault::Refused {
            call: String::new(),
            reason: String::new(),
        };
        let never =
            |_: &Operation| -> Result<Outcome, DeviceFault> { panic!("it is not submitted") };
        let unsupported = Ok(Outcome::Convolution(ConvolutionOutcome::Unsupported));
        for outcome in [Err(refused), unsupported] {
            let recorded = RecordedOperation::new(&clear, outcome);
            assert_eq!(recorded.resubmit(never), Ok(()));
        }
        let full = Ok(Outcome::Convolution(ConvolutionOutcome::Full));
        let recorded = RecordedOperation::new(&clear, full);
        let partial = |_: &Operation| Ok(Outcome::Convolution(ConvolutionOutcome::Partial));
        assert!(matches!(
            recorded.resubmit(partial),
            Err(DeviceFault::Refused { .. })
        ));
    }
}
