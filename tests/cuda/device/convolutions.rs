//! Convolutions on the fake cuDNN against plain loops.

use dragnext::kernels::cuda::device::PlannedConvolutions;
use dragnext::kernels::cuda::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Direction, Driver, Format,
};

use super::fakes::{download, integers, open, runs_a_case, upload};

/// A stride-2 convolution of two 5 x 4 pictures.
pub(crate) fn shape(direction: Direction) -> Convolution {
    Convolution {
        direction,
        format: Format::F32,
        batch: 2,
        input: [5, 4, 3],
        output: [3, 2, 4],
        kernel: 3,
        stride: 2,
        pad: 1,
    }
}

/// Returns whether the case selects the graph API.
fn uses_graphs() -> bool {
    std::env::var_os("DRAGNEXT_CUDNN").is_some_and(|api| api == "graph")
}

/// The convolution with zeros below and to the right only, as the autoencoder's downsampling has. The
/// legacy functions do not support it.
pub(crate) fn asymmetric() -> Convolution {
    Convolution {
        input: [6, 4, 3],
        pad: 0,
        ..shape(Direction::Forward)
    }
}

/// Operands of a convolution, and the results of plain loops.
pub(crate) struct Expected {
    pub(crate) x: Vec<f32>,
    pub(crate) w: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// The residual of the forward pass, and the gradient dy of the backward pass.
    pub(crate) residual: Vec<f32>,
    /// The convolution without bias and residual.
    pub(crate) y: Vec<f32>,
    dx: Vec<f32>,
}

impl Expected {
    pub(crate) fn of(shape: &Convolution) -> Self {
        let Convolution {
            batch,
            input: [height, width, channels],
            output: [y_height, y_width, out],
            kernel,
            stride,
            pad,
            ..
        } = *shape;
        let x = integers(batch * height * width * channels, 1);
        let w = integers(out * kernel * kernel * channels, 2);
        let y_len = batch * y_height * y_width * out;
        let residual = integers(y_len, 4);
        let (mut y, mut dx) = (vec![0.0; y_len], vec![0.0; x.len()]);
        for index in 0..y_len * kernel * kernel * channels {
            let channel = index % channels;
            let kernel_column = index / channels % kernel;
            let kernel_row = index / (channels * kernel) % kernel;
            let y_index = index / (channels * kernel * kernel);
            let (k, column) = (y_index % out, y_index / out % y_width);
            let row = y_index / (out * y_width) % y_height;
            let picture = y_index / (out * y_width * y_height);
            let x_row = (row * stride + kernel_row).checked_sub(pad);
            let x_column = (column * stride + kernel_column).checked_sub(pad);
            let (Some(x_row), Some(x_column)) = (x_row, x_column) else {
                continue;
            };
            if x_row < height && x_column < width {
                let x_index = ((picture * height + x_row) * width + x_column) * channels + channel;
                let w_index =
                    ((k * kernel + kernel_row) * kernel + kernel_column) * channels + channel;
                y[y_index] += x[x_index] * w[w_index];
                dx[x_index] += residual[y_index] * w[w_index];
            }
        }
        let bias = integers(out, 3);
        Self {
            x,
            w,
            bias,
            residual,
            y,
            dx,
        }
    }

    pub(crate) fn forward(&self, with_bias: bool, with_residual: bool) -> Vec<f32> {
        let bias = |index: usize| {
            if with_bias {
                self.bias[index % self.bias.len()]
            } else {
                0.0
            }
        };
        let residual = |index: usize| {
            if with_residual {
                self.residual[index]
            } else {
                0.0
            }
        };
        self.y
            .iter()
            .enumerate()
            .map(|(index, y)| y + bias(index) + residual(index))
            .collect()
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn forward() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let refuse = std::env::var("FAKE_REFUSE").unwrap_or_default();
    let graphs = uses_graphs();
    let fuses = refuse != if graphs { "graph-terms" } else { "fused" };
    let expected = Expected::of(&shape(Direction::Forward));
    let operands = [
        &expected.x,
        &expected.w,
        &expected.bias,
        &expected.residual,
        &vec![f32::NAN; expected.y.len()],
    ];
    let [x, w, bias, residual, y] = operands.map(|values| upload(&device, values));
    for (with_bias, with_residual) in [(false, false), (true, false), (true, true), (false, true)] {
        let data = ConvolutionData {
            from: x,
            weight: w,
            to: y,
            bias: with_bias.then_some(bias),
            residual: with_residual.then_some(residual),
        };
        let outcome = device
            .convolution(&shape(Direction::Forward), &data)
            .expect("the convolution does not fail");
        let expected_outcome = if refuse == "convolution" && !graphs {
            ConvolutionOutcome::Unsupported
        } else if with_bias && fuses || !with_bias && !with_residual {
            ConvolutionOutcome::Full
        } else {
            ConvolutionOutcome::Partial
        };
        assert_eq!(outcome, expected_outcome);
        let fused = outcome == ConvolutionOutcome::Full;
        if outcome != ConvolutionOutcome::Unsupported {
            assert_eq!(
                download(&device, y, expected.y.len()),
                expected.forward(fused && with_bias, fused && with_residual)
            );
        }
    }
    let unsupported = device.refused_convolutions();
    assert_eq!(
        unsupported.len(),
        // What the legacy functions refuse does not matter to the graph API.
        usize::from(!(refuse.is_empty() || graphs && refuse == "convolution")),
        "{unsupported:?}"
    );
    for address in [x, w, bias, residual, y] {
        device.free(address);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn backward() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let expected = Expected::of(&shape(Direction::Forward));
    let operands = [
        &expected.residual,
        &expected.w,
        &vec![f32::NAN; expected.x.len()],
    ];
    let [dy, w, dx] = operands.map(|values| upload(&device, values));
    let data = ConvolutionData {
        from: dy,
        weight: w,
        to: dx,
        bias: None,
        residual: None,
    };
    let outcome = device
        .convolution(&shape(Direction::Backward), &data)
        .expect("the convolution does not fail");
    let refused = std::env::var_os("FAKE_REFUSE").is_some_and(|refuse| refuse == "convolution");
    if refused && !uses_graphs() {
        assert_eq!(outcome, ConvolutionOutcome::Unsupported);
        assert_eq!(device.refused_convolutions().len(), 1);
    } else {
        assert_eq!(outcome, ConvolutionOutcome::Full);
        assert_eq!(download(&device, dx, expected.x.len()), expected.dx);
    }
    for address in [dy, w, dx] {
        device.free(address);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn asymmetric_padding() {
    if !runs_a_case() {
        return;
    }
    let device = open();
    let asymmetric = asymmetric();
    let data = ConvolutionData {
        from: Address::NULL,
        weight: Address::NULL,
        to: Address::NULL,
        bias: None,
        residual: None,
    };
    assert_eq!(
        device.convolution(&asymmetric, &data),
        Ok(ConvolutionOutcome::Unsupported)
    );
    // The interface does not have it, so the library did not refuse it.
    assert_eq!(device.refused_convolutions(), []);
    assert_eq!(
        device.plan_convolutions(&[asymmetric]),
        Ok(PlannedConvolutions::default())
    );
}
