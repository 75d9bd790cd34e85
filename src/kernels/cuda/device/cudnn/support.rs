//! The convolutions that cuDNN's legacy functions support.

use crate::kernels::cuda::driver::Convolution;

/// Checks a convolution's padding and sizes.
///
/// # Errors
/// Why it is not supported.
pub(super) fn check(shape: &Convolution) -> Result<(), &'static str> {
    if !is_symmetric(shape) {
        return Err("the padding is not symmetric");
    }
    if !fits(shape) {
        return Err("the sizes exceed 32 bits");
    }
    Ok(())
}

/// Returns whether equal padding on opposite sides gives the size of y. cuDNN supports no other
/// padding.
pub(super) fn is_symmetric(shape: &Convolution) -> bool {
    let Convolution {
        kernel,
        stride,
        pad,
        ..
    } = *shape;
    let size = |x: usize| {
        (x + 2 * pad)
            .checked_sub(kernel)
            .and_then(|rest| rest.checked_div(stride))
            .map(|steps| steps + 1)
    };
    (0..2).all(|side| size(shape.input[side]) == Some(shape.output[side]))
}

/// Returns whether all sizes and the element counts of all tensors fit 32 bits.
fn fits(shape: &Convolution) -> bool {
    let Convolution {
        batch,
        input,
        output,
        kernel,
        stride,
        pad,
        ..
    } = *shape;
    let weight = [output[2], kernel, kernel, input[2]];
    let tensors = [
        [batch, input[0], input[1], input[2]],
        [batch, output[0], output[1], output[2]],
        weight,
    ];
    let count = |tensor: [usize; 4]| tensor.into_iter().try_fold(1_usize, usize::checked_mul);
    let fits = |count: usize| count > 0 && i32::try_from(count).is_ok();
    tensors
        .into_iter()
        .all(|tensor| count(tensor).is_some_and(fits))
        && fits(stride)
        && i32::try_from(pad).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cuda::driver::{Direction, Format};

    fn shape(input: usize, output: usize, kernel: usize, stride: usize, pad: usize) -> Convolution {
        Convolution {
            direction: Direction::Forward,
            format: Format::F16,
            batch: 1,
            input: [input, input, 8],
            output: [output, output, 16],
            kernel,
            stride,
            pad,
        }
    }

    #[test]
    fn only_symmetric_padding_is_supported() {
        // The convolutions of Stable Diffusion 1.5: same size, pointwise, and downsampling with
        // symmetric padding.
        assert!(is_symmetric(&shape(64, 64, 3, 1, 1)));
        assert!(is_symmetric(&shape(64, 64, 1, 1, 0)));
        assert!(is_symmetric(&shape(64, 32, 3, 2, 1)));
        assert!(is_symmetric(&shape(63, 32, 3, 2, 1)));
        // The autoencoder's downsampling pads below and to the right only.
        assert!(!is_symmetric(&shape(64, 32, 3, 2, 0)));
        // One more or one less than any equal padding gives.
        assert!(!is_symmetric(&shape(64, 65, 3, 1, 1)));
        assert!(!is_symmetric(&shape(64, 63, 3, 1, 1)));
        // Each side is checked.
        assert!(!is_symmetric(&Convolution {
            output: [64, 63, 16],
            ..shape(64, 64, 3, 1, 1)
        }));
        // Invalid shapes are not symmetric either.
        assert!(!is_symmetric(&shape(1, 1, 5, 1, 0)));
        assert!(!is_symmetric(&shape(64, 64, 3, 0, 1)));
    }

    #[test]
    fn symmetric_padding_agrees_with_the_counted_windows() {
        for input in 1..20 {
            for (kernel, stride, pad) in [(1, 1, 0), (3, 1, 1), (3, 2, 1), (3, 2, 0), (5, 3, 2)] {
                // Counts the windows inside the padded input one by one.
                let padded = input + 2 * pad;
                let windows = (0..padded)
                    .step_by(stride)
                    .filter(|first| first + kernel <= padded)
                    .count();
                for output in 0..25 {
                    assert_eq!(
                        is_symmetric(&shape(input, output, kernel, stride, pad)),
                        output == windows && windows > 0
                    );
                }
            }
        }
    }

    #[test]
    fn sizes_beyond_32_bits_are_not_supported() {
        assert!(fits(&shape(64, 64, 3, 1, 1)));
        assert!(!fits(&Convolution {
            batch: 1 << 20,
            ..shape(64, 64, 3, 1, 1)
        }));
        assert!(!fits(&Convolution {
            batch: 0,
            ..shape(64, 64, 3, 1, 1)
        }));
        assert!(!fits(&Convolution {
            input: [usize::MAX, 2, 2],
            ..shape(64, 64, 3, 1, 1)
        }));
    }
}
