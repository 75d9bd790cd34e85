//! Turns panics into errors.
//!
//! [`catch`] makes a panic an [`Error::Bug`] with an exit status and a message in the style of other errors.
//! [`catch_expected`] surrounds decoders of other crates, whose panic means that a file is damaged.
//! This module installs no panic hook; that is up to the program. A hook gets the place of a panic into the error with
//! [`record`], and uses [`is_expected`] to print nothing about an expected panic.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

const NO_REASON: &str = "no reason is known";

/// Message and place of the latest panic that was recorded. It is shared by all threads, because the thread that catches a
/// panic may not be the one that panicked.
static LATEST: Mutex<Option<String>> = Mutex::new(None);

thread_local! {
    /// Whether this thread runs [`catch_expected`].
    static IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and turns its panic into an error.
///
/// # Errors
/// [`Error::Bug`] if it panics, otherwise the error of `work`.
pub(crate) fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(Error::Bug(message(&*payload))))
}

/// Runs `work` on this thread; returns `None` if it panics. Meanwhile [`is_expected`] is true on this thread.
pub(crate) fn catch_expected<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outer = IS_EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_EXPECTED.set(outer);
    result.ok()
}

/// Returns whether a panic of this thread is expected and becomes an ordinary error. For use in a panic hook.
pub(crate) fn is_expected() -> bool {
    IS_EXPECTED.get()
}

/// Records the message and the place of a panic, for the error that [`catch`] returns. For use in a panic hook; without
/// it, the error has the message only.
pub(crate) fn record(info: &PanicHookInfo) {
    let message = info.payload_as_str().unwrap_or(NO_REASON);
    let text = info.location().map_or_else(
        || message.to_owned(),
        |place| format!("{message} ({}:{})", place.file(), place.line()),
    );
    *LATEST.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
}

/// Returns the message of a caught panic, with its place if a hook recorded it.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let recorded = LATEST.lock().unwrap_or_else(PoisonError::into_inner).take();
    let said = || {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref().cloned())
    };
    recorded.or_else(said).unwrap_or_else(|| NO_REASON.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_panic_of_any_thread_is_an_error() {
        for work in [
            (|| panic!("on the {} thread", "same")) as fn() -> Result<()>,
            || {
                rayon::join(|| panic!("on the same thread"), || ());
                Ok(())
            },
        ] {
            let error = catch(work).expect_err("it panics");
            assert_eq!((error.kind(), error.exit_status()), (ErrorKind::Bug, 101));
            assert!(
                error
                    .to_string()
                    .starts_with("a bug in dragnext: on the same thread"),
                "{error}"
            );
        }
        assert!(catch(|| Ok(())).is_ok());
    }

    #[test]
    fn an_expected_panic_is_none() {
        assert_eq!(catch_expected::<()>(|| panic!("a decoder's bug")), None);
        assert_eq!(catch_expected(|| 7), Some(7));
    }

    #[test]
    fn panics_are_expected_only_inside_of_catch_expected() {
        assert!(!is_expected());
        assert_eq!(catch_expected(is_expected), Some(true));
        let other_thread = || std::thread::spawn(is_expected).join().expect("no panic");
        assert_eq!(catch_expected(other_thread), Some(false));
        let _ = catch_expected(|| {
            let _ = catch_expected::<()>(|| panic!("inside"));
            assert!(is_expected(), "the outer call still runs");
        });
        let _ = catch_expected::<()>(|| panic!("a decoder's bug"));
        assert!(!is_expected());
    }

    /// The whole process has one hook, so it counts panics of this test's thread only.
    #[test]
    fn catching_a_panic_leaves_the_hook_in_place() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        let thread = std::thread::current().id();
        let previous = Arc::new(std::panic::take_hook());
        let (seen, expected) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (Arc::clone(&seen), Arc::clone(&expected));
        let outer = Arc::clone(&previous);
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == thread {
                counters.0.fetch_add(1, Ordering::Relaxed);
                counters
                    .1
                    .fetch_add(usize::from(is_expected()), Ordering::Relaxed);
            } else {
                outer(info);
            }
        }));
        let _ = catch_expected::<()>(|| panic!("expected"));
        let _ = catch::<()>(|| panic!("a bug"));
        let _ = catch_expected::<()>(|| panic!("expected"));
        std::panic::set_hook(Box::new(move |info| previous(info)));
        let counts = [seen, expected].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [3, 2]);
    }
}
