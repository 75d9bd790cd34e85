//! Settings of the C library's memory allocator.

/// Makes all threads share one arena of glibc's malloc. By default each thread has its own, and fragmentation in each of them
/// adds up to a quarter of the memory of a small edit, and more with every item of a batch. Large buffers are reused by this
/// crate itself, so threads do not wait for the shared arena.
pub(crate) fn limit_malloc_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: the arguments are constants of the C library. A failure changes nothing, so the result is ignored.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
