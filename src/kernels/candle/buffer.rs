//! Flat buffers: a one-dimensional, contiguous tensor, or none while nothing was written.
//!
//! Operations return new tensors, which replace the buffer's. [`Buffer::write`] alone changes a tensor in place, so no two buffers may share
//! one: what [`Buffer::set`] takes is always new memory.

use std::fmt::{self, Debug, Formatter};
use std::sync::OnceLock;

use candle_core::shape::ShapeWithOneHole;
use candle_core::{DType, Result, Tensor};

use super::device::SharedDevice;
use super::dtype;
use crate::kernels::Format;

/// Values on a candle device.
pub struct Buffer {
    device: SharedDevice,
    format: Format,
    len: usize,
    /// The values; `None` while they are uninitialised.
    values: Option<Tensor>,
    /// The same values in another format, cached for parameters that are read often, such as a bias.
    converted: OnceLock<Tensor>,
}

impl Debug for Buffer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} x {})", self.len, self.format.name())
    }
}

impl Buffer {
    /// Returns an uninitialised buffer, which takes no memory until it is written.
    pub(super) fn uninit(device: &SharedDevice, format: Format, len: usize) -> Self {
        Self {
            device: SharedDevice::clone(device),
            format,
            len,
            values: None,
            converted: OnceLock::new(),
        }
    }

    /// Uploads f32 values.
    pub(super) fn upload(device: &SharedDevice, values: &[f32]) -> Self {
        let mut buffer = Self::uninit(device, Format::F32, values.len());
        if !values.is_empty() {
            buffer.set(device.run(|| Tensor::from_slice(values, values.len(), device.tensors())));
        }
        buffer
    }

    /// Downloads the values as f32.
    pub(super) fn download(&self) -> Vec<f32> {
        if self.len == 0 {
            return Vec::new();
        }
        self.device.run(|| self.in_f32(self.len)?.to_vec1())
    }

    /// Returns a copy in new memory.
    pub(super) fn duplicate(&self) -> Self {
        let mut copy = Self::uninit(&self.device, self.format, self.len);
        if let Some(values) = &self.values {
            // `Tensor::copy` shares the memory on Metal.
            copy.set(self.device.run(|| values.force_contiguous()));
        }
        copy
    }

    /// Returns factor * the values in `format`, in new memory.
    pub(super) fn converted(&self, format: Format, factor: f32) -> Self {
        let mut converted = Self::uninit(&self.device, format, self.len);
        converted.set(self.device.run(|| {
            let values = self.values()?;
            if factor == 1.0 && format == self.format {
                return values.force_contiguous();
            }
            // f32 has the range that a scaled value may need.
            let scaled = if factor == 1.0 {
                values
            } else {
                values
                    .to_dtype(DType::F32)?
                    .affine(f64::from(factor), 0.0)?
            };
            scaled.to_dtype(dtype(format))
        }));
        converted
    }

    /// Replaces all values. `values` has any shape, and no other buffer has its memory.
    pub(super) fn set(&mut self, values: Tensor) {
        assert_eq!(
            (values.elem_count(), values.dtype()),
            (self.len, dtype(self.format)),
            "the result has the buffer's length and format"
        );
        let is_flat = values.rank() == 1 && values.is_contiguous();
        self.values = Some(if is_flat {
            values
        } else {
            self.device.run(|| values.flatten_all()?.contiguous())
        });
        self.converted = OnceLock::new();
    }

    /// Replaces the values from index `first` on.
    pub(super) fn patch(&mut self, first: usize, values: &Tensor) {
        if first == 0 && values.elem_count() == self.len {
            return self.set(values.clone());
        }
        self.write(|old| old.slice_set(&values.flatten_all()?.contiguous()?, 0, first));
    }

    /// Lets `work` write into the values in place. What was never written is 0.
    pub(super) fn write(&mut self, work: impl Fn(&Tensor) -> Result<()>) {
        let values = self.device.run(|| self.values());
        self.device.run(|| work(&values));
        self.values = Some(values);
        self.converted = OnceLock::new();
    }

    /// Returns the values in the buffer's format.
    pub(super) fn values(&self) -> Result<Tensor> {
        match &self.values {
            Some(values) => Ok(values.clone()),
            None => Tensor::zeros(self.len, dtype(self.format), self.device.tensors()),
        }
    }

    /// Returns the values in a shape, in the buffer's format.
    pub(super) fn shaped(&self, shape: impl ShapeWithOneHole) -> Result<Tensor> {
        self.values()?.reshape(shape)
    }

    /// Returns the values in a shape, in f32.
    pub(super) fn in_f32(&self, shape: impl ShapeWithOneHole) -> Result<Tensor> {
        self.shaped(shape)?.to_dtype(DType::F32)
    }

    /// Returns the values of a parameter in `format`; a conversion is made once and cached.
    pub(super) fn parameter(&self, format: DType) -> Result<Tensor> {
        if dtype(self.format) == format {
            return self.values();
        }
        if let Some(converted) = self.converted.get()
            && converted.dtype() == format
        {
            return Ok(converted.clone());
        }
        let converted = self.values()?.to_dtype(format)?;
        // Only one format is cached.
        drop(self.converted.set(converted.clone()));
        Ok(converted)
    }

    pub(super) fn device(&self) -> &SharedDevice {
        &self.device
    }

    /// Returns the storage format.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
