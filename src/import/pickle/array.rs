//! numpy's arrays and number formats, as pickles hold them.

use std::sync::Arc;

/// Most dimensions of an array.
pub(super) const MAX_DIMENSIONS: usize = 32;

/// A number format: `b1`, `i1` to `i8`, `u1` to `u8`, `f2` to `f8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dtype {
    kind: DtypeKind,
    /// Bytes of an element.
    pub(super) size: usize,
    is_big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DtypeKind {
    Bool,
    Signed,
    Unsigned,
    Float,
}

/// A number of an array in its own kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Bool(bool),
    Int(i64),
    Float(f64),
}

impl Dtype {
    /// Returns the format with this name, such as `u1`; little-endian.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let (kind, size) = match name.strip_prefix(['|', '<', '=']).unwrap_or(name) {
            "b1" | "?" => (DtypeKind::Bool, 1),
            "i1" => (DtypeKind::Signed, 1),
            "i2" => (DtypeKind::Signed, 2),
            "i4" => (DtypeKind::Signed, 4),
            "i8" => (DtypeKind::Signed, 8),
            "u1" => (DtypeKind::Unsigned, 1),
            "u2" => (DtypeKind::Unsigned, 2),
            "u4" => (DtypeKind::Unsigned, 4),
            "u8" => (DtypeKind::Unsigned, 8),
            "f2" => (DtypeKind::Float, 2),
            "f4" => (DtypeKind::Float, 4),
            "f8" => (DtypeKind::Float, 8),
            _ => return None,
        };
        Some(Self {
            kind,
            size,
            is_big_endian: false,
        })
    }

    /// Returns the format in this byte order.
    pub(super) fn in_order(self, is_big_endian: bool) -> Self {
        Self {
            is_big_endian,
            ..self
        }
    }

    /// Reads an element from its bytes, of which there are [`Dtype::size`].
    pub(super) fn number(self, bytes: &[u8]) -> Number {
        // The bytes from the least to the most significant one.
        let mut word = [0_u8; 8];
        for (index, byte) in bytes.iter().take(self.size).enumerate() {
            let place = if self.is_big_endian {
                self.size - 1 - index
            } else {
                index
            };
            word[place] = *byte;
        }
        let bits = u64::from_le_bytes(word);
        let unused = 64 - 8 * self.size as u32;
        match (self.kind, self.size) {
            (DtypeKind::Bool, _) => Number::Bool(bits != 0),
            (DtypeKind::Signed, _) => Number::Int((bits << unused).cast_signed() >> unused),
            (DtypeKind::Unsigned, _) => {
                i64::try_from(bits).map_or(Number::Float(bits as f64), Number::Int)
            }
            (DtypeKind::Float, 2) => Number::Float(half::f16::from_bits(bits as u16).to_f64()),
            (DtypeKind::Float, 4) => Number::Float(f64::from(f32::from_bits(bits as u32))),
            (DtypeKind::Float, _) => Number::Float(f64::from_bits(bits)),
        }
    }
}

/// A numpy array.
#[derive(Debug, Clone)]
pub(in crate::import) struct Array {
    shape: Vec<usize>,
    is_fortran: bool,
    dtype: Dtype,
    data: Arc<[u8]>,
}

impl Array {
    /// Returns an array without elements, as numpy's pickles begin one.
    pub(super) fn empty() -> Self {
        Self {
            shape: vec![0],
            is_fortran: false,
            dtype: Dtype {
                kind: DtypeKind::Signed,
                size: 1,
                is_big_endian: false,
            },
            data: Arc::from([]),
        }
    }

    /// Returns an array, or `None` if the bytes are not those of its shape.
    pub(super) fn new(
        shape: Vec<usize>,
        is_fortran: bool,
        dtype: Dtype,
        data: Arc<[u8]>,
    ) -> Option<Self> {
        let bytes = shape
            .iter()
            .try_fold(dtype.size, |bytes, side| bytes.checked_mul(*side))?;
        (bytes == data.len() && shape.len() <= MAX_DIMENSIONS).then_some(Self {
            shape,
            is_fortran,
            dtype,
            data,
        })
    }

    /// Returns the length of every dimension.
    pub(in crate::import) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the number of elements.
    pub(in crate::import) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns the element at an index in row-major order, whatever the order in memory.
    ///
    /// # Panics
    /// If there is no such element.
    pub(in crate::import) fn at(&self, index: usize) -> f64 {
        assert!(index < self.len(), "the array has {} elements", self.len());
        let place = if self.is_fortran {
            let (mut rest, mut place, mut stride) = (index, 0, self.len());
            // The last dimension varies fastest in `index`, and slowest in memory.
            for side in self.shape.iter().rev() {
                stride /= side;
                place += rest % side * stride;
                rest /= side;
            }
            place
        } else {
            index
        };
        let start = place * self.dtype.size;
        match self
            .dtype
            .number(&self.data[start..start + self.dtype.size])
        {
            Number::Bool(value) => f64::from(u8::from(value)),
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}
