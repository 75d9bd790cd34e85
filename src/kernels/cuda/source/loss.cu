// Bilinear samples of a feature map and their adjoint, and the losses of an edit and of a LoRA with
// their gradients.
//
// A loss is summed in two steps: one partial sum per block, then `sum_partials`. Both have a fixed
// order, so the same inputs give the same bits.

#include "primitives.cuh"

// Derivative of |x|: 0 at 0, NaN at NaN.
__device__ __forceinline__ float sign(float x) {
    return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x * 0.0f;
}

// Sums `sum` over the block. The first thread writes the total to the block's entry of `partial`.
__device__ __forceinline__ void write_partial(double sum, float* partial) {
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = static_cast<float>(sum);
}

// Value of a map (pixels, channels) at a point: the weighted sum of its four pixels.
template <unsigned W, typename T>
__device__ __forceinline__ Vector<W> value_at(const T* __restrict__ map, const unsigned* __restrict__ pixels, const float* __restrict__ weights,
                                               unsigned point, unsigned channel, unsigned channels) {
    Vector<W> sums = {};
    for (unsigned corner = 0; corner < 4; corner++) {
        const float weight = weights[point * 4 + corner];
        const Vector<W> values = load<W>(map + pixels[point * 4 + corner] * channels + channel);
        for (unsigned j = 0; j < W; j++) sums.at[j] += weight * values.at[j];
    }
    return sums;
}

// out (points, channels) = values of the map at the points. `pixels` and `weights` are (points, 4).
KERNEL(sample,
       (const T* __restrict__ map, const unsigned* __restrict__ pixels, const float* __restrict__ weights, float* __restrict__ out,
        unsigned channels, unsigned points),
       (map, pixels, weights, out, channels, points)) {
    for_each(points * channels, aligned_for_4(map) && aligned_for_4(out) && channels % 4 == 0, [&](unsigned i, auto width) {
        const unsigned point = i / channels;
        store(out + i, value_at<decltype(width)::count>(map, pixels, weights, point, i - point * channels, channels));
    });
}

// signs (points, channels) = scale * sign(value - target), and per block the sum of |value -
// target|.
KERNEL(sampled_difference,
       (const T* __restrict__ map, const unsigned* __restrict__ pixels, const float* __restrict__ weights, const float* __restrict__ target,
        float scale, float* __restrict__ signs, float* __restrict__ partial, unsigned channels, unsigned points),
       (map, pixels, weights, target, scale, signs, partial, channels, points)) {
    double sum = 0.0;
    for_each(points * channels, aligned_for_4(map) && aligned_for_4(target, signs) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned point = i / channels;
        Vector<W> values = value_at<W>(map, pixels, weights, point, i - point * channels, channels);
        const Vector<W> targets = load<W>(target + i);
        for (unsigned j = 0; j < W; j++) {
            const float difference = values.at[j] - targets.at[j];
            sum += fabsf(difference);
            values.at[j] = scale * sign(difference);
        }
        store(signs + i, values);
    });
    write_partial(sum, partial);
}

// Adjoint of `sample`: map[pixel[i], c] += the sum of weight * values[point, c] over the entries
// first[i]..first[i + 1]. The pixels are distinct, so one thread sums each value of the map, in the
// order of the entries.
PLAIN_KERNEL(scatter, (const float* __restrict__ values, const unsigned* __restrict__ pixel, const unsigned* __restrict__ first,
                       const unsigned* __restrict__ point, const float* __restrict__ weight, float* __restrict__ map, unsigned channels,
                       unsigned touched)) {
    for_each(touched * channels, aligned_for_4(values, map) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned index = i / channels, channel = i - index * channels;
        float* target = map + pixel[index] * channels + channel;
        Vector<W> sums = load<W>(target);
#pragma unroll 1
        for (unsigned entry = first[index]; entry < first[index + 1]; entry++) {
            const Vector<W> added = load<W>(values + point[entry] * channels + channel);
            for (unsigned j = 0; j < W; j++) sums.at[j] += weight[entry] * added.at[j];
        }
        store(target, sums);
    });
}

// Per block the sum of weight * |x - reference|, and its gradient to x. weight is (cells), the
// others are (cells, channels).
PLAIN_KERNEL(weighted_l1, (const float* __restrict__ x, const float* __restrict__ reference, const float* __restrict__ weight,
                           float* __restrict__ gradient, float* __restrict__ partial, unsigned channels, unsigned n)) {
    double sum = 0.0;
    for_each(n, aligned_for_4(x, reference, gradient) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const float cell_weight = weight[i / channels];
        Vector<W> values = load<W>(x + i);
        const Vector<W> references = load<W>(reference + i);
        for (unsigned j = 0; j < W; j++) {
            const float difference = values.at[j] - references.at[j];
            sum += cell_weight * fabsf(difference);
            values.at[j] = cell_weight * sign(difference);
        }
        store(gradient + i, values);
    });
    write_partial(sum, partial);
}

// Per block the sum of weight * (x - reference)^2, and gradient = scale * weight * (x - reference).
// weight is (pictures), the others are (pictures, per_picture).
PLAIN_KERNEL(squared_error, (const float* __restrict__ x, const float* __restrict__ reference, const float* __restrict__ weight, float scale,
                             float* __restrict__ gradient, float* __restrict__ partial, unsigned per_picture, unsigned n)) {
    double sum = 0.0;
    for_each(n, aligned_for_4(x, reference, gradient) && per_picture % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const float picture_weight = weight[i / per_picture], slope = scale * picture_weight;
        Vector<W> values = load<W>(x + i);
        const Vector<W> references = load<W>(reference + i);
        for (unsigned j = 0; j < W; j++) {
            const float difference = values.at[j] - references.at[j];
            sum += static_cast<double>(picture_weight) * difference * difference;
            values.at[j] = slope * difference;
        }
        store(gradient + i, values);
    });
    write_partial(sum, partial);
}

// total = the sum of all partial sums, in one block of 256 threads.
PLAIN_KERNEL(sum_partials, (const float* __restrict__ partial, unsigned count, double* __restrict__ total)) {
    double sum = 0.0;
#pragma unroll 1
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *total = sum;
}
