// One number of the result from one or two numbers of each operand: conversions, sums, activations, columns. Also the rows of a linear
// layer that are too few to be worth a product of matrices.

#include "primitives.cuh"

// y = factor * x.
template <typename From, typename To>
__device__ __forceinline__ void convert(const From* __restrict__ x, To* __restrict__ y, float factor, unsigned n) {
    each(n, in_fours(x, y), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Numbers<W> numbers = load<W>(x + i);
        for (float& number : numbers.at) number *= factor;
        store(y + i, numbers);
    });
}

#define CONVERT(from, to)                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                                     \
        convert_##from##_to_##to(const from* __restrict__ x, to* __restrict__ y, float factor, unsigned n) { \
        convert(x, y, factor, n);                                                                         \
    }                                                                                                     \
    REGISTER(convert_##from##_to_##to)
CONVERT(f32, f32)
CONVERT(f32, f16)
CONVERT(f32, bf16)
CONVERT(f16, f32)
CONVERT(f16, f16)
CONVERT(f16, bf16)
CONVERT(bf16, f32)
CONVERT(bf16, f16)
CONVERT(bf16, bf16)
#undef CONVERT

// y = a * y + b * x.
KERNEL(combine, (float a, T* __restrict__ y, float b, const T* __restrict__ x, unsigned n), (a, y, b, x, n)) {
    each(n, in_fours(x, y), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Numbers<W> numbers = load<W>(y + i);
        const Numbers<W> added = load<W>(x + i);
        for (unsigned j = 0; j < W; j++) numbers.at[j] = a * numbers.at[j] + b * added.at[j];
        store(y + i, numbers);
    });
}

// y (length) = the sum of x (pictures, length) over the pictures.
KERNEL(sum_pictures, (const T* __restrict__ x, T* __restrict__ y, unsigned length, unsigned pictures), (x, y, length, pictures)) {
    each(length, in_fours(x, y) && length % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Numbers<W> sums = load<W>(x + i);
#pragma unroll 1
        for (unsigned picture = 1; picture < pictures; picture++) {
            const Numbers<W> numbers = load<W>(x + picture * length + i);
            for (unsigned j = 0; j < W; j++) sums.at[j] += numbers.at[j];
        }
        store(y + i, sums);
    });
}

// y (cells, channels) = x where the cell's mask is above one half.
KERNEL(select, (const float* __restrict__ mask, const T* __restrict__ x, T* __restrict__ y, unsigned channels, unsigned n),
       (mask, x, y, channels, n)) {
    each(n, in_fours(x, y) && channels % 4 == 0, [&](unsigned i, auto width) {
        if (mask[i / channels] > 0.5f) copy<decltype(width)::count>(x + i, y + i);
    });
}

// y = x * sigmoid(x).
KERNEL(silu, (const T* __restrict__ x, T* __restrict__ y, unsigned n), (x, y, n)) {
    each(n, in_fours(x, y), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Numbers<W> numbers = load<W>(x + i);
        for (float& number : numbers.at) number *= sigmoid(number);
        store(y + i, numbers);
    });
}

// The distribution function of the normal distribution.
__device__ __forceinline__ float normal_distribution(float x) {
    return 0.5f + 0.5f * erff(x * 0.70710678f);
}

// y (rows, channels) = h * gelu(gate) of x (rows, 2, channels) = (h, gate), with gelu(x) = x * the normal distribution of x.
KERNEL(geglu, (const T* __restrict__ x, T* __restrict__ y, unsigned channels, unsigned rows), (x, y, channels, rows)) {
    each(channels * rows, in_fours(x, y) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        // Rows of x are twice as long as those of y.
        const T* at = x + i + i / channels * channels;
        Numbers<W> h = load<W>(at);
        const Numbers<W> gate = load<W>(at + channels);
        for (unsigned j = 0; j < W; j++) h.at[j] *= gate.at[j] * normal_distribution(gate.at[j]);
        store(y + i, h);
    });
}

KERNEL(geglu_backward, (const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dx, unsigned channels, unsigned rows),
       (x, dy, dx, channels, rows)) {
    each(channels * rows, in_fours(x, dy, dx) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned at = i + i / channels * channels;
        const Numbers<W> h = load<W>(x + at), gate = load<W>(x + at + channels), slope = load<W>(dy + i);
        Numbers<W> dh, dgate;
        for (unsigned j = 0; j < W; j++) {
            const float g = gate.at[j], cumulative = normal_distribution(g);
            // The density is e^(-g^2 / 2) / sqrt(2 pi). Where g is so large that its square is infinite, g times it is 0 all the same.
            const float density = 0.39894228f * exponential(-0.5f * g * g);
            dh.at[j] = slope.at[j] * g * cumulative;
            dgate.at[j] = slope.at[j] * h.at[j] * (cumulative + g * density);
        }
        store(dx + at, dh);
        store(dx + at + channels, dgate);
    });
}

// Row by row, y[to..to + count] = x[from..from + count].
KERNEL(copy_columns,
       (const T* __restrict__ x, unsigned x_channels, unsigned from, T* __restrict__ y, unsigned y_channels, unsigned to, unsigned count,
        unsigned rows),
       (x, x_channels, from, y, y_channels, to, count, rows)) {
    const bool fours = in_fours(x, y) && (x_channels | from | y_channels | to | count) % 4 == 0;
    each(count * rows, fours, [&](unsigned i, auto width) {
        const unsigned row = i / count, column = i - row * count;
        copy<decltype(width)::count>(x + row * x_channels + from + column, y + row * y_channels + to + column);
    });
}

// y (pictures, pixels, channels) += bias (channels) + per_picture (pictures, channels) + residual (as y), each of which may be null.
KERNEL(add,
       (T* __restrict__ y, const float* __restrict__ bias, const float* __restrict__ per_picture, const T* __restrict__ residual,
        unsigned channels, unsigned pixels, unsigned n),
       (y, bias, per_picture, residual, channels, pixels, n)) {
    each(n, in_fours(y, residual) && in_fours(bias, per_picture) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        Numbers<W> sums = load<W>(y + i);
        const auto plus = [&](const Numbers<W>& numbers) {
            for (unsigned j = 0; j < W; j++) sums.at[j] += numbers.at[j];
        };
        if (bias) plus(load<W>(bias + channel));
        if (per_picture) plus(load<W>(per_picture + pixel / pixels * channels + channel));
        if (residual) plus(load<W>(residual + i));
        store(y + i, sums);
    });
}

// y (rows, outputs) = x (rows, inputs) W^T + bias (outputs) + residual (as y), all but the weights of f32. A warp adds up one number of y.
KERNEL(linear_rows,
       (const float* __restrict__ x, const T* __restrict__ w, const float* __restrict__ bias, const float* __restrict__ residual,
        float* __restrict__ y, unsigned rows, unsigned inputs, unsigned outputs),
       (x, w, bias, residual, y, rows, inputs, outputs)) {
    const unsigned lane = threadIdx.x % WARP_LANES, warps = blockDim.x / WARP_LANES;
    const bool fours = in_fours(x) && in_fours(w) && inputs % 4 == 0;
#pragma unroll 1
    for (unsigned i = blockIdx.x * warps + threadIdx.x / WARP_LANES; i < rows * outputs; i += gridDim.x * warps) {
        const unsigned row = i / outputs, output = i - row * outputs;
        float sum = 0.0f;
        walk(lane, WARP_LANES, inputs, fours, [&](unsigned input, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Numbers<W> a = load<W>(x + row * inputs + input), b = load<W>(w + output * inputs + input);
            for (unsigned j = 0; j < W; j++) sum += a.at[j] * b.at[j];
        });
        sum = warp_sum(sum);
        if (lane == 0) y[i] = sum + (bias ? bias[output] : 0.0f) + (residual ? residual[i] : 0.0f);
    }
}

// Writes 1 to *found if a number is NaN or infinite. Whoever writes, writes the same.
KERNEL(find_not_finite, (const T* __restrict__ x, unsigned n, unsigned* __restrict__ found), (x, n, found)) {
    bool all = true;
    each(n, in_fours(x), [&](unsigned i, auto width) {
        for (float number : load<decltype(width)::count>(x + i).at) all = all && is_finite(number);
    });
    if (!all) *found = 1;
}
