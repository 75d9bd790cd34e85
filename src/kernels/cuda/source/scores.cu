// Attention by products of matrices: what lies between the products. Scores and their slopes are of f32, a row for every query.

#include "primitives.cuh"

// p = softmax(scale * scores) row by row; sums (rows) receives the logarithms of the sums of the exponentials. A warp takes a row, which it
// reads three times: the first time only comes from afar.
KERNEL(softmax,
       (const float* __restrict__ scores, T* __restrict__ p, float* __restrict__ sums, float scale, unsigned keys, unsigned rows),
       (scores, p, sums, scale, keys, rows)) {
    const unsigned lane = threadIdx.x % WARP_LANES, warps = blockDim.x / WARP_LANES;
    const bool fours = in_fours(scores) && in_fours(p) && keys % 4 == 0;
#pragma unroll 1
    for (unsigned row = blockIdx.x * warps + threadIdx.x / WARP_LANES; row < rows; row += gridDim.x * warps) {
        const float* x = scores + row * keys;
        T* y = p + row * keys;
        float largest = -__uint_as_float(0x7f800000u), sum = 0.0f;
        walk(lane, WARP_LANES, keys, fours, [&](unsigned i, auto width) {
            for (float score : load<decltype(width)::count>(x + i).at) largest = larger(largest, scale * score);
        });
        largest = warp_largest(largest);
        walk(lane, WARP_LANES, keys, fours, [&](unsigned i, auto width) {
            for (float score : load<decltype(width)::count>(x + i).at) sum += exponential(scale * score - largest);
        });
        sum = warp_sum(sum);
        const float inverse = 1.0f / sum;
        walk(lane, WARP_LANES, keys, fours, [&](unsigned i, auto width) {
            constexpr unsigned W = decltype(width)::count;
            Numbers<W> numbers = load<W>(x + i);
            for (float& number : numbers.at) number = exponential(scale * number - largest) * inverse;
            store(y + i, numbers);
        });
        if (lane == 0) sums[row] = largest + logf(sum);
    }
}

// p = e^(scale * scores - sums), the softmax again, and the scores' slopes before scaling ds = p * (dp - delta) * scale, of p's slopes dp
// (rows, keys) and delta (rows).
KERNEL(softmax_backward,
       (const float* __restrict__ scores, const float* __restrict__ dp, const float* __restrict__ sums, const float* __restrict__ delta,
        T* __restrict__ p, T* __restrict__ ds, float scale, unsigned keys, unsigned rows),
       (scores, dp, sums, delta, p, ds, scale, keys, rows)) {
    each(rows * keys, in_fours(scores, dp) && in_fours(p, ds) && keys % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned row = i / keys;
        const float sum = sums[row], mean = delta[row];
        Numbers<W> weights = load<W>(scores + i), slopes = load<W>(dp + i);
        for (unsigned j = 0; j < W; j++) {
            weights.at[j] = exponential(scale * weights.at[j] - sum);
            slopes.at[j] = weights.at[j] * (slopes.at[j] - mean) * scale;
        }
        store(p + i, weights);
        store(ds + i, slopes);
    });
}

// delta (batch, heads, queries) = the sum of o * d_o over a head's channels, of o and d_o (batch, queries, heads, head size). Eight lanes add
// up one sum, so that a warp has four.
KERNEL(attention_delta,
       (const T* __restrict__ o, const T* __restrict__ d_o, float* __restrict__ delta, unsigned batch, unsigned heads, unsigned queries,
        unsigned head_size),
       (o, d_o, delta, batch, heads, queries, head_size)) {
    constexpr unsigned LANES = 8;
    const unsigned lane = threadIdx.x % LANES, count = batch * queries * heads, step = gridDim.x * blockDim.x / LANES;
    const bool fours = in_fours(o, d_o) && head_size % 4 == 0;
    // All lanes of a warp stay to the end, for they exchange numbers.
    const unsigned first = blockIdx.x * blockDim.x + threadIdx.x, of_warp = first % WARP_LANES / LANES;
#pragma unroll 1
    for (unsigned start = first / WARP_LANES * (WARP_LANES / LANES); start < count; start += step) {
        const unsigned i = start + of_warp;
        float sum = 0.0f;
        walk(lane, LANES, i < count ? head_size : 0, fours, [&](unsigned channel, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Numbers<W> a = load<W>(o + i * head_size + channel), b = load<W>(d_o + i * head_size + channel);
            for (unsigned j = 0; j < W; j++) sum += a.at[j] * b.at[j];
        });
        for (unsigned distance = LANES / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, distance);
        const unsigned row = i / heads, picture = row / queries;
        if (lane == 0 && i < count) delta[(picture * heads + i - row * heads) * queries + row - picture * queries] = sum;
    }
}
