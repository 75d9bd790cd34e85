//! What an operation is told beside its buffers: sizes, places, points, steps.

/// A convolution's sizes. Padding below and to the right follows from the output's size.
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
    /// Step between two output pixels, in input pixels.
    pub stride: usize,
    /// Zero rows above and zero columns left of the input.
    pub pad: usize,
}

/// An attention's sizes. Queries and outputs are (batch, queries, heads * head size), keys and values (pictures, keys, heads * head size)
/// of as many pictures as are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Rows of the batch.
    pub batch: usize,
    /// Heads, side by side in the channels.
    pub heads: usize,
    /// Query tokens.
    pub queries: usize,
    /// Key tokens.
    pub keys: usize,
    /// Channels of one head; scores are scaled by its inverse square root.
    pub head_size: usize,
}

impl AttentionShape {
    /// Channels of all heads.
    pub fn channels(&self) -> usize {
        self.heads * self.head_size
    }
}

/// A group normalisation's sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupShape {
    /// Pictures in the batch.
    pub batch: usize,
    /// Pixels of one picture.
    pub pixels: usize,
    /// Channels of one pixel.
    pub channels: usize,
    /// Groups of neighbouring channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
}

/// A matrix inside a buffer: element (i, j) is at `offset + i * row_stride + j * col_stride`.
#[derive(Debug)]
pub struct Matrix<'a, T: ?Sized> {
    /// Where it lies.
    pub buffer: &'a T,
    /// Position of element (0, 0).
    pub offset: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Distance of neighbours in a column.
    pub row_stride: usize,
    /// Distance of neighbours in a row.
    pub col_stride: usize,
}

impl<T: ?Sized> Clone for Matrix<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Matrix<'_, T> {}

impl<'a, T: ?Sized> Matrix<'a, T> {
    /// A dense row-major matrix that starts at `offset`.
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

    /// The same numbers with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        // A single row has no next one; where its numbers are neighbours, it is told like any dense row.
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

/// One point between the pixels of a feature map: four pixels and their bilinear weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BilinearPoint {
    /// Row numbers of the four pixels.
    pub pixels: [u32; 4],
    /// Their weights; they add up to 1.
    pub weights: [f32; 4],
}

/// What one Adam step needs beside its buffers. Decay is decoupled (AdamW) and 0 for plain Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Number of this step, from 1.
    pub step: usize,
    /// Learning rate.
    pub lr: f64,
    /// Share of the learning rate by which parameters shrink.
    pub decay: f64,
}

/// What a convolution adds to its product before it stores it.
#[derive(Debug)]
pub struct Added<'a, T: ?Sized> {
    /// One number per channel.
    pub bias: Option<&'a T>,
    /// One number per picture and channel: (batch, channels).
    pub per_picture: Option<&'a T>,
    /// One number per number of the output.
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
