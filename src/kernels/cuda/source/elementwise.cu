// Elementwise kernels: conversions, sums, activations and column copies. Also the linear layer for
// inputs of so few rows that a matrix product is not worth a library call.

#include "primitives.cuh"

// y = factor * x.
template <typename From, typename To>
__device__ __forceinline__ void convert(const From* __restrict__ x, To* __restrict__ y, float factor, unsigned n) {
    for_each(n, aligned_for_4(x, y), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Vector<W> values = load<W>(x + i);
        for (float& value : values.at) value *= factor;
        store(y + i, values);
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
    for_each(n, aligned_for_4(x, y), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Vector<W> values = load<W>(y + i);
        const Vector<W> added = load<W>(x + i);
        for (unsigned j = 0; j < W; j++) values.at[j] = a * values.at[j] + b * added.at[j];
        store(y + i, values);
    });
}

// y = factors[0] * y + factors[1] * x.
PLAIN_KERNEL(combine_by, (const float* __restrict__ factors, float* __restrict__ y, const float* __restrict__ x, unsigned n)) {
    const float a = factors[0], b = factors[1];
    for_each(n, aligned_for_4(x, y), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Vector<W> values = load<W>(y + i);
        const Vector<W> added = load<W>(x + i);
        for (unsigned j = 0; j < W; j++) values.at[j] = a * values.at[j] + b * added.at[j];
        store(y + i, values);
    });
}

// y (length) = sum of x (pictures, length) over the pictures.
KERNEL(sum_pictures, (const T* __restrict__ x, T* __restrict__ y, unsigned length, unsigned pictures), (x, y, length, pictures)) {
    for_each(length, aligned_for_4(x, y) && length % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Vector<W> sums = load<W>(x + i);
#pragma unroll 1
        for (unsigned picture = 1; picture < pictures; picture++) {
            const Vector<W> values = load<W>(x + picture * length + i);
            for (unsigned j = 0; j < W; j++) sums.at[j] += values.at[j];
        }
        store(y + i, sums);
    });
}

// y (cells, channels) = x where the cell's mask is above 0.5; elsewhere y is unchanged.
KERNEL(select, (const float* __restrict__ mask, const T* __restrict__ x, T* __restrict__ y, unsigned channels, unsigned n),
       (mask, x, y, channels, n)) {
    for_each(n, aligned_for_4(x, y) && channels % 4 == 0, [&](unsigned i, auto width) {
        if (mask[i / channels] > 0.5f) copy<decltype(width)::count>(x + i, y + i);
    });
}

// y = x * sigmoid(x).
KERNEL(silu, (const T* __restrict__ x, T* __restrict__ y, unsigned n), (x, y, n)) {
    for_each(n, aligned_for_4(x, y), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Vector<W> values = load<W>(x + i);
        for (float& value : values.at) value *= sigmoid(value);
        store(y + i, values);
    });
}

// dx = dy * silu'(x), with silu'(x) = s (1 + x (1 - s)) for s = sigmoid(x).
KERNEL(silu_backward, (const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dx, unsigned n), (x, dy, dx, n)) {
    for_each(n, aligned_for_4(x, dy, dx), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Vector<W> values = load<W>(x + i);
        Vector<W> grads = load<W>(dy + i);
        for (unsigned j = 0; j < W; j++) {
            const float s = sigmoid(values.at[j]);
            grads.at[j] *= s * (1.0f + values.at[j] * (1.0f - s));
        }
        store(dx + i, grads);
    });
}

// Cumulative distribution function of the standard normal distribution.
__device__ __forceinline__ float normal_cdf(float x) {
    return 0.5f + 0.5f * erff(x * 0.70710678f);
}

// y (rows, channels) = h * gelu(gate) for x (rows, 2, channels) = (h, gate), with gelu(x) = x *
// normal_cdf(x).
KERNEL(geglu, (const T* __restrict__ x, T* __restrict__ y, unsigned channels, unsigned rows), (x, y, channels, rows)) {
    for_each(channels * rows, aligned_for_4(x, y) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        // Rows of x are twice as long as rows of y.
        const T* at = x + i + i / channels * channels;
        Vector<W> h = load<W>(at);
        const Vector<W> gate = load<W>(at + channels);
        for (unsigned j = 0; j < W; j++) h.at[j] *= gate.at[j] * normal_cdf(gate.at[j]);
        store(y + i, h);
    });
}

KERNEL(geglu_backward, (const T* __restrict__ x, const T* __restrict__ dy, T* __restrict__ dx, unsigned channels, unsigned rows),
       (x, dy, dx, channels, rows)) {
    for_each(channels * rows, aligned_for_4(x, dy, dx) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned at = i + i / channels * channels;
        const Vector<W> h = load<W>(x + at), gate = load<W>(x + at + channels), grad = load<W>(dy + i);
        Vector<W> dh, dgate;
        for (unsigned j = 0; j < W; j++) {
            const float g = gate.at[j], cumulative = normal_cdf(g);
            // The density is e^(-g^2 / 2) / sqrt(2 pi). Where g^2 overflows, the density underflows
            // to 0, and so does g * density.
            const float density = 0.39894228f * exp_approx(-0.5f * g * g);
            dh.at[j] = grad.at[j] * g * cumulative;
            dgate.at[j] = grad.at[j] * h.at[j] * (cumulative + g * density);
        }
        store(dx + at, dh);
        store(dx + at + channels, dgate);
    });
}

// For every row, y[to..to + count] = x[from..from + count].
KERNEL(copy_columns,
       (const T* __restrict__ x, unsigned x_channels, unsigned from, T* __restrict__ y, unsigned y_channels, unsigned to, unsigned count,
        unsigned rows),
       (x, x_channels, from, y, y_channels, to, count, rows)) {
    const bool vectorized = aligned_for_4(x, y) && (x_channels | from | y_channels | to | count) % 4 == 0;
    for_each(count * rows, vectorized, [&](unsigned i, auto width) {
        const unsigned row = i / count, column = i - row * count;
        copy<decltype(width)::count>(x + row * x_channels + from + column, y + row * y_channels + to + column);
    });
}

// y (pictures, pixels, channels) += bias (channels) + per_picture (pictures, channels) + residual
// (shape of y). Each of the three may be null.
KERNEL(add,
       (T* __restrict__ y, const float* __restrict__ bias, const float* __restrict__ per_picture, const T* __restrict__ residual,
        unsigned channels, unsigned pixels, unsigned n),
       (y, bias, per_picture, residual, channels, pixels, n)) {
    for_each(n, aligned_for_4(y, residual) && aligned_for_4(bias, per_picture) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        Vector<W> sums = load<W>(y + i);
        const auto accumulate = [&](const Vector<W>& values) {
            for (unsigned j = 0; j < W; j++) sums.at[j] += values.at[j];
        };
        if (bias) accumulate(load<W>(bias + channel));
        if (per_picture) accumulate(load<W>(per_picture + pixel / pixels * channels + channel));
        if (residual) accumulate(load<W>(residual + i));
        store(y + i, sums);
    });
}

// y (rows, outputs) = x (rows, inputs) W^T + bias (outputs) + residual (shape of y). Only the
// weights are T; everything else is f32. One warp computes one value of y.
KERNEL(linear_rows,
       (const float* __restrict__ x, const T* __restrict__ w, const float* __restrict__ bias, const float* __restrict__ residual,
        float* __restrict__ y, unsigned rows, unsigned inputs, unsigned outputs),
       (x, w, bias, residual, y, rows, inputs, outputs)) {
    const unsigned lane = threadIdx.x % WARP_LANES, warps = blockDim.x / WARP_LANES;
    const bool vectorized = aligned_for_4(x) && aligned_for_4(w) && inputs % 4 == 0;
#pragma unroll 1
    for (unsigned i = blockIdx.x * warps + threadIdx.x / WARP_LANES; i < rows * outputs; i += gridDim.x * warps) {
        const unsigned row = i / outputs, output = i - row * outputs;
        float sum = 0.0f;
        for_each_strided(lane, WARP_LANES, inputs, vectorized, [&](unsigned input, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Vector<W> a = load<W>(x + row * inputs + input), b = load<W>(w + output * inputs + input);
            for (unsigned j = 0; j < W; j++) sum += a.at[j] * b.at[j];
        });
        sum = warp_sum(sum);
        if (lane == 0) y[i] = sum + (bias ? bias[output] : 0.0f) + (residual ? residual[i] : 0.0f);
    }
}

// Writes the upper half of the double 1 to *found if any value is NaN or infinite. Concurrent writers write the same value.
KERNEL(find_non_finite, (const T* __restrict__ x, unsigned n, unsigned* __restrict__ found), (x, n, found)) {
    bool all_finite = true;
    for_each(n, aligned_for_4(x), [&](unsigned i, auto width) {
        for (float value : load<decltype(width)::count>(x + i).at) all_finite = all_finite && is_finite(value);
    });
    if (!all_finite) *found = 0x3ff00000;
}
