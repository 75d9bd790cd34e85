// Nearest neighbour resize, and convolutions as products: every output pixel's window as a row (unfold), and its way back (fold).
// Pictures are (picture, height, width, channels).

#include "primitives.cuh"

// Row and column of a pixel, and the number of its picture.
struct Pixel {
    unsigned picture, row, column;
};

__device__ __forceinline__ Pixel pixel_of(unsigned index, unsigned height, unsigned width) {
    const unsigned line = index / width, picture = line / height;
    return {picture, line - picture * height, index - line * width};
}

// Cell `index` of `to` reads cell index * from / to, rounded down.
KERNEL(upsample,
       (const T* __restrict__ x, T* __restrict__ y, unsigned channels, unsigned from_height, unsigned from_width, unsigned to_height,
        unsigned to_width, unsigned n),
       (x, y, channels, from_height, from_width, to_height, to_width, n)) {
    each(n, in_fours(x, y) && channels % 4 == 0, [&](unsigned i, auto width) {
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const Pixel at = pixel_of(pixel, to_height, to_width);
        const unsigned row = at.row * from_height / to_height, column = at.column * from_width / to_width;
        const unsigned source = (at.picture * from_height + row) * from_width + column;
        copy<decltype(width)::count>(x + source * channels + channel, y + i);
    });
}

// The first cell of `to` that does not read a cell before `index`.
__device__ __forceinline__ unsigned first_reader(unsigned index, unsigned from, unsigned to) {
    return (index * to + from - 1) / from;
}

// dx is the sum over the cells that read it.
KERNEL(upsample_backward,
       (const T* __restrict__ dy, T* __restrict__ dx, unsigned channels, unsigned from_height, unsigned from_width, unsigned to_height,
        unsigned to_width, unsigned n),
       (dy, dx, channels, from_height, from_width, to_height, to_width, n)) {
    each(n, in_fours(dy, dx) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const Pixel at = pixel_of(pixel, from_height, from_width);
        const unsigned last_row = first_reader(at.row + 1, from_height, to_height);
        const unsigned last_column = first_reader(at.column + 1, from_width, to_width);
        Numbers<W> sums = {};
#pragma unroll 1
        for (unsigned row = first_reader(at.row, from_height, to_height); row < last_row; row++) {
#pragma unroll 1
            for (unsigned column = first_reader(at.column, from_width, to_width); column < last_column; column++) {
                const Numbers<W> slope = load<W>(dy + ((at.picture * to_height + row) * to_width + column) * channels + channel);
                for (unsigned j = 0; j < W; j++) sums.at[j] += slope.at[j];
            }
        }
        store(dx + i, sums);
    });
}

// Output pixels first_row..first_row + rows of all pictures, in order: columns (rows, kernel, kernel, channels), zeros outside the picture.
KERNEL(unfold,
       (const T* __restrict__ x, T* __restrict__ columns, unsigned channels, unsigned height, unsigned width, unsigned out_width,
        unsigned kernel, unsigned stride, unsigned pad, unsigned out_pixels, unsigned first_row, unsigned rows),
       (x, columns, channels, height, width, out_width, kernel, stride, pad, out_pixels, first_row, rows)) {
    const unsigned length = kernel * kernel * channels;
    each(rows * length, in_fours(x, columns) && channels % 4 == 0, [&](unsigned i, auto count) {
        constexpr unsigned W = decltype(count)::count;
        const unsigned cell = i / channels, channel = i - cell * channels;
        const unsigned row = cell / (kernel * kernel), tap = cell - row * kernel * kernel;
        const Pixel out = pixel_of(first_row + row, out_pixels / out_width, out_width);
        // Above and left of the picture these pass below 0, and so become very large.
        const unsigned y = out.row * stride + tap / kernel - pad, z = out.column * stride + tap % kernel - pad;
        if (y < height && z < width) {
            copy<W>(x + ((out.picture * height + y) * width + z) * channels + channel, columns + i);
        } else {
            store(columns + i, Numbers<W>{});
        }
    });
}

// dx is the sum over the places of columns (out pixels of all pictures, kernel, kernel, channels) that `unfold` copies it to.
KERNEL(fold,
       (const T* __restrict__ columns, T* __restrict__ dx, unsigned channels, unsigned height, unsigned width, unsigned out_height,
        unsigned out_width, unsigned kernel, unsigned stride, unsigned pad, unsigned n),
       (columns, dx, channels, height, width, out_height, out_width, kernel, stride, pad, n)) {
    each(n, in_fours(columns, dx) && channels % 4 == 0, [&](unsigned i, auto count) {
        constexpr unsigned W = decltype(count)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const Pixel at = pixel_of(pixel, height, width);
        Numbers<W> sums = {};
#pragma unroll 1
        for (unsigned down = 0; down < kernel; down++) {
            const unsigned y = at.row + pad - down, row = y / stride;
            // What passed below 0 is too large for a row.
            if (row * stride != y || row >= out_height) continue;
#pragma unroll 1
            for (unsigned right = 0; right < kernel; right++) {
                const unsigned z = at.column + pad - right, column = z / stride;
                if (column * stride != z || column >= out_width) continue;
                const unsigned cell = ((at.picture * out_height + row) * out_width + column) * kernel * kernel + down * kernel + right;
                const Numbers<W> slope = load<W>(columns + cell * channels + channel);
                for (unsigned j = 0; j < W; j++) sums.at[j] += slope.at[j];
            }
        }
        store(dx + i, sums);
    });
}
