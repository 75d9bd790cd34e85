// Attention by matrix products: the kernels between the products. Scores and their gradients are
// f32, one row per query.

#include "primitives.cuh"

// p = softmax(scale * scores) for every row; sums (rows) receives the log-sum-exp. One warp per
// row; it reads the row three times, and the cache serves the second and the third read.
KERNEL(softmax,
       (const float* __restrict__ scores, T* __restrict__ p, float* __restrict__ sums, float scale, unsigned keys, unsigned rows),
       (scores, p, sums, scale, keys, rows)) {
    const unsigned lane = threadIdx.x % WARP_LANES, warps = blockDim.x / WARP_LANES;
    const bool vectorized = aligned_for_4(scores) && aligned_for_4(p) && keys % 4 == 0;
#pragma unroll 1
    for (unsigned row = blockIdx.x * warps + threadIdx.x / WARP_LANES; row < rows; row += gridDim.x * warps) {
        const float* x = scores + row * keys;
        T* y = p + row * keys;
        float largest = -__uint_as_float(0x7f800000u), sum = 0.0f;
        for_each_strided(lane, WARP_LANES, keys, vectorized, [&](unsigned i, auto width) {
            for (float score : load<decltype(width)::count>(x + i).at) largest = nan_max(largest, scale * score);
        });
        largest = warp_max(largest);
        for_each_strided(lane, WARP_LANES, keys, vectorized, [&](unsigned i, auto width) {
            for (float score : load<decltype(width)::count>(x + i).at) sum += exp_approx(scale * score - largest);
        });
        sum = warp_sum(sum);
        const float inverse = 1.0f / sum;
        for_each_strided(lane, WARP_LANES, keys, vectorized, [&](unsigned i, auto width) {
            constexpr unsigned W = decltype(width)::count;
            Vector<W> values = load<W>(x + i);
            for (float& value : values.at) value = exp_approx(scale * value - largest) * inverse;
            store(y + i, values);
        });
        if (lane == 0) sums[row] = largest + logf(sum);
    }
}

// Recomputes p = e^(scale * scores - sums), and gives the gradient to the scaled scores times a power
// of two, ds = p * (dp - delta) * ds_scale, for the gradient dp (rows, keys) of p and delta (rows).
// attention_backward.cu explains `ds_scale`.
KERNEL(softmax_backward,
       (const float* __restrict__ scores, const float* __restrict__ dp, const float* __restrict__ sums, const float* __restrict__ delta,
        T* __restrict__ p, T* __restrict__ ds, float scale, float ds_scale, unsigned keys, unsigned rows),
       (scores, dp, sums, delta, p, ds, scale, ds_scale, keys, rows)) {
    for_each(rows * keys, aligned_for_4(scores, dp) && aligned_for_4(p, ds) && keys % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned row = i / keys;
        const float sum = sums[row], mean = delta[row];
        Vector<W> weights = load<W>(scores + i), grads = load<W>(dp + i);
        for (unsigned j = 0; j < W; j++) {
            weights.at[j] = exp_approx(scale * weights.at[j] - sum);
            grads.at[j] = weights.at[j] * (grads.at[j] - mean) * ds_scale;
        }
        store(p + i, weights);
        store(ds + i, grads);
    });
}

// delta (batch, heads, queries) = sum of o * d_o over a head's channels, for o and d_o (batch,
// queries, heads, head size). Eight lanes compute one sum, so a warp computes four.
KERNEL(attention_delta,
       (const T* __restrict__ o, const T* __restrict__ d_o, float* __restrict__ delta, unsigned batch, unsigned heads, unsigned queries,
        unsigned head_size),
       (o, d_o, delta, batch, heads, queries, head_size)) {
    constexpr unsigned LANES = 8;
    const unsigned lane = threadIdx.x % LANES, count = batch * queries * heads, step = gridDim.x * blockDim.x / LANES;
    const bool vectorized = aligned_for_4(o, d_o) && head_size % 4 == 0;
    // All lanes stay until the end of the loop, because they take part in shuffles.
    const unsigned first = blockIdx.x * blockDim.x + threadIdx.x, of_warp = first % WARP_LANES / LANES;
#pragma unroll 1
    for (unsigned start = first / WARP_LANES * (WARP_LANES / LANES); start < count; start += step) {
        const unsigned i = start + of_warp;
        float sum = 0.0f;
        for_each_strided(lane, LANES, i < count ? head_size : 0, vectorized, [&](unsigned channel, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Vector<W> a = load<W>(o + i * head_size + channel), b = load<W>(d_o + i * head_size + channel);
            for (unsigned j = 0; j < W; j++) sum += a.at[j] * b.at[j];
        });
        for (unsigned distance = LANES / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, distance);
        const unsigned row = i / heads, picture = row / queries;
        if (lane == 0 && i < count) delta[(picture * heads + i - row * heads) * queries + row - picture * queries] = sum;
    }
}
