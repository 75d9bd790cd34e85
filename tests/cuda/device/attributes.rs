//! The statuses with which the fake cuDNN rejects wrong attributes are those of NVIDIA's library.
#![allow(unsafe_code, reason = "the library has a C interface")]

use std::ffi::{c_int, c_void};
use std::ptr;

use libloading::Library;

use super::fakes::runs_a_case;

/// A kind of descriptor, and what is set: attribute, type, count, and the status of the library.
type Rejected = (c_int, c_int, c_int, i64, c_int);

/// Calls with wrong arguments, and what cuDNN 9.28 returns.
const REJECTED: &[Rejected] = &[
    // The number of a tensor as a float, twice, without a value.
    (17, 906, 4, 1, 2010),
    (17, 906, 3, 2, 2000),
    (17, 906, 3, 0, 2000),
    // The mode of a pointwise operation on a tensor.
    (17, 0, 14, 1, 2000),
    // A tensor's format as an integer, and its sizes as pointers.
    (17, 901, 3, 1, 2010),
    (17, 902, 6, 4, 2010),
    // A convolution's padding as floats, and alpha of its operation as an integer.
    (1, 105, 4, 2, 2010),
    (10, 700, 3, 1, 2000),
];

/// Checks that a library rejects wrong attributes.
fn rejects_wrong_attributes(library: &Library) {
    // SAFETY: these are the functions' types (cudnn_graph.h).
    unsafe {
        let create = library
            .get::<unsafe extern "C" fn(c_int, *mut *mut c_void) -> c_int>(
                b"cudnnBackendCreateDescriptor",
            )
            .expect("a function");
        let set = library
            .get::<unsafe extern "C" fn(*mut c_void, c_int, c_int, i64, *const c_void) -> c_int>(
                b"cudnnBackendSetAttribute",
            )
            .expect("a function");
        let get = library.get::<unsafe extern "C" fn(*mut c_void, c_int, c_int, i64, *mut i64, *mut c_void) -> c_int>(b"cudnnBackendGetAttribute").expect("a function");
        let finalise = library
            .get::<unsafe extern "C" fn(*mut c_void) -> c_int>(b"cudnnBackendFinalize")
            .expect("a function");
        let new = |kind| {
            let mut descriptor = ptr::null_mut();
            assert_eq!(create(kind, &raw mut descriptor), 0);
            descriptor
        };
        let values = [1_i64; 8];
        let given = values.as_ptr().cast::<c_void>();
        for (kind, attribute, of, count, status) in REJECTED {
            let found = set(new(*kind), *attribute, *of, *count, given);
            assert_eq!(found, *status, "{kind} {attribute} {of} {count}");
        }
        assert_eq!(set(new(17), 906, 3, 1, ptr::null()), 2000, "no value");
        // Attributes are missing: of a tensor, a convolution, its operations, a graph.
        for kind in [17, 1, 10, 12, 15] {
            assert_eq!(finalise(new(kind)), 2000, "{kind}");
        }
        let tensor = |alignment: i64, sizes: &[i64], strides: &[i64]| {
            let tensor = new(17);
            let set = |attribute, of, values: &[i64]| {
                set(
                    tensor,
                    attribute,
                    of,
                    values.len() as i64,
                    values.as_ptr().cast(),
                )
            };
            assert_eq!(set(906, 3, &[7]), 0);
            assert_eq!(set(901, 1, &[0]), 0);
            assert_eq!(set(900, 3, &[alignment]), 0);
            assert_eq!(set(902, 3, sizes), 0);
            assert_eq!(set(903, 3, strides), 0);
            (tensor, finalise(tensor))
        };
        let sizes = [1, 2, 3, 4];
        assert_eq!(tensor(6, &sizes, &[24, 1, 8, 2]).1, 2000, "alignment");
        assert_eq!(tensor(16, &[1, 2, -3, 4], &[24, 1, 8, 2]).1, 2000, "size");
        assert_eq!(tensor(16, &sizes, &[24, 1, 8]).1, 2000, "strides");
        let (complete, status) = tensor(16, &sizes, &[24, 1, 8, 2]);
        assert_eq!(status, 0);
        assert_eq!(finalise(complete), 2000, "twice");
        assert_eq!(set(complete, 907, 2, 1, given), 2000, "it is finalised");
        let (mut count, mut value) = (0, 0_i64);
        let mut read = |from| {
            let into = (&raw mut value).cast();
            get(from, 906, 3, 1, &raw mut count, into)
        };
        assert_eq!(read(new(17)), 1001, "it is not finalised");
        // An operation graph of an operation that is not finalised.
        let operation = new(10);
        let operations = (&raw const operation).cast();
        assert_eq!(set(new(15), 801, 15, 1, operations), 2004);
        // An address for one of two tensors.
        let pack = new(16);
        assert_eq!(set(pack, 1000, 3, 2, [1_i64, 2].as_ptr().cast()), 0);
        assert_eq!(set(pack, 1001, 6, 1, given), 0);
        assert_eq!(finalise(pack), 2000);
    }
}

#[test]
#[ignore = "run by every_case_passes"]
fn wrong_attributes_are_rejected() {
    if runs_a_case() {
        // SAFETY: the fake library has no initialisers.
        let library = unsafe { Library::new("libcudnn.so.9") }.expect("the fake library");
        rejects_wrong_attributes(&library);
    }
}

/// Holds the fake to NVIDIA's library, which `DRAGNEXT_CUDNN_LIBRARY` names. Its folder and a
/// `libcuda.so.1`, or a stub of it, must be on the library path.
#[test]
#[ignore = "needs cuDNN"]
fn the_library_rejects_the_same_attributes() {
    let path = std::env::var_os("DRAGNEXT_CUDNN_LIBRARY").expect("`DRAGNEXT_CUDNN_LIBRARY` is set");
    // SAFETY: NVIDIA's library.
    let library = unsafe { Library::new(path) }.expect("the library can be loaded");
    rejects_wrong_attributes(&library);
}
