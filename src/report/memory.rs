//! The peak memory of this process.

/// Returns the peak memory of this process so far, in bytes; `None` on systems without `/proc`.
pub fn peak_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Reads the peak of the resident set from the text of `/proc/self/status`.
fn parse(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_read_from_the_process_status() {
        assert_eq!(
            parse("Name:\tdragnext\nVmHWM:\t    2048 kB\nVmRSS:\t 12 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(parse("Name:\tdragnext\n"), None);
    }
}
