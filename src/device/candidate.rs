//! The ways in which a request can be computed, in order of preference.

use super::{BackendChoice, Device};

/// A device with the backend that computes on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Candidate {
    /// Our kernels on the CPU.
    OwnCpu,
    /// Our kernels on an NVIDIA GPU.
    OwnCuda(usize),
    /// candle's kernels on the CPU.
    CandleCpu,
    /// candle's kernels on an NVIDIA GPU.
    CandleCuda(usize),
    /// candle's kernels on an Apple GPU.
    CandleMetal,
}

/// What this program was built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Build {
    /// The feature `cuda`.
    pub(super) own_cuda: bool,
    /// The feature `candle-cuda`.
    pub(super) candle_cuda: bool,
    /// The feature `metal`.
    pub(super) metal: bool,
}

impl Build {
    /// This program.
    pub(super) const THIS: Self = Self {
        own_cuda: cfg!(feature = "cuda"),
        candle_cuda: cfg!(feature = "candle-cuda"),
        metal: cfg!(feature = "metal"),
    };
}

impl Candidate {
    /// Returns the device as it was requested, such as `cuda:0`.
    pub(super) fn device(self) -> String {
        match self {
            Self::OwnCpu | Self::CandleCpu => "cpu".into(),
            Self::OwnCuda(index) | Self::CandleCuda(index) => format!("cuda:{index}"),
            Self::CandleMetal => "metal".into(),
        }
    }

    /// Returns the name of the backend, as on the command line.
    pub(super) fn backend(self) -> &'static str {
        match self {
            Self::OwnCpu | Self::OwnCuda(_) => "own",
            Self::CandleCpu | Self::CandleCuda(_) | Self::CandleMetal => "candle",
        }
    }

    /// Returns the name of everything that decides rounding besides the number format. It identifies results, so names do not change.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::OwnCpu => "cpu",
            Self::OwnCuda(_) => "cuda",
            Self::CandleCpu => "candle-cpu",
            Self::CandleCuda(_) => "candle-cuda",
            Self::CandleMetal => "metal",
        }
    }

    /// Whether it computes on the CPU.
    pub(super) fn is_cpu(self) -> bool {
        matches!(self, Self::OwnCpu | Self::CandleCpu)
    }
}

/// Returns the candidates for a request, the best first. They are tried in this order.
///
/// # Errors
/// Why the request cannot be computed by this build, and what to do instead.
pub(super) fn candidates(
    device: Device,
    backend: BackendChoice,
    build: Build,
) -> Result<Vec<Candidate>, [String; 2]> {
    let (own, candle) = (
        backend != BackendChoice::Candle,
        backend != BackendChoice::Own,
    );
    let cpu = if own {
        Candidate::OwnCpu
    } else {
        Candidate::CandleCpu
    };
    let cuda = |index: usize| {
        let own = (own && build.own_cuda).then_some(Candidate::OwnCuda(index));
        let candle = (candle && build.candle_cuda).then_some(Candidate::CandleCuda(index));
        own.into_iter().chain(candle)
    };
    let metal = (candle && build.metal).then_some(Candidate::CandleMetal);
    let found: Vec<Candidate> = match device {
        Device::Auto => cuda(0).chain(metal).chain([cpu]).collect(),
        Device::Cpu => vec![cpu],
        Device::Cuda(index) => cuda(index).collect(),
        Device::Metal => metal.into_iter().collect(),
    };
    if !found.is_empty() {
        return Ok(found);
    }
    let named = match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "metal".into(),
    };
    let [reason, hint] = match (device, backend) {
        (Device::Metal, BackendChoice::Own) => [
            "our own kernels do not run on Apple GPUs",
            "leave `--backend` out, or use `--backend candle`",
        ],
        (Device::Metal, _) => [
            "this build has no kernels for Apple GPUs",
            "use `--device cpu`, or a build with `--features metal` on a Mac",
        ],
        (_, BackendChoice::Auto) => [
            "this build computes on the CPU only",
            "use `--device cpu`, or a build with `--features cuda`",
        ],
        (_, BackendChoice::Own) => [
            "this build has none of our own kernels for NVIDIA GPUs",
            "use `--device cpu`, or a build with `--features cuda`",
        ],
        (_, BackendChoice::Candle) => [
            "this build has none of candle's kernels for NVIDIA GPUs",
            "use `--backend own`, or a build with `--features candle-cuda`",
        ],
    };
    Err([format!("{named} cannot be used: {reason}"), hint.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use BackendChoice::{Auto, Candle, Own};
    use Candidate::{CandleCpu, CandleCuda, CandleMetal, OwnCpu, OwnCuda};

    const EVERYTHING: Build = Build {
        own_cuda: true,
        candle_cuda: true,
        metal: false,
    };
    const NOTHING: Build = Build {
        own_cuda: false,
        candle_cuda: false,
        metal: false,
    };

    #[test]
    fn our_kernels_come_first_then_those_of_candle_then_the_cpu() {
        for (device, backend, expected) in [
            (Device::Auto, Auto, &[OwnCuda(0), CandleCuda(0), OwnCpu][..]),
            (Device::Auto, Own, &[OwnCuda(0), OwnCpu]),
            (Device::Auto, Candle, &[CandleCuda(0), CandleCpu]),
            (Device::Cuda(2), Auto, &[OwnCuda(2), CandleCuda(2)]),
            (Device::Cuda(2), Candle, &[CandleCuda(2)]),
            (Device::Cpu, Auto, &[OwnCpu]),
            (Device::Cpu, Candle, &[CandleCpu]),
        ] {
            let found = candidates(device, backend, EVERYTHING);
            assert_eq!(found.as_deref(), Ok(expected), "{device:?}, {backend:?}");
        }
        let mac = Build {
            metal: true,
            ..NOTHING
        };
        for (device, expected) in [
            (Device::Auto, &[CandleMetal, OwnCpu][..]),
            (Device::Metal, &[CandleMetal]),
        ] {
            assert_eq!(candidates(device, Auto, mac).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn every_build_computes_on_the_cpu_with_both_backends() {
        assert_eq!(candidates(Device::Auto, Auto, NOTHING), Ok(vec![OwnCpu]));
        assert_eq!(
            candidates(Device::Auto, Candle, NOTHING),
            Ok(vec![CandleCpu])
        );
    }

    #[test]
    fn what_a_build_lacks_is_named() {
        for (device, backend, reason, hint) in [
            (Device::Cuda(1), Auto, "cuda:1", "--features cuda"),
            (
                Device::Cuda(1),
                Candle,
                "candle's",
                "--features candle-cuda",
            ),
            (Device::Cuda(0), Own, "our own", "--features cuda"),
            (Device::Metal, Auto, "metal", "--features metal"),
            (Device::Metal, Own, "Apple", "--backend candle"),
        ] {
            let Err([found_reason, found_hint]) = candidates(device, backend, NOTHING) else {
                panic!("{device:?} needs a feature");
            };
            assert!(found_reason.contains(reason), "{found_reason}");
            assert!(found_hint.contains(hint), "{found_hint}");
        }
    }
}
