//! What is requested: a device, a backend and a number format.

use std::str::FromStr;

/// A requested device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The first GPU if it can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU with this index.
    Cuda(usize),
    /// The GPU of an Apple computer.
    Metal,
}

impl FromStr for Device {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected auto, cpu, cuda, cuda:N or metal";
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or(EXPECTED),
        }
    }
}

/// A requested implementation of the operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum BackendChoice {
    /// The program's own kernels where they run, else candle's.
    #[default]
    Auto,
    /// The program's own kernels, for CPUs and NVIDIA GPUs.
    Own,
    /// The kernels of candle: slower, and for CPUs, NVIDIA GPUs and Apple GPUs.
    Candle,
}

/// A requested number format for weights and activations. Sums are f32 in every format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Dtype {
    /// f32 on the CPU, f16 on a GPU.
    #[default]
    Auto,
    /// 32 bits; on a GPU, matrix products round their factors to TensorFloat-32.
    F32,
    /// 16 bits, IEEE half precision; on a GPU, or with `--backend candle`.
    F16,
    /// 16 bits, bfloat16; on a GPU, or with `--backend candle`.
    Bf16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_parsed() {
        let parsed = |text: &str| text.parse::<Device>().ok();
        assert_eq!(parsed("auto"), Some(Device::Auto));
        assert_eq!(parsed("cuda"), Some(Device::Cuda(0)));
        assert_eq!(parsed("cuda:3"), Some(Device::Cuda(3)));
        assert_eq!(parsed("metal"), Some(Device::Metal));
        assert_eq!(
            ["gpu", "cuda:", "cuda:-1", "CPU", "metal:0"].map(parsed),
            [None; 5]
        );
    }
}
