//! Convolutions with the graph API of the fake cuDNN. Where its legacy functions refuse a convolution, that
//! the result is there shows that the graph API computed it.

use dragnext::kernels::cuda::device::{CudaDevice, DeviceUnavailable};
use dragnext::kernels::cuda::driver::{
    Convolution, ConvolutionData, ConvolutionOutcome, Direction, Driver,
};
use dragnext::kernels::fault::DeviceFault;

use super::convolutions::{Expected, asymmetric, shape};
use super::fakes::{download, open, open_error, runs_a_case, upload};

/// A device with the operands of a convolution.
struct Operands {
    device: CudaDevice,
    expected: Expected,
    data: ConvolutionData,
}

impl Operands {
    fn new(shape: &Convolution) -> Self {
        let device = open();
        let expected = Expected::of(shape);
        let [from, weight, bias, residual] =
            [&expected.x, &expected.w, &expected.bias, &expected.residual]
                .map(|values| upload(&device, values));
        let to = upload(&device, &vec![f32::NAN; expected.y.len()]);
        let data = ConvolutionData {
            from,
            weight,
            to,
            bias: Some(bias),
            residual: Some(residual),
        };
        Self {
            device,
            expected,
            data,
        }
    }

    /// Runs the convolution with all terms, and checks its result if there is one.
    fn convolve(&self, shape: &Convolution) -> Result<ConvolutionOutcome, DeviceFault> {
        let outcome = self.device.convolution(shape, &self.data)?;
        if outcome != ConvolutionOutcome::Unsupported {
            let full = outcome == ConvolutionOutcome::Full;
            assert_eq!(
                download(&self.device, self.data.to, self.expected.y.len()),
                self.expected.forward(full, full)
            );
        }
        Ok(outcome)
    }

    /// Returns the reasons of the one convolution that was refused.
    fn refused(&self) -> String {
        let refused = self.device.refused_convolutions();
        assert_eq!(refused.len(), 1, "{refused:?}");
        refused[0].1.clone()
    }
}

impl Drop for Operands {
    fn drop(&mut self) {
        let ConvolutionData {
            from,
            weight,
            to,
            bias,
            residual,
        } = self.data;
        for address in [from, weight, to].into_iter().chain(bias).chain(residual) {
            self.device.free(address);
        }
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn padding_on_one_side() {
    if !runs_a_case() {
        return;
    }
    let shape = asymmetric();
    let operands = Operands::new(&shape);
    assert_eq!(operands.convolve(&shape), Ok(ConvolutionOutcome::Full));
    assert_eq!(operands.device.refused_convolutions(), []);
}

#[test]
#[ignore = "run by every_case_passes"]
fn addresses_that_a_plan_cannot_take() {
    if !runs_a_case() {
        return;
    }
    let shape = shape(Direction::Forward);
    let mut operands = Operands::new(&shape);
    assert_eq!(operands.convolve(&shape), Ok(ConvolutionOutcome::Full));
    let aligned = operands.data;
    // The legacy functions refuse it; a bias can be added by another kernel.
    for (misaligned, outcome) in [
        (
            ConvolutionData {
                from: aligned.from.plus(4),
                ..aligned
            },
            ConvolutionOutcome::Unsupported,
        ),
        (
            ConvolutionData {
                bias: aligned.bias.map(|bias| bias.plus(8)),
                ..aligned
            },
            ConvolutionOutcome::Partial,
        ),
    ] {
        operands.data = misaligned;
        let found = operands.convolve(&shape);
        operands.data = aligned;
        assert_eq!(found, Ok(outcome));
        assert_eq!(
            operands.convolve(&shape),
            Ok(ConvolutionOutcome::Full),
            "nothing is remembered"
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn what_is_refused_is_said() {
    if !runs_a_case() {
        return;
    }
    let shape = shape(Direction::Forward);
    let operands = Operands::new(&shape);
    for _ in 0..2 {
        assert_eq!(operands.convolve(&shape), Ok(ConvolutionOutcome::Full));
    }
    let reason = std::env::var("FAKE_REASON").expect("the case has a reason");
    let refused = operands.refused();
    assert!(
        refused.contains("graph API") && refused.contains(&reason),
        "{refused}"
    );
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_failure_to_plan_is_not_remembered() {
    if !runs_a_case() {
        return;
    }
    let shape = shape(Direction::Forward);
    let operands = Operands::new(&shape);
    let taken = operands
        .device
        .allocate(60_000_000)
        .expect("there is memory");
    for _ in 0..2 {
        assert_eq!(operands.convolve(&shape), Ok(ConvolutionOutcome::Full));
    }
    let refused = operands.refused();
    assert!(refused.contains("cudnnBackendFinalize"), "{refused}");
    operands.device.free(taken);
    assert_eq!(operands.convolve(&shape), Ok(ConvolutionOutcome::Full));
    let refused = operands.refused();
    assert!(
        !refused.contains("with residual and bias"),
        "planned with its terms: {refused}"
    );
}

#[test]
#[ignore = "run by every_case_passes"]
fn a_gpu_that_is_lost_while_planning() {
    if !runs_a_case() {
        return;
    }
    let shape = shape(Direction::Forward);
    let operands = Operands::new(&shape);
    for _ in 0..2 {
        let fault = operands.convolve(&shape).expect_err("the GPU is lost");
        // The legacy functions are not tried.
        assert!(
            matches!(&fault, DeviceFault::Lost { call, .. } if call == "cudnnBackendFinalize"),
            "{fault:?}"
        );
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn plans_are_counted() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let shapes = [
        shape(Direction::Forward),
        shape(Direction::Backward),
        asymmetric(),
    ];
    let planned = device.plan_convolutions(&shapes).expect("the GPU is there");
    let (by_graph, refused) = match std::env::var("FAKE_REFUSE").as_deref() {
        // Terms are added by another kernel.
        Ok("graph-terms") => (Some(3), 2),
        Ok(_) => (Some(0), 3),
        Err(_) => (Some(3), 0),
    };
    assert_eq!(
        (planned.by_graph, planned.refused.len()),
        (by_graph, refused),
        "{planned:?}"
    );
}

#[test]
#[ignore = "run by every_case_passes"]
fn the_interface_is_a_part_of_the_description() {
    if runs_a_case() {
        let graphs = std::env::var_os("DRAGNEXT_CUDNN").is_some_and(|value| value == "graph");
        assert_eq!(open().description().contains("graph API"), graphs);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn an_unknown_interface() {
    if runs_a_case() {
        assert_eq!(
            open_error(),
            DeviceUnavailable::Setting {
                variable: "DRAGNEXT_CUDNN",
                value: "quick".into(),
                allowed: "`graph` or `legacy`"
            }
        );
    }
}
