//! Panics are bugs, and a bug is an error like others: it has a kind, a message in our style and an exit status.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Mutex;

use crate::error::{Error, Result};

/// What the latest panic said and where, told by the hook; threads other than the one that catches may have panicked.
static LATEST: Mutex<Option<String>> = Mutex::new(None);

/// From now on a panic prints nothing by itself; with `RUST_BACKTRACE` in the environment it prints what Rust's own hook does.
///
/// Whoever calls this must catch what panics, with [`caught`].
pub fn keep_quiet() {
    let usual = std::panic::take_hook();
    let is_verbose = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |info| {
        *LATEST
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(describe(info));
        if is_verbose {
            usual(info);
        }
    }));
}

fn describe(info: &PanicHookInfo) -> String {
    let said = info.payload_as_str().unwrap_or("no reason is known");
    info.location().map_or_else(
        || said.to_owned(),
        |place| format!("{said} ({}:{})", place.file(), place.line()),
    )
}

/// Does the work, and turns a panic into an error.
///
/// # Errors
/// [`Error::Bug`] when it panics, else what the work says.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Error::Bug(told(&*payload))))
}

/// What a panic that was caught said, and where.
pub fn told(payload: &(dyn Any + Send)) -> String {
    let told = LATEST
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    let said = || {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref().cloned())
    };
    told.or_else(said)
        .unwrap_or_else(|| "no reason is known".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_panic_is_an_error_wherever_it_happens() {
        for work in [
            (|| panic!("on the {} thread", "same")) as fn() -> Result<()>,
            || {
                rayon::join(|| panic!("on the same thread"), || ());
                Ok(())
            },
        ] {
            let error = caught(work).expect_err("it panics");
            assert_eq!((error.kind(), error.exit_status()), (ErrorKind::Bug, 101));
            assert!(
                error
                    .to_string()
                    .starts_with("a bug in dragnext: on the same thread"),
                "{error}"
            );
        }
        assert!(caught(|| Ok(())).is_ok());
    }
}
