//! The program and the machine: version, features, processor, memory and devices.

use super::Check;
use crate::progress::amount;

/// Memory of an edit with Stable Diffusion 1.5 at 512 x 512 in f32.
const STABLE_DIFFUSION_BYTES: u64 = 9_100_000_000;

/// Reports version and features.
pub(super) fn program() -> Check {
    let features = [
        ("hub", cfg!(feature = "hub")),
        ("cuda", cfg!(feature = "cuda")),
        ("candle-cuda", cfg!(feature = "candle-cuda")),
        ("metal", cfg!(feature = "metal")),
        ("failpoints", cfg!(feature = "failpoints")),
    ];
    let built: Vec<&str> = features
        .iter()
        .filter(|(_, built)| *built)
        .map(|(name, _)| *name)
        .collect();
    let features = if built.is_empty() {
        "none".to_owned()
    } else {
        built.join(", ")
    };
    Check::new(
        "program",
        format!(
            "dragnext {}, {}-{}, features: {features}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH,
            std::env::consts::OS
        ),
    )
}

/// Reports cores and instruction set. Results are reproducible bit for bit on one instruction set.
pub(super) fn processor() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = rayon::current_num_threads();
    let threads = if threads == cores {
        String::new()
    } else {
        format!(", {threads} used by an edit")
    };
    Check::new(
        "processor",
        format!("{cores} cores{threads}; {}", instruction_set()),
    )
}

#[cfg(target_arch = "x86_64")]
fn instruction_set() -> &'static str {
    match pulp::Arch::new() {
        pulp::Arch::V4(_) => "AVX-512",
        pulp::Arch::V3(_) => "AVX2 with FMA",
        _ => "no AVX-512 and no AVX2 with FMA: edits are slow",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_set() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "NEON"
    } else {
        "scalar code: edits are slow"
    }
}

/// Checks whether the available memory is sufficient.
pub(super) fn memory() -> Check {
    let information = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let Some((total, available)) =
        field(&information, "MemTotal:").zip(field(&information, "MemAvailable:"))
    else {
        return Check::new("memory", "unknown on this system");
    };
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let limited = limit
        .filter(|limit| *limit < total)
        .map(|limit| format!(", limited to {}", amount(limit)))
        .unwrap_or_default();
    let check = Check::new(
        "memory",
        format!(
            "{} available of {}{limited}",
            amount(available),
            amount(total)
        ),
    );
    if available.min(limit.unwrap_or(u64::MAX)) < STABLE_DIFFUSION_BYTES {
        let needed = amount(STABLE_DIFFUSION_BYTES);
        return check.with_note(format!(
            "Stable Diffusion 1.5 needs about {needed} of memory; the model `demo` needs little"
        ));
    }
    check
}

fn field(information: &str, name: &str) -> Option<u64> {
    let line = information
        .lines()
        .find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Reports the devices of this build.
#[cfg(not(feature = "cuda"))]
pub(super) fn devices() -> Check {
    Check::new(
        "devices",
        "cpu (f32); cuda: not in this build; build with `--features cuda` for NVIDIA GPUs",
    )
}

/// Reports the devices: the CPU, and each GPU with its memory and libraries.
#[cfg(feature = "cuda")]
pub(super) fn devices() -> Check {
    use crate::kernels::cuda::device::{CudaDevice, DeviceUnavailable};
    use crate::kernels::cuda::driver::Driver;

    let count = match CudaDevice::count() {
        Ok(count) => count,
        Err(reason @ DeviceUnavailable::NoDriver { .. }) => {
            return Check::new("devices", format!("cpu (f32); cuda: {reason}"));
        }
        Err(reason) => {
            return Check::new("devices", "cpu (f32)")
                .with_note(format!("cuda cannot be used: {reason}"));
        }
    };
    let kernels = crate::kernels::cuda::kernels();
    let convolutions = super::convolutions::stable_diffusion();
    let (mut details, mut works, mut slow) = (Vec::new(), false, false);
    for index in 0..count {
        let found = CudaDevice::open(index, &kernels).map_err(|reason| reason.to_string()).and_then(|device| {
            let message = |error: crate::kernels::fault::DeviceFault| crate::Error::from(error).to_string();
            let (name, (major, minor)) = (device.name().map_err(message)?, device.compute_capability().map_err(message)?);
            let (driver, memory, libraries) = (device.driver_version().map_err(message)?, device.memory(), device.library_versions());
            let cudnn = libraries.cudnn.map_or_else(|reason| format!("no cuDNN ({reason})"), |version| format!("cuDNN {version}"));
            let memory_text = format!("{} free of {}", amount(memory.free), amount(memory.total));
            let driver = format!("driver for CUDA {}.{}", driver / 1000, driver % 1000 / 10);
            let planned = device.plan_convolutions(&convolutions).map_err(message)?;
            let refused = planned.refused;
            slow |= !refused.is_empty();
            let by_graph = planned.by_graph.map(|count| format!(", graph API: {count} of {} convolutions", convolutions.len()));
            let cudnn = format!("{cudnn}{}", by_graph.unwrap_or_default());
            let refused = refused.first().map(|(shape, reason)| format!(", which refuses {} of {} convolutions: {shape}: {reason}", refused.len(), convolutions.len()));
            let refused = refused.unwrap_or_default();
            Ok(format!("{name}, compute capability {major}.{minor}, {memory_text}, {driver}, cuBLASLt {}, {cudnn}{refused}", libraries.cublaslt))
        });
        works |= found.is_ok();
        details.push(format!(
            "cuda:{index}: {}",
            found.unwrap_or_else(|reason| format!("cannot be used: {reason}"))
        ));
    }
    let check = Check {
        details,
        ..Check::new(
            "devices",
            format!("cpu (f32), cuda (f16, bf16, f32): {count} found"),
        )
    };
    if !works {
        check.with_note("no GPU is usable; edits run on the CPU")
    } else if slow {
        check.with_note("cuDNN refuses convolutions, which slower kernels compute; another version of cuDNN 9 may not")
    } else {
        check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_bytes() {
        let information = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(field(information, "MemAvailable:"), Some(8 << 20));
        assert_eq!(field(information, "SwapTotal:"), None);
    }
}
