//! The one-dimensional transforms of Winograd's convolution with kernels of three: F(2, 3) on lines of four values and F(4, 3) on lines
//! of six (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308, section 4).
//!
//! F(4, 3) interpolates at 0, +-5/8, +-3/2 and infinity. The errors with the usual points 0, +-1, +-2 are up to five times as large; no
//! other points that were tried are better than these, and their squares and products below are exact in f32.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use pulp::Simd;

/// The interpolation points +-A and +-B.
const A: f32 = 0.625;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

/// Rows of the weight transform of F(2, 3).
const WEIGHTS_4: [[f32; 3]; 4] = [
    [1.0, 0.0, 0.0],
    [0.5, 0.5, 0.5],
    [0.5, -0.5, 0.5],
    [0.0, 0.0, 1.0],
];

/// Rows of the weight transform of F(4, 3): (1, p, p^2) divided by the product of the differences between p and the other points.
const WEIGHTS_6: [[f32; 3]; 6] = [
    [(1.0 / (A2 * B2) as f64) as f32, 0.0, 0.0],
    at(A as f64, B as f64),
    at(-A as f64, B as f64),
    at(B as f64, A as f64),
    at(-B as f64, A as f64),
    [0.0, 0.0, 1.0],
];

/// Returns the row of point `p`, where the other pair is +-q.
const fn at(p: f64, q: f64) -> [f32; 3] {
    let scale = 2.0 * p * p * (p * p - q * q);
    [
        (1.0 / scale) as f32,
        (p / scale) as f32,
        (p * p / scale) as f32,
    ]
}

/// Returns row `row` of the weight transform to lines of `N`.
#[inline(always)]
pub(super) fn weight_row<const N: usize>(row: usize) -> [f32; 3] {
    if N == 4 {
        WEIGHTS_4[row]
    } else {
        WEIGHTS_6[row]
    }
}

/// Transforms three weights to a line of `N`.
#[inline(always)]
pub(super) fn weights<S: Simd, const N: usize>(simd: S, g: [S::f32s; 3]) -> [S::f32s; N] {
    let mut line = [g[0]; N];
    if N == 4 {
        let even = simd.mul_f32s(simd.splat_f32s(0.5), simd.add_f32s(g[0], g[2]));
        let half = simd.splat_f32s(0.5);
        line[1] = simd.mul_add_f32s(half, g[1], even);
        line[2] = simd.mul_add_f32s(simd.splat_f32s(-0.5), g[1], even);
    } else {
        line[0] = simd.mul_f32s(simd.splat_f32s(WEIGHTS_6[0][0]), g[0]);
        for first in [1, 3] {
            let [constant, linear, square] = WEIGHTS_6[first].map(|x| simd.splat_f32s(x));
            let even = simd.mul_add_f32s(square, g[2], simd.mul_f32s(constant, g[0]));
            line[first] = simd.mul_add_f32s(linear, g[1], even);
            line[first + 1] = simd.mul_add_f32s(simd.neg_f32s(linear), g[1], even);
        }
    }
    line[N - 1] = g[2];
    line
}

/// Transforms `N` pixels to a line of `N`.
#[inline(always)]
pub(super) fn pixels<S: Simd, const N: usize>(simd: S, d: [S::f32s; N]) -> [S::f32s; N] {
    let mut line = d;
    if N == 4 {
        line[0] = simd.sub_f32s(d[0], d[2]);
        line[1] = simd.add_f32s(d[1], d[2]);
        line[2] = simd.sub_f32s(d[2], d[1]);
        line[3] = simd.sub_f32s(d[3], d[1]);
    } else {
        let (product, sum) = (simd.splat_f32s(A2 * B2), simd.splat_f32s(-(A2 + B2)));
        line[0] = simd.mul_add_f32s(product, d[0], simd.mul_add_f32s(sum, d[2], d[4]));
        for (first, point, other) in [(1, A, -B2), (3, B, -A2)] {
            let (point, other) = (simd.splat_f32s(point), simd.splat_f32s(other));
            let even = simd.mul_add_f32s(other, d[2], d[4]);
            let odd = simd.mul_f32s(point, simd.mul_add_f32s(other, d[1], d[3]));
            line[first] = simd.add_f32s(even, odd);
            line[first + 1] = simd.sub_f32s(even, odd);
        }
        line[5] = simd.mul_add_f32s(product, d[1], simd.mul_add_f32s(sum, d[3], d[5]));
    }
    line
}

/// Transforms a line of `N` products to `N - 2` outputs.
#[inline(always)]
pub(super) fn outputs<S: Simd, const N: usize, const OUT: usize>(
    simd: S,
    m: [S::f32s; N],
) -> [S::f32s; OUT] {
    let mut line = [m[0]; OUT];
    let (sum, difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    if N == 4 {
        line[0] = simd.add_f32s(m[0], sum);
        line[1] = simd.add_f32s(difference, m[3]);
    } else {
        let (outer_sum, outer_difference) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
        let join = |a: f32, inner, b: f32, outer| {
            simd.mul_add_f32s(
                simd.splat_f32s(b),
                outer,
                simd.mul_f32s(simd.splat_f32s(a), inner),
            )
        };
        line[0] = simd.add_f32s(m[0], simd.add_f32s(sum, outer_sum));
        line[1] = join(A, difference, B, outer_difference);
        line[2] = join(A2, sum, B2, outer_sum);
        line[3] = simd.add_f32s(join(A2 * A, difference, B2 * B, outer_difference), m[5]);
    }
    line
}
