//! Right matrices in the order in which the products read them: groups of one to three vectors of columns, each row after row.

use super::super::gemm::panel_width;

/// Numbers of a vector on this machine.
pub(super) fn lanes() -> usize {
    panel_width() / 2
}

/// Vectors of the next group, if `vectors` are left. Groups of two, and one of three rather than a lone vector.
#[inline(always)]
pub(super) fn group(vectors: usize) -> usize {
    if vectors % 2 == 1 && vectors > 1 {
        3
    } else {
        vectors.min(2)
    }
}

/// Tokens of neighbouring numbers, `stride` apart.
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

    /// Tokens `first..`, at most `most` of them.
    #[inline(always)]
    pub(super) fn part(&self, first: usize, most: usize) -> Self {
        Self {
            data: &self.data[first * self.stride..],
            rows: most.min(self.rows - first),
            ..*self
        }
    }
}

/// `from` in panels, with zeros behind the last column.
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

/// The transpose of `from` in panels of two vectors. The last row stands for those that are missing in the last panel.
#[inline(always)]
pub(super) fn pack_transposed(from: Tokens, lanes: usize, panels: &mut [f32]) {
    let width = 2 * lanes;
    for (index, panel) in panels
        .chunks_exact_mut(from.cols * width)
        .enumerate()
        .take(from.rows.div_ceil(width))
    {
        // Eight rows at a time: each is read in runs, and the runs meet in one line of the cache.
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
