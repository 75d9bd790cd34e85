//! Convolutions.

use dragnext::kernels::cuda::driver::{
    Convolution, ConvolutionData, ConvolutionOutcome, Direction, Driver, Format,
};

use super::fakes::{download, is_case, numbers, open, upload};

/// Two pictures of 5 by 4 pixels, halved.
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

#[test]
#[ignore = "run by every_case_holds"]
fn convolves() {
    if !is_case() {
        return;
    }
    let device = open();
    let refuse = std::env::var("FAKE_REFUSE").unwrap_or_default();
    let forward = shape(Direction::Forward);
    let Convolution {
        batch,
        input: [height, width, into],
        output: [y_height, y_width, out],
        kernel,
        stride,
        pad,
        ..
    } = forward;
    let (x, w, bias) = (
        numbers(batch * height * width * into, 1),
        numbers(out * kernel * kernel * into, 2),
        numbers(out, 3),
    );
    let size = batch * y_height * y_width * out;
    let residual = numbers(size, 4);
    // Every pair of pixels that a weight connects: index into x, w and y.
    let mut triples = Vec::new();
    for at in 0..size * kernel * kernel * into {
        let (c, s, r, y) = (
            at % into,
            at / into % kernel,
            at / (into * kernel) % kernel,
            at / (into * kernel * kernel),
        );
        let (k, j, i, n) = (
            y % out,
            y / out % y_width,
            y / (out * y_width) % y_height,
            y / (out * y_width * y_height),
        );
        let (Some(h), Some(v)) = (
            (i * stride + r).checked_sub(pad),
            (j * stride + s).checked_sub(pad),
        ) else {
            continue;
        };
        if h < height && v < width {
            triples.push((
                ((n * height + h) * width + v) * into + c,
                ((k * kernel + r) * kernel + s) * into + c,
                y,
            ));
        }
    }
    let mut bare = vec![0.0; size];
    let mut gradient = vec![0.0; x.len()];
    for (x_at, w_at, y_at) in triples {
        bare[y_at] += x[x_at] * w[w_at];
        gradient[x_at] += residual[y_at] * w[w_at];
    }
    let [x_at, w_at, bias_at, residual_at] =
        [&x, &w, &bias, &residual].map(|numbers| upload(&device, numbers));
    let (y_at, dx_at) = (
        upload(&device, &vec![f32::NAN; size]),
        upload(&device, &vec![f32::NAN; x.len()]),
    );
    for (with_bias, with_residual) in [(false, false), (true, false), (true, true), (false, true)] {
        let data = ConvolutionData {
            from: x_at,
            weight: w_at,
            to: y_at,
            bias: with_bias.then_some(bias_at),
            residual: with_residual.then_some(residual_at),
        };
        let done = device
            .convolution(&forward, &data)
            .expect("it does not fail");
        let whole = match (refuse.as_str(), with_bias, with_residual) {
            ("convolution", ..) => None,
            (_, false, false) | ("", true, _) => Some(ConvolutionOutcome::Full),
            _ => Some(ConvolutionOutcome::Partial),
        };
        assert_eq!(done, whole.unwrap_or(ConvolutionOutcome::Unsupported));
        let sum = |(at, value): (usize, &f32)| {
            let added = done == ConvolutionOutcome::Full;
            value
                + if added && with_bias {
                    bias[at % out]
                } else {
                    0.0
                }
                + if added && with_residual {
                    residual[at]
                } else {
                    0.0
                }
        };
        if done != ConvolutionOutcome::Unsupported {
            assert_eq!(
                download(&device, y_at, size),
                bare.iter().enumerate().map(sum).collect::<Vec<_>>()
            );
        }
    }
    let data = ConvolutionData {
        from: residual_at,
        weight: w_at,
        to: dx_at,
        bias: None,
        residual: None,
    };
    let done = device
        .convolution(&shape(Direction::Backward), &data)
        .expect("it does not fail");
    if refuse == "convolution" {
        assert_eq!(done, ConvolutionOutcome::Unsupported);
    } else {
        assert_eq!(done, ConvolutionOutcome::Full);
        assert_eq!(download(&device, dx_at, x.len()), gradient);
    }
    // The autoencoder's padding is never cuDNN's.
    let below = Convolution {
        input: [6, 4, 3],
        pad: 0,
        ..forward
    };
    assert_eq!(
        device.convolution(&below, &data),
        Ok(ConvolutionOutcome::Unsupported)
    );
    let refused = device.unsupported_convolutions();
    assert!(
        refused
            .iter()
            .any(|(shape, reason)| *shape == below && reason.contains("padding")),
        "{refused:?}"
    );
    assert_eq!(
        refused.len(),
        match refuse.as_str() {
            "" => 1,
            "fused" => 2,
            _ => 3,
        }
    );
    for address in [x_at, w_at, bias_at, residual_at, y_at, dx_at] {
        device.free(address);
    }
}
