//! Powers of two.

use pulp::Simd;

/// Returns 2^x for x <= 127, to about 2 units in the last place: exact at 0, zero below -126, NaN for NaN.
#[inline(always)]
pub(in super::super) fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // x = n + r with |r| <= 1/2. Adding 1.5 * 2^23 rounds x to the integer n and leaves n in the lowest bits; adding 127 makes these
    // bits the exponent of 2^n.
    const MAGIC: f32 = 12_582_912.0 + 127.0;
    // 2^r on [-1/2, 1/2] with a minimal maximum relative error (7.5e-8), fitted by iteratively reweighted least squares.
    const POLYNOMIAL: [f32; 6] = [
        1.0,
        0.693_146_94,
        0.240_221_2,
        0.055_507_13,
        0.009_675_541,
        0.001_327_647_1,
    ];
    let magic = simd.splat_f32s(MAGIC);
    let shifted = simd.add_f32s(x, magic);
    let r = simd.sub_f32s(x, simd.sub_f32s(shifted, magic));
    let mut p = simd.splat_f32s(POLYNOMIAL[5]);
    for coefficient in POLYNOMIAL.iter().rev().skip(1) {
        p = simd.mul_add_f32s(p, r, simd.splat_f32s(*coefficient));
    }
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let value = simd.mul_f32s(p, simd.transmute_f32s_u32s(power));
    // A comparison with NaN is false.
    simd.select_f32s(
        simd.less_than_f32s(x, simd.splat_f32s(-126.0)),
        simd.splat_f32s(0.0),
        value,
    )
}
