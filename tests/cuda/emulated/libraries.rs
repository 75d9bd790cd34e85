//! Plain loops in place of cuBLASLt and cuDNN.

use dragnext::kernels::cuda::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Direction, Format, Gemm, MatrixView,
};
use half::{bf16, f16};

use super::{ConvolutionSupport, Emulated};

impl Emulated {
    fn read_value(format: Format, address: Address, index: usize) -> f32 {
        let at = address.0 as usize + index * format.bytes();
        // SAFETY: products and convolutions check their operands with `check`.
        unsafe {
            match format {
                Format::F32 => (at as *const f32).read(),
                Format::F16 => (at as *const f16).read().to_f32(),
                Format::Bf16 => (at as *const bf16).read().to_f32(),
            }
        }
    }

    fn write_value(format: Format, address: Address, index: usize, value: f32) {
        let at = address.0 as usize + index * format.bytes();
        // SAFETY: as above.
        unsafe {
            match format {
                Format::F32 => (at as *mut f32).write(value),
                Format::F16 => (at as *mut f16).write(f16::from_f32(value)),
                Format::Bf16 => (at as *mut bf16).write(bf16::from_f32(value)),
            }
        }
    }

    /// Reads a matrix of `rows` and `cols` row by row, as f32.
    fn matrix(
        &self,
        stored: MatrixView,
        batch: usize,
        [rows, cols]: [usize; 2],
        transposed: bool,
    ) -> Vec<f32> {
        let [stored_rows, stored_cols] = if transposed {
            [cols, rows]
        } else {
            [rows, cols]
        };
        assert!(stored.stride >= stored_cols, "rows do not overlap");
        let start = stored
            .address
            .plus(batch * stored.batch_stride * stored.format.bytes());
        self.check(
            start,
            ((stored_rows - 1) * stored.stride + stored_cols) * stored.format.bytes(),
        );
        let at = |row: usize, col: usize| {
            if transposed {
                col * stored.stride + row
            } else {
                row * stored.stride + col
            }
        };
        (0..rows * cols)
            .map(|index| Self::read_value(stored.format, start, at(index / cols, index % cols)))
            .collect()
    }

    fn values(&self, format: Format, address: Address, len: usize) -> Vec<f32> {
        self.check(address, len * format.bytes());
        (0..len)
            .map(|index| Self::read_value(format, address, index))
            .collect()
    }

    /// Computes a batch of matrix products.
    pub(super) fn multiply(&self, gemm: &Gemm) {
        let Gemm {
            rows,
            cols,
            inner,
            batch,
            alpha,
            a,
            a_transposed,
            b,
            b_transposed,
            c,
            add,
            bias,
        } = *gemm;
        assert_eq!(a.format, b.format, "both factors have the same format");
        assert!(
            [a.format, Format::F32].contains(&c.format),
            "the result has the format of the factors or f32"
        );
        assert!(bias.is_none() || batch == 1, "a bias requires a batch of 1");
        let bias = bias.map(|bias| self.values(c.format, bias, cols));
        for index in 0..batch {
            let left = self.matrix(a, index, [rows, inner], a_transposed);
            let right = self.matrix(b, index, [inner, cols], b_transposed);
            let old = add.map(|(old, beta)| {
                assert_eq!(old.format, c.format, "c0 has the format of c");
                (self.matrix(old, index, [rows, cols], false), beta)
            });
            let to = c.address.plus(index * c.batch_stride * c.format.bytes());
            self.check(to, ((rows - 1) * c.stride + cols) * c.format.bytes());
            for (at, sum) in matmul(&left, &right, [rows, inner, cols])
                .into_iter()
                .enumerate()
            {
                let old = old.as_ref().map_or(0.0, |(old, beta)| beta * old[at]);
                let bias = bias.as_ref().map_or(0.0, |bias| bias[at % cols]);
                Self::write_value(
                    c.format,
                    to,
                    at / cols * c.stride + at % cols,
                    alpha * sum + old + bias,
                );
            }
        }
    }

    /// Computes a convolution; bias and residual only if they are supported.
    pub(super) fn convolve(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> ConvolutionOutcome {
        let Convolution {
            direction,
            format,
            batch,
            input,
            output,
            kernel,
            ..
        } = *shape;
        let lengths =
            [input, output].map(|[height, width, channels]| batch * height * width * channels);
        let weight = self.values(format, data.weight, output[2] * kernel * kernel * input[2]);
        let (from, to) = if direction == Direction::Forward {
            (lengths[0], lengths[1])
        } else {
            (lengths[1], lengths[0])
        };
        let from = self.values(format, data.from, from);
        let mut sums = vec![0.0f32; to];
        for_each_tap(shape, |x, y, w| {
            // x and y are pixel indices; w is the index of the kernel element.
            for out in 0..output[2] {
                let weights =
                    &weight[out * kernel * kernel * input[2] + w * input[2]..][..input[2]];
                let at = y * output[2] + out;
                if direction == Direction::Forward {
                    let x = &from[x * input[2]..][..input[2]];
                    sums[at] += x.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>();
                } else {
                    let dx = &mut sums[x * input[2]..][..input[2]];
                    dx.iter_mut()
                        .zip(weights)
                        .for_each(|(dx, w)| *dx += from[at] * w);
                }
            }
        });
        self.check(data.to, to * format.bytes());
        let full = self.convolutions == ConvolutionSupport::Full;
        let bias = data
            .bias
            .filter(|_| full)
            .map(|bias| self.values(format, bias, output[2]));
        let residual = data
            .residual
            .filter(|_| full)
            .map(|residual| self.values(format, residual, to));
        for (index, sum) in sums.into_iter().enumerate() {
            let added = bias.as_ref().map_or(0.0, |bias| bias[index % output[2]])
                + residual.as_ref().map_or(0.0, |residual| residual[index]);
            Self::write_value(format, data.to, index, sum + added);
        }
        if full {
            ConvolutionOutcome::Full
        } else {
            ConvolutionOutcome::Partial
        }
    }
}

/// Multiplies a (rows, inner) by b (inner, cols).
fn matmul(a: &[f32], b: &[f32], [rows, inner, cols]: [usize; 3]) -> Vec<f32> {
    let mut c = vec![0.0; rows * cols];
    for (a, c) in a.chunks_exact(inner).zip(c.chunks_exact_mut(cols)) {
        for (a, b) in a.iter().zip(b.chunks_exact(cols)) {
            c.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
        }
    }
    c
}

/// Calls `tap` for every pair of an input and an output pixel that a kernel element connects.
fn for_each_tap(shape: &Convolution, mut tap: impl FnMut(usize, usize, usize)) {
    let ([height, width, _], [out_height, out_width, _]) = (shape.input, shape.output);
    for picture in 0..shape.batch {
        for (row, column) in
            (0..out_height).flat_map(|row| (0..out_width).map(move |column| (row, column)))
        {
            for (down, right) in
                (0..shape.kernel).flat_map(|down| (0..shape.kernel).map(move |right| (down, right)))
            {
                let (y, x) = (row * shape.stride + down, column * shape.stride + right);
                if y < shape.pad
                    || x < shape.pad
                    || y - shape.pad >= height
                    || x - shape.pad >= width
                {
                    continue;
                }
                let from = (picture * height + y - shape.pad) * width + x - shape.pad;
                tap(
                    from,
                    (picture * out_height + row) * out_width + column,
                    down * shape.kernel + right,
                );
            }
        }
    }
}
