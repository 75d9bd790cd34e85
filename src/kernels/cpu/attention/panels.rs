//! Panels of the right matrices of attention's products: groups of one to three vectors of columns, each group row-major.

use super::super::gemm::panel_width;

/// Returns the lanes of a vector on this machine.
pub(super) fn lanes() -> usize {
    panel_width() / 2
}

/// Returns the vectors of the next group if `vectors` are left: two, or three where two would leave a single one.
#[inline(always)]
pub(super) fn group(vectors: usize) -> usize {
    if vectors % 2 == 1 && vectors > 1 {
        3
    } else {
        vectors.min(2)
    }
}

/// Tokens (rows, cols): the values of a token are neighbours, and tokens are `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) stride: usize,
}

impl<'a> Tokens<'a> {
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..self.cols]
    }

    /// Returns at most `most` tokens from `first` on.
    #[inline(always)]
    pub(super) fn part(&self, first: usize, most: usize) -> Self {
        Self {
            data: &self.data[first * self.stride..],
            rows: most.min(self.rows - first),
            ..*self
        }
    }
}

/// Copies `from` into panels; the last one is padded with zeros.
#[inline(always)]
pub(super) fn pack(from: Tokens, lanes: usize, panels: &mut [f32]) {
    let vectors = from.cols.div_ceil(lanes);
    let mut vector = 0;
    while vector < vectors {
        let (first, width) = (vector * lanes, group(vectors - vector) * lanes);
        let cols = width.min(from.cols - first);
        let panel = &mut panels[first * from.rows..][..width * from.rows];
        for (row, to) in panel.chunks_exact_mut(width).enumerate() {
            let row = &from.row(row)[first..first + cols];
            if cols == width {
                to.copy_from_slice(row);
            } else {
                to[..cols].copy_from_slice(row);
                to[cols..].fill(0.0);
            }
        }
        vector += width / lanes;
    }
}

/// Copies the transpose of `from` into panels of two vectors; the last one is padded with copies of the last row.
#[inline(always)]
pub(super) fn pack_transposed(from: Tokens, lanes: usize, panels: &mut [f32]) {
    let width = 2 * lanes;
    for (index, panel) in panels
        .chunks_exact_mut(from.cols * width)
        .enumerate()
        .take(from.rows.div_ceil(width))
    {
        // Eight rows at a time: each is read in sequence, and the writes of eight rows share a cache line.
        for part in (0..width).step_by(8) {
            let rows: [&[f32]; 8] =
                std::array::from_fn(|r| from.row((index * width + part + r).min(from.rows - 1)));
            let count = 8.min(width - part);
            for (col, to) in panel.chunks_exact_mut(width).enumerate() {
                for (to, row) in to[part..part + count].iter_mut().zip(rows) {
                    *to = row[col];
                }
            }
        }
    }
}
