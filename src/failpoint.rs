//! Named places where a test can make the program fail.
//!
//! They exist only in builds with the feature `failpoints`; in other builds [`is_hit`] is the constant `false`. The environment
//! variable `DRAGNEXT_FAILPOINTS` names the places to fail, separated by commas; `place#3` fails only at the third visit.

#[cfg(feature = "failpoints")]
use std::collections::BTreeMap;
#[cfg(feature = "failpoints")]
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::kernels::Backend;
use crate::nn::Tensor;

/// SIGKILL, which a process cannot catch; it has this number on every Unix.
#[cfg(unix)]
const SIGKILL: i32 = 9;

#[cfg(feature = "failpoints")]
const VARIABLE: &str = "DRAGNEXT_FAILPOINTS";

/// Returns whether this place is to fail. Prints it to stderr, so that a test can prove that its fault happened.
#[cfg(feature = "failpoints")]
#[expect(clippy::print_stderr, reason = "a test reads it")]
pub(crate) fn is_hit(name: &str) -> bool {
    let hit = std::env::var(VARIABLE)
        .is_ok_and(|names| names.split(',').any(|place| is_due(place, name)));
    if hit {
        eprintln!("failpoint {name}");
    }
    hit
}

/// Returns whether `place`, an entry of the variable, matches this visit of `name`.
#[cfg(feature = "failpoints")]
fn is_due(place: &str, name: &str) -> bool {
    static VISITS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
    let Some((place_name, due)) = place.split_once('#') else {
        return place == name;
    };
    if place_name != name {
        return false;
    }
    let mut visits = VISITS.lock().unwrap_or_else(PoisonError::into_inner);
    let visit = visits.entry(place.to_owned()).or_default();
    *visit += 1;
    due == visit.to_string()
}

/// Returns whether this place is to fail: never in this build.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn is_hit(_: &str) -> bool {
    false
}

/// Ends the process with SIGKILL if `name` is to fail.
pub(crate) fn kill(name: &str) {
    if is_hit(name) {
        #[cfg(unix)]
        let _ = signal_hook::low_level::raise(SIGKILL);
    }
}

/// Returns the tensor, with its first value replaced by NaN if `name` is to fail.
pub(crate) fn corrupt<B: Backend>(name: &str, tensor: Tensor<B>) -> Tensor<B> {
    if !is_hit(name) {
        return tensor;
    }
    let mut numbers = tensor.to_host();
    numbers[0] = f32::NAN;
    Tensor::from_host(tensor.backend(), tensor.shape(), numbers)
}

/// Panics if `name` is to fail.
///
/// # Panics
/// If `name` is to fail.
#[track_caller]
pub(crate) fn panic(name: &str) {
    assert!(!is_hit(name), "failpoint {name}");
}

/// If `name` is to fail, waits until `has_come` returns true, at most for a minute.
pub(crate) fn wait(name: &str, has_come: impl Fn() -> bool) {
    if is_hit(name) {
        let since = Instant::now();
        while !has_come() && since.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// If `name` is to fail, waits for the end of stdin, while a test changes files.
pub(crate) fn wait_for_stdin(name: &str) {
    if is_hit(name) {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    }
}
