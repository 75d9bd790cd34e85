//! The number formats in which a GPU stores weights and activations.

/// Storage format of values. Arithmetic is f32 in every format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// 32 bits.
    F32,
    /// IEEE half precision: 11 bits of precision, up to 65504.
    F16,
    /// bfloat16: 8 bits of precision, the range of f32.
    Bf16,
}

impl Format {
    /// Returns the bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Returns the name, as in kernel names and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}
