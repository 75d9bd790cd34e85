//! How the C library hands out memory.

/// One arena for all threads. glibc would give each thread one of its own, and what a short life leaves in each of them adds up: a quarter
/// of the memory of a small edit, a little more with every item of a batch. Large buffers are kept elsewhere, so nobody waits here.
pub fn limit_malloc_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: called with constants; what it returns says whether it did something, and either way memory is handed out.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
