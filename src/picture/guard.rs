//! A decoder's bug is one bad picture, not the end of the program, and none of the user's business.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside a decoder.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder; `None` when it panicked. Its panic prints nothing, those of others do as before.
pub(super) fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                usual(panic);
            }
        }));
    });
    GUARDED.set(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(false);
    decoded.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stays_inside() {
        assert_eq!(guarded::<()>(|| panic!("a decoder's bug")), None);
        assert!(!GUARDED.get(), "the next panic is somebody else's");
        assert_eq!(guarded(|| 7), Some(7));
    }
}
