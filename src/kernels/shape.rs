//! The parameters of operations other than buffers: shapes, strides, sampling points and optimiser steps.

/// Shape of a convolution. The padding below and to the right follows from the size of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Pictures in the batch.
    pub batch: usize,
    /// Input height, width and channels.
    pub input: [usize; 3],
    /// Output height, width and channels.
    pub output: [usize; 3],
    /// Kernel height and width.
    pub kernel: usize,
    /// Distance between neighbouring output pixels, in input pixels.
    pub stride: usize,
    /// Zero rows above and zero columns left of the input.
    pub pad: usize,
}

/// Shape of an attention. Queries and outputs are (batch, queries, heads * head size); keys and values are (pictures, keys, heads *
/// head size), where the number of pictures may differ from the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Pictures in the batch.
    pub batch: usize,
    /// Heads, each a run of neighbouring channels.
    pub heads: usize,
    /// Queries per picture.
    pub queries: usize,
    /// Keys per picture.
    pub keys: usize,
    /// Channels of one head; scores are divided by its square root.
    pub head_size: usize,
}

impl AttentionShape {
    /// Returns the channels of all heads together.
    pub fn channels(&self) -> usize {
        self.heads * self.head_size
    }
}

/// Shape of a group normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupShape {
    /// Pictures in the batch.
    pub batch: usize,
    /// Pixels per picture.
    pub pixels: usize,
    /// Channels per pixel.
    pub channels: usize,
    /// Groups, each a run of neighbouring channels.
    pub groups: usize,
    /// Added to the variance before the square root.
    pub eps: f32,
}

/// A view of a matrix in a buffer: element (i, j) is at index `offset + i * row_stride + j * col_stride`.
#[derive(Debug)]
pub struct Matrix<'a, T: ?Sized> {
    /// The buffer that holds the elements.
    pub buffer: &'a T,
    /// Index of element (0, 0).
    pub offset: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Distance between element (i, j) and (i + 1, j).
    pub row_stride: usize,
    /// Distance between element (i, j) and (i, j + 1).
    pub col_stride: usize,
}

impl<T: ?Sized> Clone for Matrix<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Matrix<'_, T> {}

impl<'a, T: ?Sized> Matrix<'a, T> {
    /// Returns a view of a dense row-major matrix that starts at index `offset`.
    pub fn dense(buffer: &'a T, offset: usize, rows: usize, cols: usize) -> Self {
        Self {
            buffer,
            offset,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
        }
    }

    /// Returns a view of the transpose.
    #[must_use]
    pub fn transposed(self) -> Self {
        // The row stride of a single row is never used. Where its elements are neighbours, report the stride of a dense row, which
        // backends check for.
        let row_stride = if self.cols == 1 && self.row_stride == 1 {
            self.rows
        } else {
            self.col_stride
        };
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// The factors a and b of a matrix product.
pub type Factors<'a, T> = (Matrix<'a, T>, Matrix<'a, T>);

/// A sampling point of a feature map, given by its four nearest pixels and their bilinear weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BilinearPoint {
    /// Indices of the four pixels in the flattened map: y * width + x. At the border, some may be equal.
    pub pixels: [u32; 4],
    /// Weights of the four pixels; they sum to 1.
    pub weights: [f32; 4],
}

/// The scalars of one Adam step. Weight decay is decoupled (AdamW); 0 is plain Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Number of the step, counted from 1.
    pub step: usize,
    /// Learning rate.
    pub lr: f64,
    /// Weight decay: every step scales the parameters by 1 - lr * decay.
    pub decay: f64,
}

/// The terms that a convolution adds to its result before it is stored.
#[derive(Debug)]
pub struct Added<'a, T: ?Sized> {
    /// Bias: (channels).
    pub bias: Option<&'a T>,
    /// A bias per picture: (batch, channels).
    pub per_picture: Option<&'a T>,
    /// A residual in the shape of the output.
    pub residual: Option<&'a T>,
}

impl<T: ?Sized> Clone for Added<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Added<'_, T> {}

impl<T: ?Sized> Default for Added<'_, T> {
    fn default() -> Self {
        Self {
            bias: None,
            per_picture: None,
            residual: None,
        }
    }
}
