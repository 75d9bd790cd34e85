//! Calls of functions in the libraries that [`super::library`] loaded.
//!
//! The bindings declare the functions' types, but load the libraries themselves, by names in another
//! order. So only the types are used: [`Signature`] turns the type of a binding into that of the C
//! function.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::library::NvidiaLibrary;

/// The type of a binding.
pub(super) trait Signature {
    /// The type of the C function.
    type Function: Copy;
}

macro_rules! signatures {
    ($($argument:ident)*) => {
        impl<R, $($argument),*> Signature for unsafe fn($($argument),*) -> R {
            type Function = unsafe extern "C" fn($($argument),*) -> R;
        }
        signatures!(@shorter $($argument)*);
    };
    (@shorter) => {};
    (@shorter $first:ident $($argument:ident)*) => {
        signatures!($($argument)*);
    };
}
signatures!(A B C D E F G H I J K L M N O P Q S);

/// A function of a library, looked up at its first call.
#[derive(Debug)]
pub(super) struct Symbol {
    library: NvidiaLibrary,
    name: &'static str,
    address: AtomicPtr<c_void>,
}

impl Symbol {
    pub(super) const fn new(library: NvidiaLibrary, name: &'static str) -> Self {
        Self {
            library,
            name,
            address: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Returns the function. `binding` is the binding of the same name and gives the type.
    ///
    /// # Panics
    /// If the library was not loaded.
    pub(super) fn function<S: Signature>(&self, _binding: S) -> S::Function {
        let mut address = self.address.load(Ordering::Acquire);
        if address.is_null() {
            address = self
                .library
                .symbol(self.name)
                .expect("the library was loaded, and has all functions");
            self.address.store(address, Ordering::Release);
        }
        const { assert!(size_of::<S::Function>() == size_of::<*mut c_void>()) };
        // SAFETY: both are pointers; the address is that of a function of this type.
        unsafe { std::mem::transmute_copy::<*mut c_void, S::Function>(&address) }
    }
}

/// Calls a function of `driver`, `cublaslt` or `cudnn` and returns what it returns. Must be used in an
/// unsafe block.
macro_rules! invoke {
    ($library:ident, $function:ident($($argument:expr),* $(,)?)) => {{
        static SYMBOL: $crate::kernels::cuda::device::symbol::Symbol =
            $crate::kernels::cuda::device::symbol::Symbol::new(
                $crate::kernels::cuda::device::symbol::library!($library),
                stringify!($function),
            );
        SYMBOL.function::<unsafe fn(
            $($crate::kernels::cuda::device::symbol::inferred!($argument)),*
        ) -> _>(cudarc::$library::sys::$function)($($argument),*)
    }};
}
pub(super) use invoke;

macro_rules! library {
    (driver) => {
        $crate::kernels::cuda::device::library::NvidiaLibrary::Driver
    };
    (cublaslt) => {
        $crate::kernels::cuda::device::library::NvidiaLibrary::CublasLt
    };
    (cudnn) => {
        $crate::kernels::cuda::device::library::NvidiaLibrary::Cudnn
    };
}
pub(super) use library;

/// The inferred type of an argument.
macro_rules! inferred {
    ($argument:expr) => {
        _
    };
}
pub(super) use inferred;
