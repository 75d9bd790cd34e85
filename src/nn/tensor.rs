//! Tensors: a shape and a shared buffer on a device.

use std::ops::Range;
use std::sync::Arc;

use crate::kernels::Backend;

/// (batch, height, width, channels), channels innermost. A sequence of tokens is a picture of one line: (batch, 1, tokens, channels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Pictures.
    pub batch: usize,
    /// Lines of a picture.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
}

impl Shape {
    /// Creates the shape (batch, height, width, channels).
    pub fn new(batch: usize, height: usize, width: usize, channels: usize) -> Self {
        Self {
            batch,
            height,
            width,
            channels,
        }
    }

    /// Returns the number of pixels of a picture.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Returns the number of pixels of all pictures.
    pub fn rows(&self) -> usize {
        self.batch * self.pixels()
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.rows() * self.channels
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns batch, height, width and channels.
    pub fn sizes(&self) -> [usize; 4] {
        [self.batch, self.height, self.width, self.channels]
    }

    /// Returns the shape with another number of channels.
    #[must_use]
    pub fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }
}

/// A dense tensor on a device. Cloning shares its buffer; writing to a shared buffer copies it first.
#[derive(Debug)]
pub struct Tensor<B: Backend> {
    backend: B,
    shape: Shape,
    storage: Arc<Storage<B>>,
}

impl<B: Backend> Clone for Tensor<B> {
    fn clone(&self) -> Self {
        Self {
            backend: self.backend.clone(),
            shape: self.shape,
            storage: Arc::clone(&self.storage),
        }
    }
}

/// A buffer, with the device that can copy it.
#[derive(Debug)]
struct Storage<B: Backend> {
    backend: B,
    buffer: B::Buffer,
}

impl<B: Backend> Clone for Storage<B> {
    fn clone(&self) -> Self {
        Self {
            backend: self.backend.clone(),
            buffer: self.backend.duplicate(&self.buffer),
        }
    }
}

impl<B: Backend> Tensor<B> {
    /// Copies elements from the host, in the order of the shape.
    ///
    /// # Panics
    /// When their number is not that of the shape.
    pub fn from_host(backend: &B, shape: Shape, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), shape.len(), "as many elements as the shape has");
        Self::from_buffer(backend, shape, backend.upload(data))
    }

    /// Creates a tensor from a buffer on the device.
    pub fn from_buffer(backend: &B, shape: Shape, buffer: B::Buffer) -> Self {
        Self {
            backend: backend.clone(),
            shape,
            storage: Arc::new(Storage {
                backend: backend.clone(),
                buffer,
            }),
        }
    }

    /// Copies a vector (1, 1, 1, len) from the host, such as a bias.
    pub fn vector(backend: &B, data: Vec<f32>) -> Self {
        Self::from_host(backend, Shape::new(1, 1, 1, data.len()), data)
    }

    /// Returns zeros, stored as f32.
    pub fn zeros(backend: &B, shape: Shape) -> Self {
        Self::from_buffer(backend, shape, backend.zeros(shape.len()))
    }

    /// Returns an uninitialised tensor, stored as f32; overwrite it before reading.
    pub fn uninit(backend: &B, shape: Shape) -> Self {
        Self::from_buffer(backend, shape, backend.uninit(shape.len()))
    }

    /// Returns an uninitialised tensor in the number format of `self`; overwrite it before reading.
    #[must_use]
    pub fn uninit_like(&self, shape: Shape) -> Self {
        Self::from_buffer(
            &self.backend,
            shape,
            self.backend.uninit_like(self.buffer(), shape.len()),
        )
    }

    /// Returns uninitialised tensors as [`Tensor::uninit_like`], laid out so that one call can write all of them where the device has such
    /// calls.
    #[must_use]
    pub fn planes<const N: usize>(&self, shape: Shape) -> [Self; N] {
        let planes = self.backend.uninit_planes(self.buffer(), shape.len());
        planes.map(|plane| Self::from_buffer(&self.backend, shape, plane))
    }

    /// Returns the tensor that `fill` writes, in the number format of `self`; `fill` gets an uninitialised buffer and must overwrite all of it.
    #[must_use]
    pub fn build(&self, shape: Shape, fill: impl FnOnce(&mut B::Buffer)) -> Self {
        let mut tensor = self.uninit_like(shape);
        fill(tensor.buffer_mut());
        tensor
    }

    /// Returns factor * self in the number format of activations of `backend`.
    #[must_use]
    pub fn compact(&self, backend: &B, factor: f32) -> Self {
        self.converted(backend, backend.compact(self.buffer(), factor))
    }

    /// Returns factor * self, stored as f32.
    #[must_use]
    pub fn full(&self, factor: f32) -> Self {
        self.converted(&self.backend, self.backend.full(self.buffer(), factor))
    }

    /// Returns the tensor with another buffer, or sharing its own.
    fn converted(&self, backend: &B, buffer: Option<B::Buffer>) -> Self {
        match buffer {
            Some(buffer) => Self::from_buffer(backend, self.shape, buffer),
            None => Self {
                backend: backend.clone(),
                ..self.clone()
            },
        }
    }

    /// Returns copies that one call copies again where the device has a use for such ([`Backend::copied_together`]), else the same tensors.
    pub fn copied_together(backend: &B, tensors: Vec<Self>, are_read_compact: bool) -> Vec<Self> {
        let buffers: Vec<&B::Buffer> = tensors.iter().map(Self::buffer).collect();
        let Some(copies) = backend.copied_together(&buffers, are_read_compact) else {
            return tensors;
        };
        let copies = tensors.iter().zip(copies);
        copies
            .map(|(tensor, copy)| Self::from_buffer(backend, tensor.shape, copy))
            .collect()
    }

    /// Returns the device.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Returns the shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the elements on the device.
    pub fn buffer(&self) -> &B::Buffer {
        &self.storage.buffer
    }

    /// Returns the elements on the device for writing; copies them first when they are shared.
    pub fn buffer_mut(&mut self) -> &mut B::Buffer {
        &mut Arc::make_mut(&mut self.storage).buffer
    }

    /// Copies the elements to the host.
    pub fn to_host(&self) -> Vec<f32> {
        self.backend.download(self.buffer())
    }

    /// Whether all elements are finite.
    pub fn is_finite(&self) -> bool {
        self.backend.all_finite(self.buffer())
    }

    /// Returns self + other.
    ///
    /// # Panics
    /// When the shapes differ.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.combined(1.0, 1.0, other)
    }

    /// Returns a * self + b * other.
    ///
    /// # Panics
    /// When the shapes differ.
    #[must_use]
    pub fn combined(mut self, a: f32, b: f32, other: &Self) -> Self {
        assert_eq!(self.shape, other.shape, "the summands have equal shapes");
        let backend = self.backend.clone();
        backend.combine(a, self.buffer_mut(), b, other.buffer());
        self
    }

    /// As [`Tensor::combined`] with the factors a = factors\[first\] and b = factors\[first + 1\]; all tensors are stored as f32. A pass that
    /// is repeated may have other factors in each run.
    ///
    /// # Panics
    /// When the shapes differ, or there are no such factors.
    #[must_use]
    pub fn combined_by(mut self, factors: &Self, first: usize, other: &Self) -> Self {
        assert_eq!(self.shape, other.shape, "the summands have equal shapes");
        let backend = self.backend.clone();
        backend.combine_by(factors.buffer(), first, self.buffer_mut(), other.buffer());
        self
    }

    /// Splits the channels into the first `left` and the others.
    ///
    /// # Panics
    /// When there are fewer than `left`.
    pub fn split(&self, left: usize) -> (Self, Self) {
        let channels = self.shape.channels;
        let part = |from: usize, count: usize| {
            self.build(self.shape.with_channels(count), |y| {
                self.backend
                    .copy_columns(count, self.buffer(), channels, from, y, count, 0);
            })
        };
        (part(0, left), part(left, channels - left))
    }

    /// Returns the sum over the batch (1, height, width, channels).
    #[must_use]
    pub fn summed(&self) -> Self {
        self.build(
            Shape {
                batch: 1,
                ..self.shape
            },
            |y| self.backend.sum_pictures(self.buffer(), y),
        )
    }

    /// Returns the pixels of every picture followed by those of `other` (batch, 1, pixels of both, channels). With one picture, `other` follows
    /// every picture.
    ///
    /// # Panics
    /// When the channels differ, or `other` has neither one picture nor as many.
    #[must_use]
    pub fn followed_by(&self, other: &Self) -> Self {
        let (batch, channels) = (self.shape.batch, self.shape.channels);
        assert_eq!(channels, other.shape.channels, "pixels of one kind");
        let other = match other.shape.batch {
            1 => Self::stacked(&vec![other.clone(); batch]),
            _ => other.clone(),
        };
        assert_eq!(batch, other.shape.batch, "one picture follows another");
        let pixels = [self.shape.pixels(), other.shape.pixels()];
        let [own, more] = pixels.map(|pixels| pixels * channels);
        let shape = Shape::new(batch, 1, pixels[0] + pixels[1], channels);
        self.build(shape, |y| {
            let backend = &self.backend;
            backend.copy_columns(own, self.buffer(), own, 0, y, own + more, 0);
            backend.copy_columns(more, other.buffer(), more, 0, y, own + more, own);
        })
    }

    /// Concatenates batches; a single part is returned as it is, sharing its buffer.
    ///
    /// # Panics
    /// When there is no part, or height, width or channels differ.
    #[must_use]
    pub fn stacked(parts: &[Self]) -> Self {
        let first = &parts[0];
        if parts.len() == 1 {
            return first.clone();
        }
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
            "stacked pictures have equal sizes"
        );
        let mut offset = 0;
        first.build(shape, |y| {
            for part in parts {
                let len = part.shape.len();
                first
                    .backend
                    .copy_columns(len, part.buffer(), len, 0, y, shape.len(), offset);
                offset += len;
            }
        })
    }

    /// Returns picture `index` of the batch (1, height, width, channels).
    ///
    /// # Panics
    /// When there is no such picture.
    #[must_use]
    pub fn picture(&self, index: usize) -> Self {
        self.pictures(index..index + 1)
    }

    /// Returns a range of the batch; the whole range shares the buffer.
    ///
    /// # Panics
    /// When the batch has fewer pictures.
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
                .copy_columns(len, self.buffer(), self.shape.len(), first, y, len, 0);
        })
    }
}
