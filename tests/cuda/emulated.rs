//! A stand-in for a GPU: memory of the process, the real kernels compiled for the processor (emulator.hpp), and plain loops in the
//! place of the libraries for products and convolutions. It is slow and exact, and it refuses what a GPU would refuse.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dragnext::kernels::cuda::driver::{
    Address, Convolution, ConvolutionData, ConvolutionOutcome, Direction, Driver, Format, Gemm,
    KernelArgument, Launch, MatrixView, MemoryInfo,
};
use dragnext::kernels::fault::DeviceFault;
use half::{bf16, f16};

use super::compiled::kernels;

/// What memory holds before anybody writes to it: not a number in any format.
const FRESH: u8 = 0xff;

/// What the stand-in does with convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// Nothing: as where cuDNN is missing.
    Absent,
    /// Convolutions without what is added to them.
    Bare,
    /// All of it.
    Whole,
}

/// A GPU that is none.
#[derive(Debug)]
pub(crate) struct Emulated {
    library: Library,
    limit: usize,
    state: Mutex<State>,
    /// Launches and library calls that were asked for.
    pub(crate) calls: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of every piece of memory that was given out, by where it begins.
    given: BTreeMap<u64, usize>,
    held: usize,
}

impl Emulated {
    pub(crate) fn new(library: Library) -> Self {
        Self::with_memory(library, usize::MAX)
    }

    /// With no more than `limit` bytes of memory.
    pub(crate) fn with_memory(library: Library, limit: usize) -> Self {
        Self {
            library,
            limit,
            state: Mutex::default(),
            calls: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is all of this inside memory that was given out?
    fn check(&self, address: Address, bytes: usize) {
        let state = self.state();
        let inside = state
            .given
            .range(..=address.0)
            .next_back()
            .is_some_and(|(start, given)| address.0 + bytes as u64 <= start + *given as u64);
        assert!(inside, "{bytes} bytes at {:#x} are nobody's", address.0);
    }

    fn number(format: Format, address: Address, index: usize) -> f32 {
        let at = address.0 as usize + index * format.bytes();
        // SAFETY: every product and convolution checks its operands against the memory that was given out.
        unsafe {
            match format {
                Format::F32 => (at as *const f32).read(),
                Format::F16 => (at as *const f16).read().to_f32(),
                Format::Bf16 => (at as *const bf16).read().to_f32(),
            }
        }
    }

    fn set(format: Format, address: Address, index: usize, value: f32) {
        let at = address.0 as usize + index * format.bytes();
        // SAFETY: as above.
        unsafe {
            match format {
                Format::F32 => (at as *mut f32).write(value),
                Format::F16 => (at as *mut f16).write(f16::from_f32(value)),
                Format::Bf16 => (at as *mut bf16).write(bf16::from_f32(value)),
            }
        }
    }

    /// A matrix of `rows` and `cols`, row by row, as f32.
    fn matrix(
        &self,
        stored: MatrixView,
        batch: usize,
        [rows, cols]: [usize; 2],
        transposed: bool,
    ) -> Vec<f32> {
        let [stored_rows, stored_cols] = if transposed {
            [cols, rows]
        } else {
            [rows, cols]
        };
        assert!(stored.stride >= stored_cols, "rows do not overlap");
        let start = stored
            .address
            .plus(batch * stored.batch_stride * stored.format.bytes());
        self.check(
            start,
            ((stored_rows - 1) * stored.stride + stored_cols) * stored.format.bytes(),
        );
        let at = |row: usize, col: usize| {
            if transposed {
                col * stored.stride + row
            } else {
                row * stored.stride + col
            }
        };
        (0..rows * cols)
            .map(|index| Self::number(stored.format, start, at(index / cols, index % cols)))
            .collect()
    }

    fn picture(&self, format: Format, address: Address, len: usize) -> Vec<f32> {
        self.check(address, len * format.bytes());
        (0..len)
            .map(|index| Self::number(format, address, index))
            .collect()
    }
}

/// a (rows, inner) times b (inner, cols).
fn multiplied(a: &[f32], b: &[f32], [rows, inner, cols]: [usize; 3]) -> Vec<f32> {
    let mut c = vec![0.0; rows * cols];
    for (a, c) in a.chunks_exact(inner).zip(c.chunks_exact_mut(cols)) {
        for (a, b) in a.iter().zip(b.chunks_exact(cols)) {
            c.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
        }
    }
    c
}

impl Driver for Emulated {
    fn allocate(&self, bytes: usize) -> Result<Address, DeviceFault> {
        let mut state = self.state();
        let free = self.limit.saturating_sub(state.held);
        if bytes > free {
            return Err(DeviceFault::OutOfMemory {
                need: bytes as u64,
                free: free as u64,
                total: self.limit as u64,
            });
        }
        let layout = Layout::from_size_align(bytes, 256).expect("a size");
        // SAFETY: the size is not zero, and the memory is written before it is given out.
        let address = unsafe {
            let memory = alloc(layout);
            assert!(!memory.is_null(), "the host has memory");
            memory.write_bytes(FRESH, bytes);
            memory as u64
        };
        state.given.insert(address, bytes);
        state.held += bytes;
        Ok(Address(address))
    }

    fn free(&self, address: Address) {
        let mut state = self.state();
        let bytes = state
            .given
            .remove(&address.0)
            .expect("what is freed was given");
        state.held -= bytes;
        // SAFETY: it was allocated with this size and alignment, and nobody has it any more.
        unsafe {
            dealloc(
                address.0 as *mut u8,
                Layout::from_size_align(bytes, 256).expect("a size"),
            )
        };
    }

    fn write(&self, to: Address, bytes: &[u8]) -> Result<(), DeviceFault> {
        self.check(to, bytes.len());
        // SAFETY: the place was checked, and the host's bytes are elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.0 as *mut u8, bytes.len()) };
        Ok(())
    }

    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceFault> {
        self.check(from, bytes.len());
        // SAFETY: as above.
        unsafe {
            std::ptr::copy_nonoverlapping(from.0 as *const u8, bytes.as_mut_ptr(), bytes.len())
        };
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.check(from, bytes);
        self.check(to, bytes);
        assert!(
            from.0.abs_diff(to.0) >= bytes as u64,
            "the places do not overlap"
        );
        // SAFETY: both places were checked.
        unsafe { std::ptr::copy_nonoverlapping(from.0 as *const u8, to.0 as *mut u8, bytes) };
        Ok(())
    }

    fn clear(&self, to: Address, bytes: usize) -> Result<(), DeviceFault> {
        self.check(to, bytes);
        // SAFETY: the place was checked.
        unsafe { (to.0 as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    fn launch(&self, launch: &Launch) -> Result<(), DeviceFault> {
        type Entry =
            unsafe extern "C" fn(*const i8, *const u32, u32, u32, *const *const c_void, u32) -> i32;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let library = kernels().expect("a test asks whether kernels can be run");
        let name = CString::new(launch.kernel).expect("a name");
        let values: Vec<*const c_void> = launch
            .arguments
            .iter()
            .map(|argument| match argument {
                KernelArgument::Pointer(Address(address)) => std::ptr::from_ref(address).cast(),
                KernelArgument::U32(count) => std::ptr::from_ref(count).cast(),
                KernelArgument::F32(number) => std::ptr::from_ref(number).cast(),
            })
            .collect();
        // SAFETY: the emulator checks name, count of arguments and sizes, and the kernels' own reads and writes are what is tested.
        let status = unsafe {
            let entry = library
                .get::<Entry>(b"emulator_launch")
                .expect("the emulator's entry");
            let blocks = launch.blocks.as_ptr();
            entry(
                name.as_ptr().cast(),
                blocks,
                launch.threads,
                launch.shared,
                values.as_ptr(),
                values.len() as u32,
            )
        };
        let reason = [
            "",
            "no kernel has this name",
            "it takes other arguments",
            "no GPU takes these sizes",
        ][status as usize];
        assert_eq!(status, 0, "{}: {reason}: {launch:?}", launch.kernel);
        Ok(())
    }

    fn gemm(&self, product: &Gemm) -> Result<(), DeviceFault> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Gemm {
            rows,
            cols,
            inner,
            batch,
            alpha,
            a,
            a_transposed,
            b,
            b_transposed,
            c,
            add,
            bias,
        } = *product;
        assert_eq!(a.format, b.format, "one format for both factors");
        assert!(
            [a.format, Format::F32].contains(&c.format),
            "results are stored as the factors are, or as f32"
        );
        assert!(bias.is_none() || batch == 1, "a bias is for one matrix");
        let bias = bias.map(|bias| self.picture(c.format, bias, cols));
        for index in 0..batch {
            let left = self.matrix(a, index, [rows, inner], a_transposed);
            let right = self.matrix(b, index, [inner, cols], b_transposed);
            let old = add.map(|(old, beta)| {
                assert_eq!(
                    old.format, c.format,
                    "what is added to is stored as the result is"
                );
                (self.matrix(old, index, [rows, cols], false), beta)
            });
            let to = c.address.plus(index * c.batch_stride * c.format.bytes());
            self.check(to, ((rows - 1) * c.stride + cols) * c.format.bytes());
            for (at, sum) in multiplied(&left, &right, [rows, inner, cols])
                .into_iter()
                .enumerate()
            {
                let old = old.as_ref().map_or(0.0, |(old, beta)| beta * old[at]);
                let bias = bias.as_ref().map_or(0.0, |bias| bias[at % cols]);
                Self::set(
                    c.format,
                    to,
                    at / cols * c.stride + at % cols,
                    alpha * sum + old + bias,
                );
            }
        }
        Ok(())
    }

    fn convolution(
        &self,
        shape: &Convolution,
        data: &ConvolutionData,
    ) -> Result<ConvolutionOutcome, DeviceFault> {
        if self.library == Library::Absent {
            return Ok(ConvolutionOutcome::Unsupported);
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Convolution {
            direction,
            format,
            batch,
            input,
            output,
            kernel,
            ..
        } = *shape;
        let lengths =
            [input, output].map(|[height, width, channels]| batch * height * width * channels);
        let weight = self.picture(format, data.weight, output[2] * kernel * kernel * input[2]);
        let (from, to) = if direction == Direction::Forward {
            (lengths[0], lengths[1])
        } else {
            (lengths[1], lengths[0])
        };
        let from = self.picture(format, data.from, from);
        let mut sums = vec![0.0f32; to];
        for_each_tap(shape, |x, y, w| {
            // x and y are pixels, w is the place of the tap among a channel's weights.
            for out in 0..output[2] {
                let weights =
                    &weight[out * kernel * kernel * input[2] + w * input[2]..][..input[2]];
                let at = y * output[2] + out;
                if direction == Direction::Forward {
                    let x = &from[x * input[2]..][..input[2]];
                    sums[at] += x.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>();
                } else {
                    let dx = &mut sums[x * input[2]..][..input[2]];
                    dx.iter_mut()
                        .zip(weights)
                        .for_each(|(dx, w)| *dx += from[at] * w);
                }
            }
        });
        self.check(data.to, to * format.bytes());
        let whole = self.library == Library::Whole;
        let bias = data
            .bias
            .filter(|_| whole)
            .map(|bias| self.picture(format, bias, output[2]));
        let residual = data
            .residual
            .filter(|_| whole)
            .map(|residual| self.picture(format, residual, to));
        for (index, sum) in sums.into_iter().enumerate() {
            let added = bias.as_ref().map_or(0.0, |bias| bias[index % output[2]])
                + residual.as_ref().map_or(0.0, |residual| residual[index]);
            Self::set(format, data.to, index, sum + added);
        }
        Ok(if whole {
            ConvolutionOutcome::Full
        } else {
            ConvolutionOutcome::Partial
        })
    }

    fn memory(&self) -> MemoryInfo {
        let held = self.state().held;
        MemoryInfo {
            free: (self.limit - held) as u64,
            total: self.limit as u64,
        }
    }

    fn description(&self) -> String {
        "emulated".into()
    }

    fn multiprocessors(&self) -> u32 {
        // Few, because blocks run one after another; more than one, so that sums are split.
        3
    }
}

/// Every pair of an input and an output pixel that a tap connects.
fn for_each_tap(shape: &Convolution, mut tap: impl FnMut(usize, usize, usize)) {
    let ([height, width, _], [out_height, out_width, _]) = (shape.input, shape.output);
    for picture in 0..shape.batch {
        for (row, column) in
            (0..out_height).flat_map(|row| (0..out_width).map(move |column| (row, column)))
        {
            for (down, right) in
                (0..shape.kernel).flat_map(|down| (0..shape.kernel).map(move |right| (down, right)))
            {
                let (y, x) = (row * shape.stride + down, column * shape.stride + right);
                if y < shape.pad
                    || x < shape.pad
                    || y - shape.pad >= height
                    || x - shape.pad >= width
                {
                    continue;
                }
                let from = (picture * height + y - shape.pad) * width + x - shape.pad;
                tap(
                    from,
                    (picture * out_height + row) * out_width + column,
                    down * shape.kernel + right,
                );
            }
        }
    }
}
