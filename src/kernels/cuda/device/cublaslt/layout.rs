//! Conversion of row-major matrix products to the column-major ones of cuBLASLt.
//!
//! cuBLASLt also supports row-major matrices, but not with fused biases, and with fewer algorithms.
//! A row-major matrix is, byte for byte, its transpose in column-major order, and cᵀ = bᵀ aᵀ. So b
//! becomes the left operand and a the right one, and the library's bias, which has one value per
//! row of cᵀ, has one value per column of c.

use crate::kernels::cuda::driver::{Address, Format, Gemm, MatrixView};

/// A column-major matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ColumnMajor {
    pub(super) format: Format,
    /// Rows as stored, before a transposition.
    pub(super) rows: usize,
    /// Columns as stored.
    pub(super) cols: usize,
    /// Elements from one column to the next.
    pub(super) leading: usize,
    /// Elements from one matrix of a batch to the next.
    pub(super) batch_stride: usize,
    /// Largest power of two up to 16 that divides the addresses of all matrices of the batch.
    pub(super) alignment: u32,
}

/// Precision of the factors of an f32 product. Sums are f32 in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Precision {
    /// TensorFloat-32: factors are rounded to 11 bits of precision for the tensor cores.
    Tf32,
    /// f32.
    F32,
}

/// d = alpha op(left) op(right) + beta c + bias with column-major matrices: everything that the
/// choice of an algorithm depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct GemmLayout {
    /// b of the row-major product.
    pub(super) left: ColumnMajor,
    pub(super) left_transposed: bool,
    /// a of the row-major product.
    pub(super) right: ColumnMajor,
    pub(super) right_transposed: bool,
    /// The matrix to add; d itself if there is none.
    pub(super) c: ColumnMajor,
    pub(super) d: ColumnMajor,
    pub(super) batch: usize,
    /// Alignment of the bias, which has one value per row of d.
    pub(super) bias: Option<u32>,
    pub(super) precision: Precision,
}

/// Converts a product. Fails if its operands are inconsistent.
pub(super) fn gemm_layout(gemm: &Gemm, precision: Precision) -> Result<GemmLayout, &'static str> {
    let gemm = merged(gemm);
    let Gemm {
        rows,
        cols,
        inner,
        batch,
        a,
        b,
        c,
        a_transposed,
        b_transposed,
        ..
    } = gemm;
    if b.format != a.format {
        return Err("the factors have different formats");
    }
    if c.format != a.format && c.format != Format::F32 {
        return Err("the result has neither the format of the factors nor f32");
    }
    if gemm.add.is_some_and(|(add, _)| add.format != c.format) {
        return Err("the added matrix does not have the format of the result");
    }
    let add = gemm.add.map_or(c, |(add, _)| add);
    Ok(GemmLayout {
        left: if b_transposed {
            column_major(b, cols, inner, batch)
        } else {
            column_major(b, inner, cols, batch)
        }?,
        left_transposed: b_transposed,
        right: if a_transposed {
            column_major(a, inner, rows, batch)
        } else {
            column_major(a, rows, inner, batch)
        }?,
        right_transposed: a_transposed,
        c: column_major(add, rows, cols, batch)?,
        d: column_major(c, rows, cols, batch)?,
        batch,
        bias: gemm.bias.map(alignment),
        precision,
    })
}

/// Merges a batch into one product where all matrices share b and their rows are equally spaced
/// across the batch.
fn merged(gemm: &Gemm) -> Gemm {
    let Gemm {
        rows,
        batch,
        a,
        b,
        c,
        ..
    } = *gemm;
    let follows = |stored: MatrixView| stored.batch_stride == rows * stored.stride;
    let add_follows = gemm.add.is_none_or(|(add, _)| follows(add));
    if batch > 1
        && b.batch_stride == 0
        && !gemm.a_transposed
        && follows(a)
        && follows(c)
        && add_follows
    {
        Gemm {
            rows: rows * batch,
            batch: 1,
            ..*gemm
        }
    } else {
        *gemm
    }
}

/// Views `rows` rows of `cols` elements as a column-major matrix, whose columns they are.
fn column_major(
    stored: MatrixView,
    rows: usize,
    cols: usize,
    batch: usize,
) -> Result<ColumnMajor, &'static str> {
    // A single row has no stride, but cuBLASLt requires a valid leading dimension.
    let leading = if rows <= 1 {
        stored.stride.max(cols)
    } else {
        stored.stride
    };
    if leading < cols {
        return Err("the rows of a matrix overlap");
    }
    Ok(ColumnMajor {
        format: stored.format,
        rows: cols,
        cols: rows,
        leading,
        batch_stride: stored.batch_stride,
        alignment: if batch > 1 {
            // That of every matrix of the batch.
            let spacing = stored.batch_stride * stored.format.bytes();
            alignment(Address(stored.address.0 | spacing as u64))
        } else {
            alignment(stored.address)
        },
    })
}

/// Returns the largest power of two up to 16 that divides an address.
fn alignment(address: Address) -> u32 {
    1 << address.0.trailing_zeros().min(4)
}

#[cfg(test)]
mod tests;
