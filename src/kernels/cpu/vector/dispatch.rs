//! Dispatch to the instruction set of the machine at run time.

#![expect(
    clippy::inline_always,
    reason = "a loop has the instruction set of the function it is inlined into"
)]

use pulp::{Simd, WithSimd};

/// Runs `work` with the widest instruction set of the machine.
///
/// With the feature `failpoints`, `DRAGNEXT_LANES=16` emulates vectors of 16 lanes and `DRAGNEXT_LANES=1` scalars, both slowly, so that
/// tests cover all code that depends on the number of lanes on any machine. New buffers then hold NaN.
#[inline]
pub(in super::super) fn dispatch<W: WithSimd>(work: W) -> W::Output {
    #[cfg(feature = "failpoints")]
    match forced_lanes() {
        Some(16) => return work.with_simd(pulp::Scalar512b),
        Some(1) => return work.with_simd(pulp::Scalar),
        _ => {}
    }
    pulp::Arch::new().dispatch(work)
}

/// Returns the name of the instruction set that [`dispatch`] chooses.
pub(in super::super) fn instructions() -> &'static str {
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

/// Work for [`dispatch_unsafe`] that reads or writes through pointers.
pub(in super::super) trait UnsafeWithSimd {
    /// # Safety
    /// The requirements in the documentation of the type hold.
    unsafe fn run<S: Simd>(self, simd: S);
}

/// As [`dispatch`].
///
/// # Safety
/// The requirements in the documentation of `W` hold.
#[inline]
pub(in super::super) unsafe fn dispatch_unsafe<W: UnsafeWithSimd>(work: W) {
    struct Safe<W>(W);

    impl<W: UnsafeWithSimd> WithSimd for Safe<W> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            // SAFETY: the caller of `dispatch_unsafe` guarantees the requirements of `W`.
            unsafe { self.0.run(simd) }
        }
    }
    dispatch(Safe(work));
}

/// Returns the number of lanes that `DRAGNEXT_LANES` forces.
#[cfg(feature = "failpoints")]
pub(in super::super) fn forced_lanes() -> Option<usize> {
    static LANES: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *LANES.get_or_init(|| std::env::var("DRAGNEXT_LANES").ok()?.parse().ok())
}

/// Defines a function that is compiled for every instruction set; a call runs the widest one that the machine has. The first parameter
/// is the instruction set, and is not passed by callers.
///
/// A closure passed to [`dispatch`] would have one caller per instruction set. The compiler does not inline a long closure with several
/// callers, and a closure that is not inlined is compiled for none of the instruction sets.
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

pub(in super::super) use vectorised;

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use super::forced_lanes;
    use crate::kernels::cpu::gemm::panel_width;

    /// Runs the tests of all kernels again, with wider vectors and without vectors.
    #[test]
    fn all_kernels_pass_their_tests_with_other_vector_widths() {
        if let Some(lanes) = forced_lanes() {
            return assert_eq!(panel_width(), 2 * lanes, "a panel is two vectors wide");
        }
        for lanes in ["16", "1"] {
            let program = std::env::current_exe().expect("the test runs from a file");
            let run = std::process::Command::new(program)
                .arg("kernels::")
                .env("DRAGNEXT_LANES", lanes)
                .output();
            let run = run.expect("the test starts");
            let output = String::from_utf8_lossy(&run.stdout);
            assert!(
                run.status.success()
                    && output
                        .contains("all_kernels_pass_their_tests_with_other_vector_widths ... ok"),
                "{lanes} lanes:\n{output}"
            );
        }
    }
}
