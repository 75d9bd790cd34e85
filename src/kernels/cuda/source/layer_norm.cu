// Layer normalisation, forward and backward to the input. One warp normalises a row.

#include "primitives.cuh"

// Distributes rows over the warps of the grid: body(index of the row's first value, lane).
template <typename Body>
__device__ __forceinline__ void for_each_row(unsigned rows, unsigned channels, Body body) {
    const unsigned warps = blockDim.x / WARP_LANES;
#pragma unroll 1
    for (unsigned row = blockIdx.x * warps + threadIdx.x / WARP_LANES; row < rows; row += gridDim.x * warps) {
        body(row * channels, threadIdx.x % WARP_LANES);
    }
}

struct RowStats {
    float mean, inverse;
};

// Mean and inverse standard deviation of a row. The warp reads the row twice; the second read hits
// the cache.
template <typename T>
__device__ __forceinline__ RowStats row_stats(const T* __restrict__ x, unsigned lane, unsigned channels, bool vectorized, float eps) {
    float sum = 0.0f, squares = 0.0f;
    for_each_strided(lane, WARP_LANES, channels, vectorized, [&](unsigned i, auto width) {
        for (float value : load<decltype(width)::count>(x + i).at) sum += value;
    });
    const float mean = warp_sum(sum) / channels;
    for_each_strided(lane, WARP_LANES, channels, vectorized, [&](unsigned i, auto width) {
        for (float value : load<decltype(width)::count>(x + i).at) squares += (value - mean) * (value - mean);
    });
    const float variance = warp_sum(squares) / channels;
    return {mean, is_finite(variance) ? 1.0f / sqrtf(variance + eps) : quiet_nan()};
}

// Normalises every row of `channels` values.
KERNEL(layer_norm,
       (const T* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias, T* __restrict__ y, unsigned channels,
        unsigned rows, float eps),
       (x, weight, bias, y, channels, rows, eps)) {
    const bool vectorized = aligned_for_4(x, y) && aligned_for_4(weight, bias) && channels % 4 == 0;
    for_each_row(rows, channels, [&](unsigned start, unsigned lane) {
        const RowStats stats = row_stats(x + start, lane, channels, vectorized, eps);
        const float mean = stats.mean, inverse = stats.inverse;
        for_each_strided(lane, WARP_LANES, channels, vectorized, [&](unsigned i, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Vector<W> scale = load<W>(weight + i), shift = load<W>(bias + i);
            Vector<W> values = load<W>(x + start + i);
            for (unsigned j = 0; j < W; j++) values.at[j] = (values.at[j] - mean) * inverse * scale.at[j] + shift.at[j];
            store(y + start + i, values);
        });
    });
}

KERNEL(layer_norm_backward,
       (const T* __restrict__ x, const float* __restrict__ weight, const T* __restrict__ dy, const T* __restrict__ residual,
        T* __restrict__ dx, unsigned channels, unsigned rows, float eps),
       (x, weight, dy, residual, dx, channels, rows, eps)) {
    const bool vectorized = aligned_for_4(x, dy, residual, dx) && aligned_for_4(weight) && channels % 4 == 0;
    for_each_row(rows, channels, [&](unsigned start, unsigned lane) {
        const RowStats stats = row_stats(x + start, lane, channels, vectorized, eps);
        const float mean = stats.mean, inverse = stats.inverse;
        float sum = 0.0f, product_sum = 0.0f;
        for_each_strided(lane, WARP_LANES, channels, vectorized, [&](unsigned i, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Vector<W> values = load<W>(x + start + i), grads = load<W>(dy + start + i), scale = load<W>(weight + i);
            for (unsigned j = 0; j < W; j++) {
                const float grad = grads.at[j] * scale.at[j];
                sum += grad;
                product_sum += grad * ((values.at[j] - mean) * inverse);
            }
        });
        sum = warp_sum(sum) / channels;
        product_sum = warp_sum(product_sum) / channels;
        for_each_strided(lane, WARP_LANES, channels, vectorized, [&](unsigned i, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Vector<W> grads = load<W>(dy + start + i), scale = load<W>(weight + i);
            Vector<W> values = load<W>(x + start + i);
            for (unsigned j = 0; j < W; j++) {
                values.at[j] = (grads.at[j] * scale.at[j] - sum - (values.at[j] - mean) * inverse * product_sum) * inverse;
            }
            if (residual) {
                const Vector<W> added = load<W>(residual + start + i);
                for (unsigned j = 0; j < W; j++) values.at[j] += added.at[j];
            }
            store(dx + start + i, values);
        });
    });
}
