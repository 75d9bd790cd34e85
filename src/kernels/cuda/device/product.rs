//! A product of row-major matrices as cuBLASLt wants it.
//!
//! cuBLASLt's matrices are column-major. It can be told that they are not, but fused biases and many of its algorithms are for
//! column-major ones only. So it is asked for the transposed product: a row-major matrix is, byte for byte, the column-major matrix that
//! is its transpose, and cᵀ = bᵀ aᵀ. Thus our b is its left operand and our a its right one, its rows are our columns, and its bias, which
//! has a number per row, is ours, which has a number per column.

use crate::kernels::cuda::driver::{Address, Format, Product, Stored};

/// A matrix in column-major order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Matrix {
    pub(super) format: Format,
    /// As stored, not as multiplied.
    pub(super) rows: usize,
    /// As stored.
    pub(super) cols: usize,
    /// Numbers from one column to the next.
    pub(super) leading: usize,
    /// Numbers from one matrix of a batch to the next.
    pub(super) batch_stride: usize,
    /// The largest power of two up to 16 that divides its address.
    pub(super) alignment: u32,
}

/// Whether the factors of f32 products may lose bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Precision {
    /// Factors of f32 are rounded to 11 bits of precision, which tensor cores need. Nothing else is: sums are of f32 in any case.
    Fast,
    /// All bits count.
    Full,
}

/// d = alpha op(left) op(right) + beta c + bias, where all is column-major. Everything that the choice of an algorithm depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Layout {
    /// Our b.
    pub(super) left: Matrix,
    pub(super) left_transposed: bool,
    /// Our a.
    pub(super) right: Matrix,
    pub(super) right_transposed: bool,
    /// What is added; d itself where nothing is.
    pub(super) c: Matrix,
    pub(super) d: Matrix,
    pub(super) batch: usize,
    /// The alignment of a bias with a number for each row of d.
    pub(super) bias: Option<u32>,
    pub(super) precision: Precision,
}

/// How cuBLASLt sees `product`; why not, where its numbers contradict each other.
pub(super) fn lt_layout(product: &Product, precision: Precision) -> Result<Layout, &'static str> {
    let product = folded(product);
    let Product {
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
    } = product;
    if b.format != a.format {
        return Err("the factors are of two formats");
    }
    if c.format != a.format && c.format != Format::F32 {
        return Err("the result is neither of the factors' format nor of f32");
    }
    if product.add.is_some_and(|(add, _)| add.format != c.format) {
        return Err("what is added is not of the result's format");
    }
    let add = product.add.map_or(c, |(add, _)| add);
    Ok(Layout {
        left: if b_transposed {
            matrix(b, cols, inner)
        } else {
            matrix(b, inner, cols)
        }?,
        left_transposed: b_transposed,
        right: if a_transposed {
            matrix(a, inner, rows)
        } else {
            matrix(a, rows, inner)
        }?,
        right_transposed: a_transposed,
        c: matrix(add, rows, cols)?,
        d: matrix(c, rows, cols)?,
        batch,
        bias: product.bias.map(alignment),
        precision,
    })
}

/// The same product, where possible as one matrix instead of a batch: rows of matrices that follow each other and meet the same b.
fn folded(product: &Product) -> Product {
    let Product {
        rows,
        batch,
        a,
        b,
        c,
        ..
    } = *product;
    let follows = |stored: Stored| stored.batch_stride == rows * stored.stride;
    let add_follows = product.add.is_none_or(|(add, _)| follows(add));
    if batch > 1
        && b.batch_stride == 0
        && !product.a_transposed
        && follows(a)
        && follows(c)
        && add_follows
    {
        Product {
            rows: rows * batch,
            batch: 1,
            ..*product
        }
    } else {
        *product
    }
}

/// A stored matrix of `rows` rows of `cols` numbers, seen column by column: its rows are the columns.
fn matrix(stored: Stored, rows: usize, cols: usize) -> Result<Matrix, &'static str> {
    // A single row has no next one; what its stride says does not matter, but cuBLASLt wants it to be right.
    let leading = if rows <= 1 {
        stored.stride.max(cols)
    } else {
        stored.stride
    };
    if leading < cols {
        return Err("rows of a matrix overlap");
    }
    Ok(Matrix {
        format: stored.format,
        rows: cols,
        cols: rows,
        leading,
        batch_stride: stored.batch_stride,
        alignment: alignment(stored.address),
    })
}

/// The largest power of two up to 16 that divides an address.
fn alignment(address: Address) -> u32 {
    1 << address.0.trailing_zeros().min(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(address: u64, stride: usize, batch_stride: usize) -> Stored {
        Stored {
            address: Address(address),
            format: Format::F32,
            stride,
            batch_stride,
        }
    }

    /// Numbers that tell places apart.
    fn numbers(count: usize, seed: u64) -> Vec<f64> {
        (0..count as u64)
            .map(|i| (((i + 1) * (2 * seed + 3) * 7919) % 1009) as f64 / 64.0 - 7.0)
            .collect()
    }

    /// What a [`Product`] says, from its own documentation: row-major, batch by batch.
    fn meant(product: &Product, a: &[f64], b: &[f64], c0: &[f64], bias: &[f64], c: &mut [f64]) {
        let before = c.to_vec();
        for m in 0..product.batch {
            for i in 0..product.rows {
                for j in 0..product.cols {
                    let at = |x: &[f64], s: Stored, row: usize, col: usize| {
                        x[m * s.batch_stride + row * s.stride + col]
                    };
                    let mut sum = 0.0;
                    for k in 0..product.inner {
                        let left = if product.a_transposed {
                            at(a, product.a, k, i)
                        } else {
                            at(a, product.a, i, k)
                        };
                        let right = if product.b_transposed {
                            at(b, product.b, j, k)
                        } else {
                            at(b, product.b, k, j)
                        };
                        sum += left * right;
                    }
                    let mut value = f64::from(product.alpha) * sum;
                    if let Some((add, beta)) = product.add {
                        let from = if add.address == product.c.address {
                            &before
                        } else {
                            c0
                        };
                        value += f64::from(beta) * at(from, add, i, j);
                    }
                    value += product.bias.map_or(0.0, |_| bias[j]);
                    c[m * product.c.batch_stride + i * product.c.stride + j] = value;
                }
            }
        }
    }

    /// What cuBLASLt does, from its documentation (cublasLtMatmul, column-major order): D = alpha op(A) op(B) + beta C, then the bias
    /// epilogue, which adds number i to row i.
    fn done(
        layout: &Layout,
        alpha: f64,
        beta: f64,
        left: &[f64],
        right: &[f64],
        c: &[f64],
        bias: &[f64],
        d: &mut [f64],
    ) {
        let at = |x: &[f64], m: &Matrix, n: usize, row: usize, col: usize| {
            assert!(row < m.rows && col < m.cols && m.leading >= m.rows);
            x[n * m.batch_stride + col * m.leading + row]
        };
        let (rows, cols) = (layout.d.rows, layout.d.cols);
        let op = |m: &Matrix, transposed: bool| {
            if transposed {
                (m.cols, m.rows)
            } else {
                (m.rows, m.cols)
            }
        };
        let (left_size, right_size) = (
            op(&layout.left, layout.left_transposed),
            op(&layout.right, layout.right_transposed),
        );
        assert_eq!(
            (left_size.0, right_size.1, left_size.1),
            (rows, cols, right_size.0),
            "op(A) op(B) is of D's size"
        );
        assert_eq!((layout.c.rows, layout.c.cols), (rows, cols));
        let before = c.to_vec();
        for n in 0..layout.batch {
            for i in 0..rows {
                for j in 0..cols {
                    let mut sum = 0.0;
                    for k in 0..right_size.0 {
                        let l = if layout.left_transposed {
                            at(left, &layout.left, n, k, i)
                        } else {
                            at(left, &layout.left, n, i, k)
                        };
                        let r = if layout.right_transposed {
                            at(right, &layout.right, n, j, k)
                        } else {
                            at(right, &layout.right, n, k, j)
                        };
                        sum += l * r;
                    }
                    let mut value = alpha * sum;
                    if beta != 0.0 {
                        value += beta * at(&before, &layout.c, n, i, j);
                    }
                    value += layout.bias.map_or(0.0, |_| bias[i]);
                    d[n * layout.d.batch_stride + j * layout.d.leading + i] = value;
                }
            }
        }
    }

    /// Does it both ways.
    fn check(product: &Product) -> Layout {
        let size = |s: Stored, rows: usize, cols: usize| {
            s.batch_stride * (product.batch - 1) + s.stride * (rows.max(1) - 1) + cols
        };
        let (rows, cols, inner) = (product.rows, product.cols, product.inner);
        let a = numbers(
            if product.a_transposed {
                size(product.a, inner, rows)
            } else {
                size(product.a, rows, inner)
            },
            1,
        );
        let b = numbers(
            if product.b_transposed {
                size(product.b, cols, inner)
            } else {
                size(product.b, inner, cols)
            },
            2,
        );
        let c = numbers(size(product.c, rows, cols), 3);
        let bias = numbers(cols, 4);
        let c0 = product
            .add
            .map_or_else(Vec::new, |(add, _)| numbers(size(add, rows, cols), 5));
        let mut expected = c.clone();
        meant(product, &a, &b, &c0, &bias, &mut expected);
        let layout = lt_layout(product, Precision::Fast).expect("it can be done");
        let (source, beta) = match product.add {
            Some((add, beta)) if add.address != product.c.address => (c0, beta),
            Some((_, beta)) => (c.clone(), beta),
            None => (c.clone(), 0.0),
        };
        let mut result = c;
        done(
            &layout,
            f64::from(product.alpha),
            f64::from(beta),
            &b,
            &a,
            &source,
            &bias,
            &mut result,
        );
        assert_eq!(result, expected, "{product:?}");
        layout
    }

    #[test]
    fn the_transposed_product_is_the_product() {
        let mut cases = 0;
        for (rows, cols, inner) in [
            (3, 5, 4),
            (1, 7, 3),
            (4, 1, 6),
            (5, 3, 1),
            (1, 1, 1),
            (6, 6, 6),
        ] {
            for flags in 0..64 {
                let bit = |n: u32| flags >> n & 1 == 1;
                let (a_transposed, b_transposed, wide) = (bit(0), bit(1), usize::from(bit(2)) * 3);
                let batch = if bit(3) { 3 } else { 1 };
                let (a_rows, a_cols) = if a_transposed {
                    (inner, rows)
                } else {
                    (rows, inner)
                };
                let (b_rows, b_cols) = if b_transposed {
                    (cols, inner)
                } else {
                    (inner, cols)
                };
                let place = |address, rows: usize, cols: usize, gap: usize| {
                    stored(address, cols + wide, rows * (cols + wide) + gap)
                };
                let c = place(0x3000, rows, cols, 1);
                let base = Product {
                    rows,
                    cols,
                    inner,
                    batch,
                    alpha: 0.5,
                    a: place(0x1000, a_rows, a_cols, 2),
                    a_transposed,
                    b: if bit(4) {
                        stored(0x2000, b_cols + wide, 0)
                    } else {
                        place(0x2000, b_rows, b_cols, 5)
                    },
                    b_transposed,
                    c,
                    add: None,
                    bias: bit(5).then_some(Address(0x5000)),
                };
                check(&base);
                check(&Product {
                    add: Some((c, 2.0)),
                    ..base
                });
                check(&Product {
                    add: Some((stored(0x4000, cols + 1, rows * (cols + 1)), -1.0)),
                    ..base
                });
                check(&Product {
                    add: Some((stored(0x4000, cols, 0), 1.0)),
                    ..base
                });
                cases += 4;
            }
        }
        assert_eq!(cases, 6 * 64 * 4);
    }

    #[test]
    fn a_batch_that_shares_its_second_factor_is_one_matrix() {
        let product = Product {
            rows: 4,
            cols: 6,
            inner: 5,
            batch: 3,
            alpha: 1.0,
            a: stored(0x1000, 5, 20),
            a_transposed: false,
            b: stored(0x2000, 6, 0),
            b_transposed: false,
            c: stored(0x3000, 6, 24),
            add: Some((stored(0x4000, 7, 28), 1.0)),
            bias: Some(Address(0x5002)),
        };
        let layout = check(&product);
        assert_eq!((layout.batch, layout.d.cols, layout.d.rows), (1, 12, 6));
        assert_eq!(layout.bias, Some(2));
        // Not where what is added is the same for all, where a is transposed, or where b differs.
        assert_eq!(
            check(&Product {
                add: Some((stored(0x4000, 6, 0), 1.0)),
                ..product
            })
            .batch,
            3
        );
        assert_eq!(
            check(&Product {
                b: stored(0x2000, 6, 30),
                ..product
            })
            .batch,
            3
        );
        let transposed = Product {
            a: stored(0x1000, 4, 16),
            inner: 4,
            a_transposed: true,
            ..product
        };
        assert_eq!(check(&transposed).batch, 3);
    }

    #[test]
    fn keys_differ_where_algorithms_may() {
        let product = Product {
            rows: 1,
            cols: 8,
            inner: 8,
            batch: 1,
            alpha: 1.0,
            a: stored(0x1010, 3, 0),
            a_transposed: false,
            b: stored(0x2000, 8, 0),
            b_transposed: true,
            c: stored(0x3000, 8, 0),
            add: None,
            bias: None,
        };
        let layout = lt_layout(&product, Precision::Fast).expect("it can be done");
        // One row: its stride is of no account.
        assert_eq!((layout.right.leading, layout.right.alignment), (8, 16));
        let elsewhere = Product {
            a: stored(0x7770, 3, 0),
            c: stored(0x9900, 8, 0),
            alpha: 3.0,
            ..product
        };
        assert_eq!(
            lt_layout(&elsewhere, Precision::Fast),
            Ok(layout),
            "the same for all addresses of one alignment and all factors"
        );
        let odd = Product {
            a: stored(0x1014, 3, 0),
            ..product
        };
        assert_eq!(
            lt_layout(&odd, Precision::Fast)
                .expect("it can be done")
                .right
                .alignment,
            4
        );
        assert_ne!(lt_layout(&odd, Precision::Fast), Ok(layout));
        assert_ne!(lt_layout(&product, Precision::Full), Ok(layout));
        assert_ne!(
            lt_layout(
                &Product {
                    bias: Some(Address(64)),
                    ..product
                },
                Precision::Fast
            ),
            Ok(layout)
        );
    }

    #[test]
    fn contradictions_are_refused() {
        let product = Product {
            rows: 4,
            cols: 4,
            inner: 4,
            batch: 1,
            alpha: 1.0,
            a: stored(0, 4, 0),
            a_transposed: false,
            b: stored(0, 4, 0),
            b_transposed: false,
            c: stored(0, 4, 0),
            add: None,
            bias: None,
        };
        assert!(lt_layout(&product, Precision::Fast).is_ok());
        let of = |format| Stored {
            format,
            ..product.a
        };
        assert!(
            lt_layout(
                &Product {
                    b: of(Format::F16),
                    ..product
                },
                Precision::Fast
            )
            .is_err()
        );
        assert!(
            lt_layout(
                &Product {
                    c: of(Format::F16),
                    ..product
                },
                Precision::Fast
            )
            .is_err()
        );
        assert!(
            lt_layout(
                &Product {
                    add: Some((of(Format::Bf16), 1.0)),
                    ..product
                },
                Precision::Fast
            )
            .is_err()
        );
        assert!(
            lt_layout(
                &Product {
                    c: stored(0, 3, 0),
                    ..product
                },
                Precision::Fast
            )
            .is_err()
        );
        let half = Product {
            a: of(Format::F16),
            b: of(Format::F16),
            ..product
        };
        assert!(
            lt_layout(&half, Precision::Fast).is_ok(),
            "sums of f32 may be kept"
        );
    }
}
