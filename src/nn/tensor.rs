//! An activation: a shape and a shared buffer on a device.

use std::ops::Range;
use std::sync::Arc;

use crate::kernels::Backend;

/// (batch, height, width, channels). Tokens are pixels: an attention does not care how they lie in the plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Pictures.
    pub batch: usize,
    /// Lines of a picture.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Numbers of a pixel.
    pub channels: usize,
}

impl Shape {
    /// The shape (batch, height, width, channels).
    pub fn new(batch: usize, height: usize, width: usize, channels: usize) -> Self {
        Self {
            batch,
            height,
            width,
            channels,
        }
    }

    /// Pixels of one picture.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Pixels of all pictures.
    pub fn rows(&self) -> usize {
        self.batch * self.pixels()
    }

    /// Numbers in all.
    pub fn len(&self) -> usize {
        self.rows() * self.channels
    }

    /// Is there no number at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same plane with other channels.
    #[must_use]
    pub fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }
}

/// Numbers of a shape on a device. Cloning shares them; an operation that changes a tensor copies shared numbers first.
#[derive(Debug)]
pub struct Tensor<B: Backend> {
    backend: B,
    shape: Shape,
    buffer: Arc<B::Buffer>,
}

impl<B: Backend> Clone for Tensor<B> {
    fn clone(&self) -> Self {
        Self {
            backend: self.backend.clone(),
            shape: self.shape,
            buffer: Arc::clone(&self.buffer),
        }
    }
}

impl<B: Backend> Tensor<B> {
    /// Numbers from the host, in the shape's order.
    ///
    /// # Panics
    /// When their count is not the shape's.
    pub fn from_host(backend: &B, shape: Shape, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), shape.len(), "the numbers fill the shape");
        Self::from_buffer(backend, shape, backend.upload(data))
    }

    /// A buffer that is already on the device.
    pub fn from_buffer(backend: &B, shape: Shape, buffer: B::Buffer) -> Self {
        Self {
            backend: backend.clone(),
            shape,
            buffer: Arc::new(buffer),
        }
    }

    /// A flat list of numbers, such as a bias.
    pub fn vector(backend: &B, data: Vec<f32>) -> Self {
        Self::from_host(backend, Shape::new(1, 1, 1, data.len()), data)
    }

    /// Zeros, as f32.
    pub fn zeros(backend: &B, shape: Shape) -> Self {
        Self::from_buffer(backend, shape, backend.zeros(shape.len()))
    }

    /// Any f32 numbers, for one who overwrites all of them.
    pub fn uninit(backend: &B, shape: Shape) -> Self {
        Self::from_buffer(backend, shape, backend.uninit(shape.len()))
    }

    /// Any numbers, stored as those of `self` are, for one who overwrites all of them.
    #[must_use]
    pub fn uninit_like(&self, shape: Shape) -> Self {
        Self::from_buffer(
            &self.backend,
            shape,
            self.backend.uninit_like(&self.buffer, shape.len()),
        )
    }

    /// The tensor that `fill` writes, all of it, into a buffer of any numbers, stored as those of `self` are.
    #[must_use]
    pub fn build(&self, shape: Shape, fill: impl FnOnce(&mut B::Buffer)) -> Self {
        let mut tensor = self.uninit_like(shape);
        fill(tensor.buffer_mut());
        tensor
    }

    /// factor * self, stored as the activations of `backend` are.
    #[must_use]
    pub fn compact(&self, backend: &B, factor: f32) -> Self {
        self.stored(backend, backend.compact(&self.buffer, factor))
    }

    /// factor * self, stored as f32.
    #[must_use]
    pub fn full(&self, factor: f32) -> Self {
        self.stored(&self.backend, self.backend.full(&self.buffer, factor))
    }

    fn stored(&self, backend: &B, buffer: Option<B::Buffer>) -> Self {
        let buffer = buffer.map_or_else(|| Arc::clone(&self.buffer), Arc::new);
        Self {
            backend: backend.clone(),
            shape: self.shape,
            buffer,
        }
    }

    /// The device.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// (batch, height, width, channels).
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The numbers on the device.
    pub fn buffer(&self) -> &B::Buffer {
        &self.buffer
    }

    /// The numbers on the device, for writing; a copy of them when they are shared.
    pub fn buffer_mut(&mut self) -> &mut B::Buffer {
        if Arc::get_mut(&mut self.buffer).is_none() {
            self.buffer = Arc::new(self.backend.duplicate(&self.buffer));
        }
        Arc::get_mut(&mut self.buffer)
            .unwrap_or_else(|| unreachable!("the buffer was just made unique"))
    }

    /// The numbers on the host.
    pub fn to_host(&self) -> Vec<f32> {
        self.backend.download(&self.buffer)
    }

    /// Is every number finite?
    pub fn is_finite(&self) -> bool {
        self.backend.all_finite(&self.buffer)
    }

    /// self + other.
    ///
    /// # Panics
    /// When the shapes differ.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.combined(1.0, 1.0, other)
    }

    /// a * self + b * other.
    ///
    /// # Panics
    /// When the shapes differ.
    #[must_use]
    pub fn combined(mut self, a: f32, b: f32, other: &Self) -> Self {
        assert_eq!(self.shape, other.shape, "sums are of equal shapes");
        let backend = self.backend.clone();
        backend.combine(a, self.buffer_mut(), b, &other.buffer);
        self
    }

    /// Channels of `self`, then those of `other`.
    ///
    /// # Panics
    /// When the planes differ.
    #[must_use]
    pub fn concatenated(&self, other: &Self) -> Self {
        let (left, right) = (self.shape.channels, other.shape.channels);
        let shape = self.shape.with_channels(left + right);
        assert_eq!(
            self.shape,
            other.shape.with_channels(left),
            "channels are joined over equal planes"
        );
        self.build(shape, |y| {
            self.backend
                .copy_columns(left, &self.buffer, left, 0, y, left + right, 0);
            self.backend
                .copy_columns(right, &other.buffer, right, 0, y, left + right, left);
        })
    }

    /// The first `left` channels, and the others.
    ///
    /// # Panics
    /// When there are fewer than `left`.
    pub fn split(&self, left: usize) -> (Self, Self) {
        let channels = self.shape.channels;
        let part = |from: usize, count: usize| {
            self.build(self.shape.with_channels(count), |y| {
                self.backend
                    .copy_columns(count, &self.buffer, channels, from, y, count, 0);
            })
        };
        (part(0, left), part(left, channels - left))
    }

    /// The pictures' sum: one picture.
    #[must_use]
    pub fn summed(&self) -> Self {
        self.build(
            Shape {
                batch: 1,
                ..self.shape
            },
            |y| self.backend.sum_pictures(&self.buffer, y),
        )
    }

    /// Pictures of all `parts`, one after the other; `None` when there is no part.
    ///
    /// # Panics
    /// When the parts' pictures differ in size.
    pub fn stacked(parts: &[Self]) -> Option<Self> {
        let first = parts.first()?;
        let shape = Shape {
            batch: parts.iter().map(|part| part.shape.batch).sum(),
            ..first.shape
        };
        assert!(
            parts.iter().all(|part| part.shape
                == Shape {
                    batch: part.shape.batch,
                    ..shape
                }),
            "stacked pictures have one size"
        );
        let mut offset = 0;
        Some(first.build(shape, |y| {
            for part in parts {
                let len = part.shape.len();
                first
                    .backend
                    .copy_columns(len, &part.buffer, len, 0, y, shape.len(), offset);
                offset += len;
            }
        }))
    }

    /// Picture `index` alone.
    ///
    /// # Panics
    /// When there is no such picture.
    #[must_use]
    pub fn picture(&self, index: usize) -> Self {
        self.pictures(index..index + 1)
    }

    /// Some pictures, in their order; the tensor itself where they are all.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn pictures(&self, which: Range<usize>) -> Self {
        assert!(
            which.end <= self.shape.batch,
            "pictures {which:?} of {}",
            self.shape.batch
        );
        if which == (0..self.shape.batch) {
            return self.clone();
        }
        let shape = Shape {
            batch: which.len(),
            ..self.shape
        };
        let (first, len) = (which.start * shape.pixels() * shape.channels, shape.len());
        self.build(shape, |y| {
            self.backend
                .copy_columns(len, &self.buffer, self.shape.len(), first, y, len, 0)
        })
    }

    /// Are these the same numbers in the same place?
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer)
    }
}
