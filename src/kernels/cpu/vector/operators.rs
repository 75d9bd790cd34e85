//! A SIMD vector with operators, so that the kernels' formulas read like formulas.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use std::ops::{Add, Div, Mul, Neg, Sub};

use pulp::Simd;

use super::exponential::exp2;

/// A SIMD vector of f32 values with arithmetic operators.
#[derive(Clone, Copy)]
pub(in super::super) struct Vector<S: Simd> {
    pub(super) simd: S,
    pub(super) x: S::f32s,
}

macro_rules! operators {
    ($($operator:ident, $method:ident, $instruction:ident;)*) => {
        $(
            impl<S: Simd> $operator for Vector<S> {
                type Output = Self;

                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    Self { x: self.simd.$instruction(self.x, other.x), ..self }
                }
            }

            impl<S: Simd> $operator<f32> for Vector<S> {
                type Output = Self;

                #[inline(always)]
                fn $method(self, other: f32) -> Self {
                    Self { x: self.simd.$instruction(self.x, self.simd.splat_f32s(other)), ..self }
                }
            }
        )*
    };
}

operators! {
    Add, add, add_f32s;
    Sub, sub, sub_f32s;
    Mul, mul, mul_f32s;
    Div, div, div_f32s;
}

impl<S: Simd> Neg for Vector<S> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self {
            x: self.simd.neg_f32s(self.x),
            ..self
        }
    }
}

impl<S: Simd> Vector<S> {
    /// Returns a vector with `x` in every lane.
    #[inline(always)]
    pub(in super::super) fn splat(simd: S, x: f32) -> Self {
        Self {
            simd,
            x: simd.splat_f32s(x),
        }
    }

    /// Returns the instruction set.
    #[inline(always)]
    pub(in super::super) fn simd(self) -> S {
        self.simd
    }

    #[inline(always)]
    pub(in super::super) fn abs(self) -> Self {
        Self {
            x: self.simd.abs_f32s(self.x),
            ..self
        }
    }

    /// Returns self * factor + term, rounded once.
    #[inline(always)]
    pub(in super::super) fn mul_add(self, factor: Self, term: f32) -> Self {
        Self {
            x: self
                .simd
                .mul_add_f32s(self.x, factor.x, self.simd.splat_f32s(term)),
            ..self
        }
    }

    #[inline(always)]
    pub(in super::super) fn sqrt(self) -> Self {
        Self {
            x: self.simd.sqrt_f32s(self.x),
            ..self
        }
    }

    /// Returns the smaller of self and `limit`; NaN for NaN.
    #[inline(always)]
    pub(in super::super) fn at_most(self, limit: f32) -> Self {
        let limit = self.simd.splat_f32s(limit);
        Self {
            x: self
                .simd
                .select_f32s(self.simd.greater_than_f32s(self.x, limit), limit, self.x),
            ..self
        }
    }

    /// Returns `below` in lanes where self < limit, and `other` elsewhere, including where self is NaN.
    #[inline(always)]
    pub(in super::super) fn choose(self, limit: f32, below: Self, other: Self) -> Self {
        let is_below = self
            .simd
            .less_than_f32s(self.x, self.simd.splat_f32s(limit));
        Self {
            x: self.simd.select_f32s(is_below, below.x, other.x),
            ..self
        }
    }

    /// Returns 2^self; see [`exp2`].
    #[inline(always)]
    pub(in super::super) fn exp2(self) -> Self {
        Self {
            x: exp2(self.simd, self.x),
            ..self
        }
    }
}
