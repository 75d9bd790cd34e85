//! Matrix products on one thread with an epilogue that takes the sums from the registers.

use pulp::Simd;

use super::panels::{self, Tokens};

/// A left matrix (rows, depth) whose rows, or if transposed whose columns, are runs of neighbouring values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    /// Distance between rows, or between columns if transposed.
    pub(super) stride: usize,
}

impl<'a> Tokens<'a> {
    #[inline(always)]
    pub(super) fn left(self) -> Left<'a> {
        Left {
            data: self.data,
            rows: self.rows,
            stride: self.stride,
        }
    }
}

/// A right matrix (depth, vectors * lanes) in [`panels`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) data: &'a [f32],
    pub(super) depth: usize,
    pub(super) vectors: usize,
}

/// The epilogue of a product.
pub(super) trait Finish<S: Simd> {
    /// Returns whether the destination holds a product of so many rows and vectors.
    fn fits(&self, rows: usize, vectors: usize) -> bool;

    /// Takes the sums of `V` vectors of row `row`, from vector `vector` on.
    ///
    /// # Safety
    /// They are inside a product that [`Finish::fits`].
    unsafe fn finish<const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        vector: usize,
        sums: [S::f32s; V],
    );
}

/// Passes the sums of left * right to `finish`.
#[inline(always)]
pub(super) fn multiply<S: Simd, F: Finish<S>, const TRANSPOSED: bool>(
    simd: S,
    left: Left,
    right: Right,
    finish: &mut F,
) {
    let Right {
        data,
        depth,
        vectors,
    } = right;
    if left.rows == 0 || depth == 0 || vectors == 0 {
        return;
    }
    let (long, short) = if TRANSPOSED {
        (depth, left.rows)
    } else {
        (left.rows, depth)
    };
    assert!(
        left.stride >= short && (long - 1) * left.stride + short <= left.data.len(),
        "the left matrix lies inside its buffer"
    );
    assert!(
        data.len() >= depth * vectors * S::F32_LANES,
        "the panels are complete"
    );
    assert!(
        finish.fits(left.rows, vectors),
        "the product fits its destination"
    );
    let mut vector = 0;
    while vector < vectors {
        let count = panels::group(vectors - vector);
        let panel = data[vector * depth * S::F32_LANES..].as_ptr();
        // SAFETY: the vectors lie inside the matrices, as asserted above.
        unsafe {
            match count {
                3 => panel_product::<S, F, TRANSPOSED, 3>(simd, left, panel, depth, vector, finish),
                2 => panel_product::<S, F, TRANSPOSED, 2>(simd, left, panel, depth, vector, finish),
                _ => panel_product::<S, F, TRANSPOSED, 1>(simd, left, panel, depth, vector, finish),
            }
        }
        vector += count;
    }
}

/// Multiplies all rows by one panel.
///
/// # Safety
/// `panel` is the panel of `V` vectors from vector `vector` on, and the rows exist.
#[inline(always)]
unsafe fn panel_product<S: Simd, F: Finish<S>, const TRANSPOSED: bool, const V: usize>(
    simd: S,
    left: Left,
    panel: *const f32,
    depth: usize,
    vector: usize,
    finish: &mut F,
) {
    // 6 x 2 or 3 x 3 sums, with their operands, fit the registers of AVX2.
    let tall = if V == 3 { 3 } else { 6 };
    let (mut row, bottom) = (0, left.rows);
    // SAFETY: the caller guarantees it.
    unsafe {
        while row + tall <= bottom {
            if V == 3 {
                tile::<S, F, TRANSPOSED, 3, V>(simd, left, row, panel, depth, vector, finish);
            } else {
                tile::<S, F, TRANSPOSED, 6, V>(simd, left, row, panel, depth, vector, finish);
            }
            row += tall;
        }
        if V < 3 && row + 4 <= bottom {
            tile::<S, F, TRANSPOSED, 4, V>(simd, left, row, panel, depth, vector, finish);
            row += 4;
        }
        if row + 2 <= bottom {
            tile::<S, F, TRANSPOSED, 2, V>(simd, left, row, panel, depth, vector, finish);
            row += 2;
        }
        if row < bottom {
            tile::<S, F, TRANSPOSED, 1, V>(simd, left, row, panel, depth, vector, finish);
        }
    }
}

/// Multiplies rows `row..row + R` by one panel.
///
/// # Safety
/// As for [`panel_product`], and rows `row..row + R` exist.
#[inline(always)]
unsafe fn tile<S: Simd, F: Finish<S>, const TRANSPOSED: bool, const R: usize, const V: usize>(
    simd: S,
    left: Left,
    row: usize,
    panel: *const f32,
    depth: usize,
    vector: usize,
    finish: &mut F,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    // SAFETY: the rows and the panel have `depth` values per column.
    unsafe {
        let mut a = [left.data.as_ptr(); R];
        for (r, a) in a.iter_mut().enumerate() {
            *a = a.add(if TRANSPOSED {
                row
            } else {
                (row + r) * left.stride
            });
        }
        for k in 0..depth {
            let mut b = [simd.splat_f32s(0.0); V];
            for (v, b) in b.iter_mut().enumerate() {
                *b = panel
                    .add((k * V + v) * S::F32_LANES)
                    .cast::<S::f32s>()
                    .read_unaligned();
            }
            for r in 0..R {
                let a =
                    simd.splat_f32s(*a[r].add(if TRANSPOSED { k * left.stride + r } else { k }));
                for v in 0..V {
                    sums[r][v] = simd.mul_add_f32s(a, b[v], sums[r][v]);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            finish.finish(simd, row + r, vector, sums);
        }
    }
}

/// Stores the sums in a matrix of whole vectors, or adds them to it.
pub(super) struct Store<'a> {
    pub(super) to: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) add: bool,
}

impl<S: Simd> Finish<S> for Store<'_> {
    #[inline(always)]
    fn fits(&self, rows: usize, vectors: usize) -> bool {
        self.stride >= vectors * S::F32_LANES && rows * self.stride <= self.to.len()
    }

    #[inline(always)]
    unsafe fn finish<const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        vector: usize,
        sums: [S::f32s; V],
    ) {
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller guarantees it.
            unsafe {
                let to = self
                    .to
                    .as_mut_ptr()
                    .add(row * self.stride + (vector + v) * S::F32_LANES)
                    .cast::<S::f32s>();
                to.write_unaligned(if self.add {
                    simd.add_f32s(to.read_unaligned(), sum)
                } else {
                    sum
                });
            }
        }
    }
}
