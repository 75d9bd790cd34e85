//! Loops in the widest vector instructions of the machine, chosen at run time, and the functions that they share.

#![allow(unsafe_code)]
#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use std::ops::{Add, Div, Mul, Neg, Sub};
use std::slice::{from_raw_parts, from_raw_parts_mut};

use pulp::{Simd, WithSimd};

use super::exponential::exp2;

/// Does `work` with the best instruction set of the machine.
///
/// With the feature `failpoints`, `DRAGNEXT_LANES=16` stands for a machine with vectors of 16 lanes and `DRAGNEXT_LANES=1` for one
/// without vectors, both slowly: tests see all of the code that depends on lanes wherever they run. Fresh buffers then hold NaN.
#[inline]
pub(super) fn dispatch<W: WithSimd>(work: W) -> W::Output {
    #[cfg(feature = "failpoints")]
    match lanes_to_stand_for() {
        Some(16) => return work.with_simd(pulp::Scalar512b),
        Some(1) => return work.with_simd(pulp::Scalar),
        _ => {}
    }
    pulp::Arch::new().dispatch(work)
}

/// The name of the instruction set that [`dispatch`] chooses.
pub(super) fn instructions() -> &'static str {
    struct Name;

    impl WithSimd for Name {
        type Output = &'static str;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> &'static str {
            std::any::type_name::<S>()
        }
    }
    dispatch(Name)
}

/// Work that reads and writes where its maker promised that it may.
pub(super) trait Promised {
    /// # Safety
    /// What the work's documentation asks of its maker is true.
    unsafe fn run<S: Simd>(self, simd: S);
}

/// As [`dispatch`].
///
/// # Safety
/// What the work's documentation asks of its maker is true.
#[inline]
pub(super) unsafe fn dispatch_promised<W: Promised>(work: W) {
    struct Kept<W>(W);

    impl<W: Promised> WithSimd for Kept<W> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            // SAFETY: the only maker of this is a caller who promised it.
            unsafe { self.0.run(simd) }
        }
    }
    dispatch(Kept(work));
}

/// The lanes that `DRAGNEXT_LANES` asks for.
#[cfg(feature = "failpoints")]
pub(super) fn lanes_to_stand_for() -> Option<usize> {
    static LANES: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *LANES.get_or_init(|| std::env::var("DRAGNEXT_LANES").ok()?.parse().ok())
}

/// Defines a function that is compiled for every instruction set, of which a call takes the best that the machine has. The first
/// parameter stands for it and is not given by callers.
///
/// A closure handed to the dispatcher would do in principle; but it has a caller for every instruction set, so that the compiler
/// does not inline a long one, and then compiles it for none of them.
macro_rules! vectorised {
    ($(#[$doc:meta])* $vis:vis fn $name:ident<$life:lifetime>($simd:ident $(, $arg:ident: $type:ty)* $(,)?) $body:block) => {
        $(#[$doc])*
        $vis fn $name<$life>($($arg: $type),*) {
            struct Loops<$life> {
                $($arg: $type),*
            }
            impl pulp::WithSimd for Loops<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, $simd: S) {
                    let Self { $($arg),* } = self;
                    $body
                }
            }
            $crate::kernels::cpu::vector::dispatch(Loops { $($arg),* });
        }
    };
}

pub(super) use vectorised;

/// A vector of the machine, with the operators of a number, so that formulas can be read.
pub(super) struct Lanes<S: Simd> {
    simd: S,
    x: S::f32s,
}

#[expect(
    clippy::expl_impl_clone_on_copy,
    reason = "the derived one would ask for vectors that compare"
)]
impl<S: Simd> Clone for Lanes<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Simd> Copy for Lanes<S> {}

macro_rules! operators {
    ($($operator:ident, $method:ident, $vector:ident;)*) => {
        $(
            impl<S: Simd> $operator for Lanes<S> {
                type Output = Self;

                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    Self { x: self.simd.$vector(self.x, other.x), ..self }
                }
            }

            impl<S: Simd> $operator<f32> for Lanes<S> {
                type Output = Self;

                #[inline(always)]
                fn $method(self, other: f32) -> Self {
                    Self { x: self.simd.$vector(self.x, self.simd.splat_f32s(other)), ..self }
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

impl<S: Simd> Neg for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self {
            x: self.simd.neg_f32s(self.x),
            ..self
        }
    }
}

impl<S: Simd> Lanes<S> {
    #[inline(always)]
    pub(super) fn splat(simd: S, x: f32) -> Self {
        Self {
            simd,
            x: simd.splat_f32s(x),
        }
    }

    /// The instruction set.
    #[inline(always)]
    pub(super) fn simd(self) -> S {
        self.simd
    }

    #[inline(always)]
    pub(super) fn abs(self) -> Self {
        Self {
            x: self.simd.abs_f32s(self.x),
            ..self
        }
    }

    /// self * factor + term, rounded once.
    #[inline(always)]
    pub(super) fn mul_add(self, factor: Self, term: f32) -> Self {
        Self {
            x: self
                .simd
                .mul_add_f32s(self.x, factor.x, self.simd.splat_f32s(term)),
            ..self
        }
    }

    #[inline(always)]
    pub(super) fn sqrt(self) -> Self {
        Self {
            x: self.simd.sqrt_f32s(self.x),
            ..self
        }
    }

    /// The smaller of self and a limit; NaN for NaN.
    #[inline(always)]
    pub(super) fn at_most(self, limit: f32) -> Self {
        let limit = self.simd.splat_f32s(limit);
        Self {
            x: self
                .simd
                .select_f32s(self.simd.greater_than_f32s(self.x, limit), limit, self.x),
            ..self
        }
    }

    /// `below` in lanes where self is less than the limit, `other` elsewhere (where it is NaN, too).
    #[inline(always)]
    pub(super) fn choose(self, limit: f32, below: Self, other: Self) -> Self {
        let is_below = self
            .simd
            .less_than_f32s(self.x, self.simd.splat_f32s(limit));
        Self {
            x: self.simd.select_f32s(is_below, below.x, other.x),
            ..self
        }
    }

    /// 2^self for numbers up to 127 to about 2 units in the last place: exact at 0, zero below -126, NaN for NaN.
    #[inline(always)]
    pub(super) fn exp2(self) -> Self {
        Self {
            x: exp2(self.simd, self.x),
            ..self
        }
    }
}

/// # Safety
/// `count` numbers, at most a vector, can be read at `from`.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::f32s {
    // SAFETY: the caller's promise.
    unsafe {
        if count == S::F32_LANES {
            from.cast::<S::f32s>().read_unaligned()
        } else {
            simd.partial_load_f32s(from_raw_parts(from, count))
        }
    }
}

/// # Safety
/// `count` numbers, at most a vector, can be written at `to`.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(simd: S, to: *mut f32, count: usize, numbers: S::f32s) {
    // SAFETY: the caller's promise.
    unsafe {
        if count == S::F32_LANES {
            to.cast::<S::f32s>().write_unaligned(numbers);
        } else {
            simd.partial_store_f32s(from_raw_parts_mut(to, count), numbers);
        }
    }
}

/// The vector of `numbers` from `at` on, in which `count` numbers are.
///
/// # Safety
/// They are.
#[inline(always)]
unsafe fn lanes<S: Simd>(simd: S, numbers: &[f32], at: usize, count: usize) -> Lanes<S> {
    // SAFETY: the caller's promise.
    Lanes {
        simd,
        x: unsafe { load(simd, numbers.as_ptr().add(at), count) },
    }
}

/// Writes what `terms` makes of the numbers of `inputs`; all have one length. `terms` has one caller, so that it is inlined.
#[inline(always)]
pub(super) fn each<S: Simd, const N: usize, const M: usize>(
    simd: S,
    inputs: [&[f32]; N],
    mut outputs: [&mut [f32]; M],
    terms: impl Fn([Lanes<S>; N]) -> [Lanes<S>; M],
) {
    let len = inputs[0].len();
    assert!(
        inputs.iter().all(|input| input.len() == len)
            && outputs.iter().all(|output| output.len() == len),
        "operands of one length"
    );
    for at in (0..len).step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(len - at);
        let mut x = [Lanes::splat(simd, 0.0); N];
        // SAFETY: all have `len` numbers, of which `count` follow `at`.
        unsafe {
            for (x, input) in x.iter_mut().zip(&inputs) {
                *x = lanes(simd, input, at, count);
            }
            let results = terms(x);
            for (output, result) in outputs.iter_mut().zip(results) {
                store(simd, output.as_mut_ptr().add(at), count, result.x);
            }
        }
    }
}

/// Replaces the numbers of `outputs` by what `terms` makes of them and of the numbers of `inputs`; all have one length.
#[inline(always)]
pub(super) fn update<S: Simd, const N: usize, const M: usize>(
    simd: S,
    inputs: [&[f32]; N],
    mut outputs: [&mut [f32]; M],
    terms: impl Fn([Lanes<S>; M], [Lanes<S>; N]) -> [Lanes<S>; M],
) {
    let len = inputs[0].len();
    assert!(
        inputs.iter().all(|input| input.len() == len)
            && outputs.iter().all(|output| output.len() == len),
        "operands of one length"
    );
    for at in (0..len).step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(len - at);
        let (mut y, mut x) = ([Lanes::splat(simd, 0.0); M], [Lanes::splat(simd, 0.0); N]);
        // SAFETY: all have `len` numbers, of which `count` follow `at`.
        unsafe {
            for (y, output) in y.iter_mut().zip(&outputs) {
                *y = lanes(simd, output, at, count);
            }
            for (x, input) in x.iter_mut().zip(&inputs) {
                *x = lanes(simd, input, at, count);
            }
            let results = terms(y, x);
            for (output, result) in outputs.iter_mut().zip(results) {
                store(simd, output.as_mut_ptr().add(at), count, result.x);
            }
        }
    }
}

/// Sums of what `terms` makes of the numbers of `inputs`, which have one length.
#[inline(always)]
pub(super) fn sums<S: Simd, const N: usize, const M: usize>(
    simd: S,
    inputs: [&[f32]; N],
    terms: impl Fn([Lanes<S>; N]) -> [Lanes<S>; M],
) -> [f32; M] {
    let len = inputs[0].len();
    assert!(
        inputs.iter().all(|input| input.len() == len),
        "operands of one length"
    );
    let mut totals = [simd.splat_f32s(0.0); M];
    for at in (0..len).step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(len - at);
        let mut x = [Lanes::splat(simd, 0.0); N];
        for (x, input) in x.iter_mut().zip(&inputs) {
            // SAFETY: every input has `len` numbers, of which `count` follow `at`.
            *x = unsafe { lanes(simd, input, at, count) };
        }
        for (total, result) in totals.iter_mut().zip(terms(x)) {
            // What stands behind the last number does not count.
            let counted = simd.mask_between_m32s(0, count as u32).mask();
            let term = if count == S::F32_LANES {
                result.x
            } else {
                simd.select_f32s(counted, result.x, simd.splat_f32s(0.0))
            };
            *total = simd.add_f32s(*total, term);
        }
    }
    totals.map(|total| simd.reduce_sum_f32s(total))
}

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use super::lanes_to_stand_for;
    use crate::kernels::cpu::gemm::panel_width;

    /// The tests of all kernels once more, as on machines with wider vectors and without any.
    #[test]
    fn kernels_with_other_vectors() {
        if let Some(lanes) = lanes_to_stand_for() {
            return assert_eq!(panel_width(), 2 * lanes, "two vectors");
        }
        for lanes in ["16", "1"] {
            let program = std::env::current_exe().expect("a test runs from a file");
            let run = std::process::Command::new(program)
                .arg("kernels::")
                .env("DRAGNEXT_LANES", lanes)
                .output();
            let run = run.expect("a test can be started");
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(
                run.status.success() && said.contains("kernels_with_other_vectors ... ok"),
                "{lanes} lanes:\n{said}"
            );
        }
    }
}
