//! The convolutions that cuDNN's interfaces support: sizes, padding and formats.

use cudarc::cudnn::sys::cudnnDataType_t;

use crate::kernels::cuda::driver::{Convolution, Format};

/// Returns the library's name of a format.
pub(super) fn data_type(format: Format) -> cudnnDataType_t {
    match format {
        Format::F32 => cudnnDataType_t::CUDNN_DATA_FLOAT,
        Format::F16 => cudnnDataType_t::CUDNN_DATA_HALF,
        Format::Bf16 => cudnnDataType_t::CUDNN_DATA_BFLOAT16,
    }
}

/// Zeros around x in rows and columns, as the graph API takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Padding {
    /// Above and to the left.
    pub(super) before: [usize; 2],
    /// Below and to the right.
    pub(super) after: [usize; 2],
}

/// Returns the padding that gives the size of y: the same on opposite sides if that does.
///
/// # Errors
/// Why the graph API does not have the convolution.
pub(super) fn padding(shape: &Convolution) -> Result<Padding, &'static str> {
    if !fits(shape) {
        return Err("the sizes exceed 32 bits");
    }
    let Convolution {
        kernel,
        stride,
        pad,
        ..
    } = *shape;
    let after = |side: usize| {
        let (x, y) = (shape.input[side], shape.output[side]);
        let gives = |after: usize| {
            let rest = (x + pad + after).checked_sub(kernel);
            rest.is_some_and(|rest| rest / stride + 1 == y)
        };
        let covered = ((y - 1) * stride + kernel).saturating_sub(x + pad);
        [pad, covered]
            .into_iter()
            .find(|after| *after < kernel && gives(*after))
    };
    let sides = [after(0), after(1)];
    match (sides, pad < kernel) {
        ([Some(below), Some(right)], true) => Ok(Padding {
            before: [pad; 2],
            after: [below, right],
        }),
        _ => Err("no padding gives the size of the result"),
    }
}

/// Checks whether the legacy functions have a convolution of this padding and these sizes.
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

/// Returns whether equal padding on opposite sides gives the size of y. The legacy functions support
/// no other padding.
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
    use crate::kernels::cuda::driver::Direction;

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
    fn padding_agrees_with_the_counted_windows() {
        let mut found = [0, 0];
        for input in 1..20 {
            for (kernel, stride, pad) in [(1, 1, 0), (3, 1, 1), (3, 2, 1), (3, 2, 0), (5, 3, 2)] {
                for output in 1..25 {
                    let shape = shape(input, output, kernel, stride, pad);
                    // Counts the windows of each padding one by one.
                    let windows = |after: usize| {
                        let padded = input + pad + after;
                        (0..padded)
                            .step_by(stride)
                            .filter(|first| first + kernel <= padded)
                            .count()
                    };
                    let possible: Vec<usize> = (0..kernel)
                        .filter(|after| windows(*after) == output)
                        .collect();
                    match padding(&shape) {
                        Err(_) => assert!(possible.is_empty(), "{shape:?}"),
                        Ok(Padding { before, after }) => {
                            assert_eq!((before, after[0]), ([pad; 2], after[1]));
                            // The same on both sides where that is possible, else the least.
                            let best = possible.iter().find(|after| **after == pad);
                            assert_eq!(Some(&after[0]), best.or(possible.first()), "{shape:?}");
                            assert_eq!(is_symmetric(&shape), after[0] == pad);
                            found[usize::from(is_symmetric(&shape))] += 1;
                        }
                    }
                }
            }
        }
        assert!(found.iter().all(|count| *count > 30), "{found:?}");
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
