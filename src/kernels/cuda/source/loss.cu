// Values of a feature map between its pixels, and the distances that an edit makes small, with their slopes.
//
// A distance's sum is made of one number per block, which `sum_partials` adds up in a fixed order.

#include "primitives.cuh"

// The derivative of |x|: 0 at 0, NaN of NaN.
__device__ __forceinline__ float sign(float x) {
    return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x * 0.0f;
}

// Adds up the threads' numbers; the first thread writes the sum to the block's place.
__device__ __forceinline__ void write_partial(double sum, float* partial) {
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = static_cast<float>(sum);
}

// The map (pixels, channels) at a point: the sum of four pixels with their weights.
template <unsigned W, typename T>
__device__ __forceinline__ Numbers<W> value_at(const T* __restrict__ map, const unsigned* __restrict__ pixels, const float* __restrict__ weights,
                                               unsigned point, unsigned channel, unsigned channels) {
    Numbers<W> sums = {};
    for (unsigned corner = 0; corner < 4; corner++) {
        const float weight = weights[point * 4 + corner];
        const Numbers<W> numbers = load<W>(map + pixels[point * 4 + corner] * channels + channel);
        for (unsigned j = 0; j < W; j++) sums.at[j] += weight * numbers.at[j];
    }
    return sums;
}

// out (points, channels) = the map at the points, whose pixels and weights are (points, 4).
KERNEL(sample,
       (const T* __restrict__ map, const unsigned* __restrict__ pixels, const float* __restrict__ weights, float* __restrict__ out,
        unsigned channels, unsigned points),
       (map, pixels, weights, out, channels, points)) {
    each(points * channels, in_fours(map) && in_fours(out) && channels % 4 == 0, [&](unsigned i, auto width) {
        const unsigned point = i / channels;
        store(out + i, value_at<decltype(width)::count>(map, pixels, weights, point, i - point * channels, channels));
    });
}

// signs (points, channels) = scale * sign(value - target), and per block the sum of |value - target|.
KERNEL(sampled_difference,
       (const T* __restrict__ map, const unsigned* __restrict__ pixels, const float* __restrict__ weights, const float* __restrict__ target,
        float scale, float* __restrict__ signs, float* __restrict__ partial, unsigned channels, unsigned points),
       (map, pixels, weights, target, scale, signs, partial, channels, points)) {
    double sum = 0.0;
    each(points * channels, in_fours(map) && in_fours(target, signs) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned point = i / channels;
        Numbers<W> numbers = value_at<W>(map, pixels, weights, point, i - point * channels, channels);
        const Numbers<W> aims = load<W>(target + i);
        for (unsigned j = 0; j < W; j++) {
            const float difference = numbers.at[j] - aims.at[j];
            sum += fabsf(difference);
            numbers.at[j] = scale * sign(difference);
        }
        store(signs + i, numbers);
    });
    write_partial(sum, partial);
}

// gradient[pixel[t], c] += the sum of weight * signs[point, c] over entries first[t]..first[t + 1]. No pixel is touched twice, so each number
// is added up by one thread.
PLAIN_KERNEL(sampled_gradient, (const float* __restrict__ signs, const unsigned* __restrict__ pixel, const unsigned* __restrict__ first,
                                const unsigned* __restrict__ point, const float* __restrict__ weight, float* __restrict__ gradient,
                                unsigned channels, unsigned touched)) {
    each(touched * channels, in_fours(signs, gradient) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned place = i / channels, channel = i - place * channels;
        float* sums_place = gradient + pixel[place] * channels + channel;
        Numbers<W> sums = load<W>(sums_place);
#pragma unroll 1
        for (unsigned entry = first[place]; entry < first[place + 1]; entry++) {
            const Numbers<W> slopes = load<W>(signs + point[entry] * channels + channel);
            for (unsigned j = 0; j < W; j++) sums.at[j] += weight[entry] * slopes.at[j];
        }
        store(sums_place, sums);
    });
}

// Per block the sum of weight * |x - reference|, and its slopes to x. Weight is (cells), the others (cells, channels).
PLAIN_KERNEL(weighted_l1, (const float* __restrict__ x, const float* __restrict__ reference, const float* __restrict__ weight,
                           float* __restrict__ gradient, float* __restrict__ partial, unsigned channels, unsigned n)) {
    double sum = 0.0;
    each(n, in_fours(x, reference, gradient) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const float of_cell = weight[i / channels];
        Numbers<W> numbers = load<W>(x + i);
        const Numbers<W> aims = load<W>(reference + i);
        for (unsigned j = 0; j < W; j++) {
            const float difference = numbers.at[j] - aims.at[j];
            sum += of_cell * fabsf(difference);
            numbers.at[j] = of_cell * sign(difference);
        }
        store(gradient + i, numbers);
    });
    write_partial(sum, partial);
}

// total = the sum of all blocks' numbers. One block of 256.
PLAIN_KERNEL(sum_partials, (const float* __restrict__ partial, unsigned count, double* __restrict__ total)) {
    double sum = 0.0;
#pragma unroll 1
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *total = sum;
}
