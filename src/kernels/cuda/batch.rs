//! Several matrix products of one shape in one call of the library.
//!
//! The operands of such products are evenly spaced in memory: weights and results are laid out so
//! ([`Planes`]), and the adapters of a projection follow each other in the flat list of
//! parameters. Operands that lie in different allocations are multiplied one by one, even if they
//! happen to be evenly spaced: the same work must take the same calls in every process.

use std::array;
use std::ops::Range;

use super::driver::{Gemm, MatrixView};
use super::gpu::Gpu;
use super::linear::{self, LinearWeight, common_format, matrix_product, product, row_major};
use super::memory::{Buffer, Planes};
use crate::kernels::Factors;

/// Computes these rows of every y (.., out) = x W^T.
pub(super) fn linears<const N: usize>(
    rows: Range<usize>,
    x: &Buffer,
    weights: [&LinearWeight; N],
    ys: [&mut Buffer; N],
) {
    if weights
        .iter()
        .any(|weight| linear::needs_kernel(&rows, x, weight))
    {
        for (weight, y) in weights.into_iter().zip(ys) {
            linear::linear(rows.clone(), x, weight, None, None, y);
        }
        return;
    }
    let ys = ys.map(|y| &*y);
    let products: [Gemm; N] = array::from_fn(|index| {
        linear::linear_product(&rows, x, weights[index], None, None, ys[index])
    });
    run(
        x.gpu(),
        &products,
        &[&weights.map(LinearWeight::values), &ys],
    );
}

/// Computes these rows of dx (.., in) = the sum of dy W over the weights, with dy (.., N * `outputs`) side by side.
pub(super) fn linears_backward<const N: usize>(
    rows: Range<usize>,
    outputs: usize,
    dy: &Buffer,
    weights: [&LinearWeight; N],
    dx: &Buffer,
) {
    let first = weights[0].view();
    let inputs = first.stride;
    let width = N * outputs;
    assert!(
        rows.end * width <= dy.len() && rows.end * inputs <= dx.len(),
        "dy and dx have these rows"
    );
    let at = |buffer: &Buffer, index: usize, cols: usize| MatrixView {
        address: buffer.address_of(index),
        ..row_major(buffer, cols)
    };
    let c = at(dx, rows.start * inputs, inputs);
    let products: [Gemm; N] = array::from_fn(|index| Gemm {
        rows: rows.len(),
        cols: inputs,
        inner: outputs,
        batch: 1,
        alpha: 1.0,
        a: at(dy, rows.start * width + index * outputs, width),
        a_transposed: false,
        b: weights[index].view(),
        b_transposed: false,
        c,
        add: (index > 0).then_some((c, 1.0)),
        bias: None,
    });
    // Weights without gaps are one matrix (N * out, in).
    let bytes = outputs * inputs * first.format.bytes();
    let without_gaps =
        |index: usize| products[index].b.address == first.address.plus(index * bytes);
    if Buffer::share_allocation(&weights.map(LinearWeight::values)) && (0..N).all(without_gaps) {
        return dy.gpu().gemm(&Gemm {
            inner: width,
            ..products[0]
        });
    }
    for product in &products {
        dy.gpu().gemm(product);
    }
}

/// Returns every W + up down.
pub(super) fn merged_all<const N: usize>(
    weights: [&LinearWeight; N],
    adapters: [Factors<Buffer>; N],
) -> [LinearWeight; N] {
    let first = weights[0].values();
    let (gpu, format) = (first.gpu(), first.format());
    let planes = Planes::uninit(gpu, format, first.len(), N);
    let merged: [LinearWeight; N] =
        array::from_fn(|index| weights[index].with(planes.plane(index)));
    let products: [Gemm; N] = array::from_fn(|index| {
        let (up, down) = adapters[index];
        let base = Some((weights[index].view(), 1.0));
        product(1.0, up, down, base, format, merged[index].view())
    });
    let ups = adapters.map(|(up, _)| up.buffer.as_format(format));
    let downs = adapters.map(|(_, down)| down.buffer.as_format(format));
    let bases = weights.map(LinearWeight::values);
    run(gpu, &products, &[&bases, &ups, &downs]);
    merged
}

/// Computes every c = factor * a b, plus c if `add`, with each c at its offset of one buffer.
pub(super) fn matmuls<const N: usize>(
    factor: f32,
    factors: [Factors<Buffer>; N],
    add: bool,
    c: &Buffer,
    offsets: [usize; N],
) {
    let products: [Gemm; N] = array::from_fn(|index| {
        let (a, b) = factors[index];
        matrix_product(factor, a, b, add, c, offsets[index])
    });
    let left = factors.map(|(a, b)| a.buffer.as_format(common_format(a, b)));
    let right = factors.map(|(a, b)| b.buffer.as_format(common_format(a, b)));
    run(c.gpu(), &products, &[&left, &right]);
}

/// Runs products of one shape: as one batch, if each list of operands shares an allocation.
fn run(gpu: &Gpu, products: &[Gemm], operands: &[&[&Buffer]]) {
    let together = operands
        .iter()
        .all(|buffers| Buffer::share_allocation(buffers));
    let batch = if together { batch(products) } else { None };
    if batch.is_some_and(|batch| gpu.try_gemm(&batch)) {
        return;
    }
    for product in products {
        gpu.gemm(product);
    }
}

/// Returns the batch of these products; `None` for a single one, and if they differ in more than evenly
/// spaced addresses.
fn batch(products: &[Gemm]) -> Option<Gemm> {
    let [first, second, ..] = products else {
        return None;
    };
    let spaced = |from: MatrixView, to: MatrixView| {
        let bytes = to.address.0.checked_sub(from.address.0)?;
        Some(MatrixView {
            batch_stride: usize::try_from(bytes).ok()? / from.format.bytes(),
            ..from
        })
    };
    let add = match (first.add, second.add) {
        (Some((from, beta)), Some((to, _))) => Some((spaced(from, to)?, beta)),
        _ => None,
    };
    let batch = Gemm {
        batch: products.len(),
        a: spaced(first.a, second.a)?,
        b: spaced(first.b, second.b)?,
        c: spaced(first.c, second.c)?,
        add,
        ..*first
    };
    let is_batch = batch.bias.is_none()
        && batch.c.batch_stride > 0
        && (0..products.len()).all(|index| of_batch(&batch, index) == products[index]);
    is_batch.then_some(batch)
}

/// Returns product `index` of a batch.
fn of_batch(batch: &Gemm, index: usize) -> Gemm {
    let at = |view: MatrixView| MatrixView {
        address: view
            .address
            .plus(index * view.batch_stride * view.format.bytes()),
        batch_stride: 0,
        ..view
    };
    Gemm {
        batch: 1,
        a: at(batch.a),
        b: at(batch.b),
        c: at(batch.c),
        add: batch.add.map(|(view, beta)| (at(view), beta)),
        ..*batch
    }
}

#[cfg(test)]
mod tests {
    use super::super::driver::{Address, Format};
    use super::*;

    /// A product with operands at these addresses; c0 is c.
    fn at([a, b, c]: [u64; 3]) -> Gemm {
        let view = |address, format| MatrixView {
            address: Address(address),
            format,
            stride: 4,
            batch_stride: 0,
        };
        let c = view(c, Format::F32);
        Gemm {
            rows: 2,
            cols: 4,
            inner: 4,
            batch: 1,
            alpha: 0.5,
            a: view(a, Format::F16),
            a_transposed: false,
            b: view(b, Format::F16),
            b_transposed: true,
            c,
            add: Some((c, 1.0)),
            bias: None,
        }
    }

    #[test]
    fn evenly_spaced_products_of_one_shape_are_a_batch() {
        let products = [
            at([512, 0, 1024]),
            at([512, 64, 1152]),
            at([512, 128, 1280]),
        ];
        let batch = batch(&products).expect("they are evenly spaced");
        assert_eq!(batch.batch, 3);
        assert_eq!(
            [batch.a, batch.b, batch.c].map(|view| view.batch_stride),
            [0, 32, 32]
        );
        assert_eq!(batch.add, Some((batch.c, 1.0)));
        for (index, product) in products.iter().enumerate() {
            assert_eq!(of_batch(&batch, index), *product);
        }
    }

    #[test]
    fn other_products_are_none() {
        let first = at([512, 0, 1024]);
        let cases = [
            ("a single product", vec![first]),
            (
                "uneven",
                vec![first, at([512, 64, 1152]), at([512, 128, 1281])],
            ),
            ("descending", vec![at([512, 64, 1024]), at([512, 0, 1152])]),
            ("one result", vec![first, at([512, 64, 1024])]),
            ("not whole values", vec![first, at([512, 63, 1152])]),
            (
                "another shape",
                vec![
                    first,
                    Gemm {
                        rows: 3,
                        ..at([512, 64, 1152])
                    },
                ],
            ),
            (
                "another factor",
                vec![
                    first,
                    Gemm {
                        alpha: 1.0,
                        ..at([512, 64, 1152])
                    },
                ],
            ),
            (
                "an added matrix in one",
                vec![
                    first,
                    Gemm {
                        add: None,
                        ..at([512, 64, 1152])
                    },
                ],
            ),
        ];
        for (name, products) in cases {
            assert_eq!(batch(&products), None, "{name}");
        }
    }
}
