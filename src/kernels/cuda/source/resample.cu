// Nearest-neighbour resize, and im2col for convolutions as matrix products: `unfold` writes every
// output pixel's window as a row, `fold` is its adjoint. Maps are (picture, height, width,
// channels).

#include "primitives.cuh"

// Row and column of a pixel, and the index of its picture.
struct Pixel {
    unsigned picture, row, column;
};

__device__ __forceinline__ Pixel pixel_of(unsigned index, unsigned height, unsigned width) {
    const unsigned line = index / width, picture = line / height;
    return {picture, line - picture * height, index - line * width};
}

// Output cell `index` reads input cell index * from / to, rounded down.
KERNEL(upsample,
       (const T* __restrict__ x, T* __restrict__ y, unsigned channels, unsigned from_height, unsigned from_width, unsigned to_height,
        unsigned to_width, unsigned n),
       (x, y, channels, from_height, from_width, to_height, to_width, n)) {
    for_each(n, aligned_for_4(x, y) && channels % 4 == 0, [&](unsigned i, auto width) {
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const Pixel at = pixel_of(pixel, to_height, to_width);
        const unsigned row = at.row * from_height / to_height, column = at.column * from_width / to_width;
        const unsigned source = (at.picture * from_height + row) * from_width + column;
        copy<decltype(width)::count>(x + source * channels + channel, y + i);
    });
}

// First output cell that reads input cell `index` or a later one.
__device__ __forceinline__ unsigned first_reader(unsigned index, unsigned from, unsigned to) {
    return (index * to + from - 1) / from;
}

// dx is the sum of dy over the output cells that read it.
KERNEL(upsample_backward,
       (const T* __restrict__ dy, T* __restrict__ dx, unsigned channels, unsigned from_height, unsigned from_width, unsigned to_height,
        unsigned to_width, unsigned n),
       (dy, dx, channels, from_height, from_width, to_height, to_width, n)) {
    for_each(n, aligned_for_4(dy, dx) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const Pixel at = pixel_of(pixel, from_height, from_width);
        const unsigned last_row = first_reader(at.row + 1, from_height, to_height);
        const unsigned last_column = first_reader(at.column + 1, from_width, to_width);
        Vector<W> sums = {};
#pragma unroll 1
        for (unsigned row = first_reader(at.row, from_height, to_height); row < last_row; row++) {
#pragma unroll 1
            for (unsigned column = first_reader(at.column, from_width, to_width); column < last_column; column++) {
                const Vector<W> grad = load<W>(dy + ((at.picture * to_height + row) * to_width + column) * channels + channel);
                for (unsigned j = 0; j < W; j++) sums.at[j] += grad.at[j];
            }
        }
        store(dx + i, sums);
    });
}

// columns (rows, kernel, kernel, channels): windows of the output pixels first_row..first_row +
// rows, counted over all pictures; zeros outside the picture.
KERNEL(unfold,
       (const T* __restrict__ x, T* __restrict__ columns, unsigned channels, unsigned height, unsigned width, unsigned out_width,
        unsigned kernel, unsigned stride, unsigned pad, unsigned out_pixels, unsigned first_row, unsigned rows),
       (x, columns, channels, height, width, out_width, kernel, stride, pad, out_pixels, first_row, rows)) {
    const unsigned length = kernel * kernel * channels;
    for_each(rows * length, aligned_for_4(x, columns) && channels % 4 == 0, [&](unsigned i, auto count) {
        constexpr unsigned W = decltype(count)::count;
        const unsigned cell = i / channels, channel = i - cell * channels;
        const unsigned window = cell / (kernel * kernel), tap = cell - window * kernel * kernel;
        const Pixel out = pixel_of(first_row + window, out_pixels / out_width, out_width);
        // Above and left of the picture the subtraction wraps around to a large index.
        const unsigned row = out.row * stride + tap / kernel - pad, column = out.column * stride + tap % kernel - pad;
        if (row < height && column < width) {
            copy<W>(x + ((out.picture * height + row) * width + column) * channels + channel, columns + i);
        } else {
            store(columns + i, Vector<W>{});
        }
    });
}

// dx is the sum over the entries of columns (output pixels of all pictures, kernel, kernel,
// channels) that `unfold` copies it to.
KERNEL(fold,
       (const T* __restrict__ columns, T* __restrict__ dx, unsigned channels, unsigned height, unsigned width, unsigned out_height,
        unsigned out_width, unsigned kernel, unsigned stride, unsigned pad, unsigned n),
       (columns, dx, channels, height, width, out_height, out_width, kernel, stride, pad, n)) {
    for_each(n, aligned_for_4(columns, dx) && channels % 4 == 0, [&](unsigned i, auto count) {
        constexpr unsigned W = decltype(count)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const Pixel at = pixel_of(pixel, height, width);
        Vector<W> sums = {};
#pragma unroll 1
        for (unsigned kernel_row = 0; kernel_row < kernel; kernel_row++) {
            const unsigned padded_row = at.row + pad - kernel_row, row = padded_row / stride;
            // A wrapped subtraction is larger than any row.
            if (row * stride != padded_row || row >= out_height) continue;
#pragma unroll 1
            for (unsigned kernel_column = 0; kernel_column < kernel; kernel_column++) {
                const unsigned padded_column = at.column + pad - kernel_column, column = padded_column / stride;
                if (column * stride != padded_column || column >= out_width) continue;
                const unsigned window = (at.picture * out_height + row) * out_width + column;
                const unsigned cell = window * kernel * kernel + kernel_row * kernel + kernel_column;
                const Vector<W> grad = load<W>(columns + cell * channels + channel);
                for (unsigned j = 0; j < W; j++) sums.at[j] += grad.at[j];
            }
        }
        store(dx + i, sums);
    });
}
