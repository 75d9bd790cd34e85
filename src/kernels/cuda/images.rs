//! The kernels as `.ci/ptx` compiled them from `source/`: machine code for the architectures that the program knows, and PTX, which
//! the driver of any other compiles when it loads it. That takes seconds at the first start; the driver caches the result.

use std::io::Read;

use super::device::Kernels;

/// Gzipped PTX for compute capability 8.0.
static PTX: &[u8] = include_bytes!("kernels.ptx.gz");

/// Gzipped machine code (cubin) by compute capability, major and minor.
static CUBINS: [((u32, u32), &[u8]); 4] = [
    ((8, 0), include_bytes!("kernels.sm_80.cubin.gz")),
    ((8, 6), include_bytes!("kernels.sm_86.cubin.gz")),
    ((8, 9), include_bytes!("kernels.sm_89.cubin.gz")),
    ((9, 0), include_bytes!("kernels.sm_90.cubin.gz")),
];

/// Returns the kernels.
///
/// # Panics
/// If the embedded data is corrupt.
pub fn kernels() -> Kernels {
    let ptx = String::from_utf8(unpacked(PTX));
    Kernels {
        ptx: ptx.unwrap_or_else(|error| panic!("the embedded kernels are corrupt: {error}")),
        machine_code,
    }
}

/// Returns machine code for a compute capability: that of the newest architecture of the same major version that is not newer (CUDA C++
/// Programming Guide, "Binary Compatibility").
fn machine_code((major, minor): (u32, u32)) -> Option<Vec<u8>> {
    let runs = |(of, _): &&((u32, u32), &[u8])| of.0 == major && of.1 <= minor;
    let newest = CUBINS.iter().filter(runs).max_by_key(|(of, _)| *of);
    newest.map(|(_, cubin)| unpacked(cubin))
}

fn unpacked(compressed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = flate2::read::GzDecoder::new(compressed).read_to_end(&mut bytes);
    assert!(read.is_ok(), "the embedded kernels are corrupt: {read:?}");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the compute capability in the header of machine code, an ELF file: the low byte of `e_flags`.
    fn architecture(cubin: &[u8]) -> u8 {
        assert_eq!(cubin[..4], *b"\x7fELF");
        cubin[48]
    }

    #[test]
    fn machine_code_is_that_of_the_newest_architecture_that_is_not_newer() {
        let found = |capability| machine_code(capability).map(|code| architecture(&code));
        let cases = [
            ((8, 0), Some(80)),
            ((8, 6), Some(86)),
            ((8, 7), Some(86)),
            ((8, 9), Some(89)),
            ((9, 0), Some(90)),
            // The driver compiles PTX.
            ((7, 5), None),
            ((10, 0), None),
            ((12, 1), None),
        ];
        for (capability, expected) in cases {
            assert_eq!(found(capability), expected, "{capability:?}");
        }
    }

    #[test]
    fn machine_code_has_every_kernel_and_is_small() {
        let ptx = kernels().ptx;
        let names = ptx.lines().filter_map(|line| {
            let (_, name) = line.split_once(".entry ")?;
            Some(name.trim_end_matches('(').to_owned())
        });
        let names: Vec<String> = names.collect();
        assert!(names.len() > 100, "{}", names.len());
        for ((major, minor), cubin) in CUBINS {
            let code = unpacked(cubin);
            for name in &names {
                let section = format!(".text.{name}\0");
                let is_there = code
                    .windows(section.len())
                    .any(|at| at == section.as_bytes());
                assert!(is_there, "{name} for {major}.{minor}");
            }
        }
        let all: usize = CUBINS.iter().map(|(_, cubin)| cubin.len()).sum();
        assert!(all + PTX.len() < 10_000_000, "{all} bytes");
    }
}
