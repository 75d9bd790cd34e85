//! Loops that the compiler turns into the widest vector instructions of the machine, chosen at run time.

#![expect(clippy::inline_always, reason = "a loop has the instruction set of the function it is inlined into")]

/// Lanes of a sum: the order of additions is the same on every machine.
const LANES: usize = 16;

/// Runs a loop compiled for the best instruction set that this machine has.
#[inline(always)]
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Folds 16 lanes side by side, then the lanes.
#[inline(always)]
fn fold(x: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane = join(*lane, *x));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane = join(*lane, *x));
    lanes.iter().fold(start, |all, lane| join(all, *lane))
}

/// The sum of all numbers.
#[inline(always)]
pub(super) fn sum(x: &[f32]) -> f32 {
    fold(x, 0.0, |a, b| a + b)
}

/// The largest number.
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    fold(x, f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}
