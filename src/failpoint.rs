//! Named places where a test can make the program fail. They exist in builds with the feature `failpoints` alone; elsewhere
//! the question is a constant `false`.

#[cfg(feature = "failpoints")]
use std::collections::BTreeMap;
#[cfg(feature = "failpoints")]
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::kernels::Backend;
use crate::nn::Tensor;

/// The signal that nothing can be done about; it has this number on every Unix.
#[cfg(unix)]
const SIGKILL: i32 = 9;

/// The variable that names the places, separated by commas; `place#3` fails the third time it is reached, and only then.
#[cfg(feature = "failpoints")]
const VARIABLE: &str = "DRAGNEXT_FAILPOINTS";

/// Shall this place fail? Says so on stderr, because a test must prove that its fault happened.
#[cfg(feature = "failpoints")]
#[expect(clippy::print_stderr, reason = "a test reads it")]
pub fn is_hit(name: &str) -> bool {
    let hit = std::env::var(VARIABLE)
        .is_ok_and(|names| names.split(',').any(|place| is_due(place, name)));
    if hit {
        eprintln!("failpoint {name}");
    }
    hit
}

/// Does `place`, as it stands in the variable, mean this visit of `name`?
#[cfg(feature = "failpoints")]
fn is_due(place: &str, name: &str) -> bool {
    static VISITS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
    let Some((place_name, due)) = place.split_once('#') else {
        return place == name;
    };
    if place_name != name {
        return false;
    }
    let mut visits = VISITS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let visit = visits.entry(place.to_owned()).or_default();
    *visit += 1;
    due == visit.to_string()
}

/// Shall this place fail?
#[cfg(not(feature = "failpoints"))]
pub const fn is_hit(_: &str) -> bool {
    false
}

/// Ends the process here, as SIGKILL from outside would, where `name` is to fail.
pub fn kill(name: &str) {
    if is_hit(name) {
        #[cfg(unix)]
        let _ = signal_hook::low_level::raise(SIGKILL);
    }
}

/// The tensor, with not a number in place of its first value where `name` is to fail.
pub fn corrupt<B: Backend>(name: &str, tensor: Tensor<B>) -> Tensor<B> {
    if !is_hit(name) {
        return tensor;
    }
    let mut numbers = tensor.to_host();
    numbers[0] = f32::NAN;
    Tensor::from_host(tensor.backend(), tensor.shape(), numbers)
}

/// Panics where `name` is to fail.
///
/// # Panics
/// There, as a bug would.
#[track_caller]
pub fn panic(name: &str) {
    assert!(!is_hit(name), "failpoint {name}");
}

/// Stays where `name` is to fail until something has come, at most a minute.
pub fn wait(name: &str, has_come: impl Fn() -> bool) {
    if is_hit(name) {
        let since = Instant::now();
        while !has_come() && since.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Stays where `name` is to fail until stdin ends: a test does something to the files meanwhile.
pub fn wait_for_stdin(name: &str) {
    if is_hit(name) {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    }
}
