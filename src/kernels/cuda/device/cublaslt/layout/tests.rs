//! Row-major products against column-major ones, both computed by plain loops.

use super::*;

fn stored(address: u64, stride: usize, batch_stride: usize) -> MatrixView {
    MatrixView {
        address: Address(address),
        format: Format::F32,
        stride,
        batch_stride,
    }
}

/// Values that differ from element to element.
fn values(count: usize, seed: u64) -> Vec<f64> {
    (0..count as u64)
        .map(|i| (((i + 1) * (2 * seed + 3) * 7919) % 1009) as f64 / 64.0 - 7.0)
        .collect()
}

/// The product as the documentation of [`Gemm`] defines it.
fn row_major_product(gemm: &Gemm, a: &[f64], b: &[f64], c0: &[f64], bias: &[f64], c: &mut [f64]) {
    let before = c.to_vec();
    for m in 0..gemm.batch {
        for i in 0..gemm.rows {
            for j in 0..gemm.cols {
                let at = |x: &[f64], s: MatrixView, row: usize, col: usize| {
                    x[m * s.batch_stride + row * s.stride + col]
                };
                let mut sum = 0.0;
                for k in 0..gemm.inner {
                    let left = if gemm.a_transposed {
                        at(a, gemm.a, k, i)
                    } else {
                        at(a, gemm.a, i, k)
                    };
                    let right = if gemm.b_transposed {
                        at(b, gemm.b, j, k)
                    } else {
                        at(b, gemm.b, k, j)
                    };
                    sum += left * right;
                }
                let mut value = f64::from(gemm.alpha) * sum;
                if let Some((add, beta)) = gemm.add {
                    let from = if add.address == gemm.c.address {
                        &before
                    } else {
                        c0
                    };
                    value += f64::from(beta) * at(from, add, i, j);
                }
                value += gemm.bias.map_or(0.0, |_| bias[j]);
                c[m * gemm.c.batch_stride + i * gemm.c.stride + j] = value;
            }
        }
    }
}

/// The product as the documentation of cublasLtMatmul defines it: D = alpha op(A) op(B) + beta
/// C, then the bias epilogue, which adds value i to row i.
fn column_major_product(
    layout: &GemmLayout,
    alpha: f64,
    beta: f64,
    left: &[f64],
    right: &[f64],
    c: &[f64],
    bias: &[f64],
    d: &mut [f64],
) {
    let at = |x: &[f64], m: &ColumnMajor, n: usize, row: usize, col: usize| {
        assert!(row < m.rows && col < m.cols && m.leading >= m.rows);
        x[n * m.batch_stride + col * m.leading + row]
    };
    let (rows, cols) = (layout.d.rows, layout.d.cols);
    let op = |m: &ColumnMajor, transposed: bool| {
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
        "op(A) op(B) has the size of D"
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

/// Computes a product both ways and compares.
fn check(gemm: &Gemm) -> GemmLayout {
    let size = |s: MatrixView, rows: usize, cols: usize| {
        s.batch_stride * (gemm.batch - 1) + s.stride * (rows.max(1) - 1) + cols
    };
    let (rows, cols, inner) = (gemm.rows, gemm.cols, gemm.inner);
    let a = values(
        if gemm.a_transposed {
            size(gemm.a, inner, rows)
        } else {
            size(gemm.a, rows, inner)
        },
        1,
    );
    let b = values(
        if gemm.b_transposed {
            size(gemm.b, cols, inner)
        } else {
            size(gemm.b, inner, cols)
        },
        2,
    );
    let c = values(size(gemm.c, rows, cols), 3);
    let bias = values(cols, 4);
    let c0 = gemm
        .add
        .map_or_else(Vec::new, |(add, _)| values(size(add, rows, cols), 5));
    let mut expected = c.clone();
    row_major_product(gemm, &a, &b, &c0, &bias, &mut expected);
    let layout = gemm_layout(gemm, Precision::Tf32).expect("the operands are consistent");
    let (source, beta) = match gemm.add {
        Some((add, beta)) if add.address != gemm.c.address => (c0, beta),
        Some((_, beta)) => (c.clone(), beta),
        None => (c.clone(), 0.0),
    };
    let mut result = c;
    column_major_product(
        &layout,
        f64::from(gemm.alpha),
        f64::from(beta),
        &b,
        &a,
        &source,
        &bias,
        &mut result,
    );
    assert_eq!(result, expected, "{gemm:?}");
    layout
}

#[test]
fn the_column_major_product_is_the_row_major_product() {
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
            let base = Gemm {
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
            check(&Gemm {
                add: Some((c, 2.0)),
                ..base
            });
            check(&Gemm {
                add: Some((stored(0x4000, cols + 1, rows * (cols + 1)), -1.0)),
                ..base
            });
            check(&Gemm {
                add: Some((stored(0x4000, cols, 0), 1.0)),
                ..base
            });
            cases += 4;
        }
    }
    assert_eq!(cases, 6 * 64 * 4);
}

#[test]
fn a_batch_that_shares_b_is_merged() {
    let gemm = Gemm {
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
    let layout = check(&gemm);
    assert_eq!((layout.batch, layout.d.cols, layout.d.rows), (1, 12, 6));
    assert_eq!(layout.bias, Some(2));
    // Not merged: the added matrix is the same for all, a is transposed, or the matrices b
    // differ.
    assert_eq!(
        check(&Gemm {
            add: Some((stored(0x4000, 6, 0), 1.0)),
            ..gemm
        })
        .batch,
        3
    );
    assert_eq!(
        check(&Gemm {
            b: stored(0x2000, 6, 30),
            ..gemm
        })
        .batch,
        3
    );
    let transposed = Gemm {
        a: stored(0x1000, 4, 16),
        inner: 4,
        a_transposed: true,
        ..gemm
    };
    assert_eq!(check(&transposed).batch, 3);
}

#[test]
fn layouts_distinguish_what_algorithms_depend_on() {
    let gemm = Gemm {
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
    let layout = gemm_layout(&gemm, Precision::Tf32).expect("the operands are consistent");
    // With one row, the stride is irrelevant.
    assert_eq!((layout.right.leading, layout.right.alignment), (8, 16));
    let elsewhere = Gemm {
        a: stored(0x7770, 3, 0),
        c: stored(0x9900, 8, 0),
        alpha: 3.0,
        ..gemm
    };
    assert_eq!(
        gemm_layout(&elsewhere, Precision::Tf32),
        Ok(layout),
        "addresses of one alignment and all factors share a layout"
    );
    let odd = Gemm {
        a: stored(0x1014, 3, 0),
        ..gemm
    };
    assert_eq!(
        gemm_layout(&odd, Precision::Tf32)
            .expect("the operands are consistent")
            .right
            .alignment,
        4
    );
    assert_ne!(gemm_layout(&odd, Precision::Tf32), Ok(layout));
    assert_ne!(gemm_layout(&gemm, Precision::F32), Ok(layout));
    assert_ne!(
        gemm_layout(
            &Gemm {
                bias: Some(Address(64)),
                ..gemm
            },
            Precision::Tf32
        ),
        Ok(layout)
    );
}

#[test]
fn inconsistent_operands_are_rejected() {
    let gemm = Gemm {
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
    assert!(gemm_layout(&gemm, Precision::Tf32).is_ok());
    let of = |format| MatrixView { format, ..gemm.a };
    assert!(
        gemm_layout(
            &Gemm {
                b: of(Format::F16),
                ..gemm
            },
            Precision::Tf32
        )
        .is_err()
    );
    assert!(
        gemm_layout(
            &Gemm {
                c: of(Format::F16),
                ..gemm
            },
            Precision::Tf32
        )
        .is_err()
    );
    assert!(
        gemm_layout(
            &Gemm {
                add: Some((of(Format::Bf16), 1.0)),
                ..gemm
            },
            Precision::Tf32
        )
        .is_err()
    );
    assert!(
        gemm_layout(
            &Gemm {
                c: stored(0, 3, 0),
                ..gemm
            },
            Precision::Tf32
        )
        .is_err()
    );
    let half = Gemm {
        a: of(Format::F16),
        b: of(Format::F16),
        ..gemm
    };
    assert!(
        gemm_layout(&half, Precision::Tf32).is_ok(),
        "an f32 result is supported"
    );
}
