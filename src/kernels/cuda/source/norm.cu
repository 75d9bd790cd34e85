// Group and layer normalisation, forward and backward to the input.
//
// A group spans all pixels of a picture, so several blocks reduce a part of the pixels each. A
// second kernel merges the parts in f64 and in a fixed order; a third kernel applies the result to
// every value. There are few parts, about two for each multiprocessor over all groups, so one warp
// merges those of a group.

#include "primitives.cuh"

// Count, mean, and sum of squared deviations from the mean.
template <typename Scalar>
struct Moments {
    Scalar count, mean, squares;
};

// Moments of the union of two sets (T. Chan, G. Golub and R. LeVeque, 1979).
template <typename Scalar>
__device__ __forceinline__ Moments<Scalar> merge(const Moments<Scalar>& a, const Moments<Scalar>& b) {
    const Scalar count = a.count + b.count, distance = b.mean - a.mean;
    const Scalar share = count > 0 ? b.count / count : 0;
    return {count, a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share};
}

// Merges the moments of all lanes of a warp. Only the first lane gets the result.
template <typename Scalar>
__device__ __forceinline__ Moments<Scalar> warp_merge(Moments<Scalar> moments) {
    for (unsigned distance = WARP_LANES / 2; distance > 0; distance /= 2) {
        const Scalar count = __shfl_down_sync(ALL_LANES, moments.count, distance), mean = __shfl_down_sync(ALL_LANES, moments.mean, distance);
        moments = merge(moments, Moments<Scalar>{count, mean, __shfl_down_sync(ALL_LANES, moments.squares, distance)});
    }
    return moments;
}

// Merges the moments of all 256 threads of a block. Only the first thread gets the result.
__device__ __forceinline__ Moments<float> block_merge(Moments<float> moments) {
    __shared__ Moments<float> per_warp[BLOCK_THREADS / WARP_LANES];
    moments = warp_merge(moments);
    if (threadIdx.x % WARP_LANES == 0) per_warp[threadIdx.x / WARP_LANES] = moments;
    __syncthreads();
#pragma unroll 1
    for (unsigned warp = 1; warp < BLOCK_THREADS / WARP_LANES && threadIdx.x == 0; warp++) moments = merge(moments, per_warp[warp]);
    return moments;
}

// First pixel of a part. The sizes of the parts differ by at most one pixel.
__device__ __forceinline__ unsigned part_start(unsigned part, unsigned parts, unsigned pixels) {
    return static_cast<unsigned>(static_cast<unsigned long long>(part) * pixels / parts);
}

// Calls body(index in the buffer, channel) for every value of this block's part of its group. A
// thread keeps its channels and strides over the pixels.
template <unsigned W, typename Body>
__device__ __forceinline__ void for_each_in_group(unsigned pixels, unsigned channels, unsigned groups, unsigned parts, Body body) {
    const unsigned size = channels / groups, picture = blockIdx.y / groups, first_channel = blockIdx.y % groups * size;
    const unsigned begin = part_start(blockIdx.x, parts, pixels), end = part_start(blockIdx.x + 1, parts, pixels);
    const unsigned lanes = min(size / W, BLOCK_THREADS), rows = BLOCK_THREADS / lanes;
    const unsigned row = threadIdx.x / lanes, lane = threadIdx.x - row * lanes;
    if (row >= rows) return;
#pragma unroll 1
    for (unsigned channel = first_channel + lane * W; channel < first_channel + size; channel += lanes * W) {
#pragma unroll 4
        for (unsigned pixel = begin + row; pixel < end; pixel += rows) body((picture * pixels + pixel) * channels + channel, channel);
    }
}

// As above, two values at a time where alignment and group size allow it.
template <typename T, typename Body>
__device__ __forceinline__ void for_each_in_group(bool vectorized, unsigned pixels, unsigned channels, unsigned groups, unsigned parts, Body body) {
    if (vectorized && channels / groups % 2 == 0) {
        for_each_in_group<2>(pixels, channels, groups, parts, [&](unsigned at, unsigned channel) { body(at, channel, Width<2>()); });
    } else {
        for_each_in_group<1>(pixels, channels, groups, parts, [&](unsigned at, unsigned channel) { body(at, channel, Width<1>()); });
    }
}

// partial (pictures * groups, parts, 2): mean and sum of squared deviations. Grid (parts, pictures
// * groups).
KERNEL(group_norm_sums,
       (const T* __restrict__ x, float* __restrict__ partial, unsigned pixels, unsigned channels, unsigned groups, unsigned parts),
       (x, partial, pixels, channels, groups, parts)) {
    // Deviations from the thread's first value avoid cancellation in the sum of squares.
    float count = 0.0f, pivot = 0.0f, sum = 0.0f, squares = 0.0f;
    for_each_in_group<T>(aligned_for_4(x), pixels, channels, groups, parts, [&](unsigned at, unsigned, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Vector<W> values = load<W>(x + at);
        if (count == 0.0f) pivot = values.at[0];
        count += W;
        for (float value : values.at) {
            const float distance = value - pivot;
            sum += distance;
            squares += distance * distance;
        }
    });
    const float mean = count > 0.0f ? sum / count : 0.0f, rest = squares - sum * mean;
    const Moments<float> moments = block_merge(Moments<float>{count, pivot + mean, rest < 0.0f ? 0.0f : rest});
    if (threadIdx.x == 0) {
        float* out = partial + (blockIdx.y * parts + blockIdx.x) * 2;
        out[0] = moments.mean;
        out[1] = moments.squares;
    }
}

// stats (pictures * groups, 2): mean and inverse standard deviation. One warp per group.
PLAIN_KERNEL(group_norm_stats, (const float* __restrict__ partial, float* __restrict__ stats, unsigned parts, unsigned pixels,
                                unsigned group_channels, float eps)) {
    Moments<double> moments = {0.0, 0.0, 0.0};
#pragma unroll 1
    for (unsigned part = threadIdx.x; part < parts; part += WARP_LANES) {
        const float* in = partial + (blockIdx.x * parts + part) * 2;
        const unsigned count = part_start(part + 1, parts, pixels) - part_start(part, parts, pixels);
        moments = merge(moments, Moments<double>{static_cast<double>(count) * group_channels, in[0], in[1]});
    }
    moments = warp_merge(moments);
    if (threadIdx.x == 0) {
        // An overflowed variance gives NaN instead of passing for a large deviation.
        const bool finite = is_finite(static_cast<float>(moments.squares));
        stats[blockIdx.x * 2] = finite ? static_cast<float>(moments.mean) : quiet_nan();
        stats[blockIdx.x * 2 + 1] = static_cast<float>(1.0 / sqrt(moments.squares / moments.count + static_cast<double>(eps)));
    }
}

// For W adjacent channels, the two statistics of the group that each channel belongs to.
template <unsigned W>
struct GroupValues {
    float first[W], second[W];
};

template <unsigned W>
__device__ __forceinline__ GroupValues<W> load_group_values(const float* __restrict__ group_stats, unsigned picture, unsigned channel, unsigned channels,
                                                 unsigned groups) {
    const unsigned size = channels / groups, start = channel / size;
    unsigned within = channel - start * size;
    const float2* group = reinterpret_cast<const float2*>(group_stats) + picture * groups + start;
    GroupValues<W> stats;
    for (unsigned j = 0; j < W; j++) {
        const float2 pair = *group;
        stats.first[j] = pair.x;
        stats.second[j] = pair.y;
        if (++within == size && j + 1 < W) {
            within = 0;
            group++;
        }
    }
    return stats;
}

// y = weight * (x - mean) * inverse deviation + bias, then SiLU if `silu`.
KERNEL(group_norm_apply,
       (const T* __restrict__ x, const float* __restrict__ stats, const float* __restrict__ weight, const float* __restrict__ bias,
        T* __restrict__ y, unsigned pixels, unsigned channels, unsigned groups, unsigned silu, unsigned n),
       (x, stats, weight, bias, y, pixels, channels, groups, silu, n)) {
    for_each(n, aligned_for_4(x, y) && aligned_for_4(weight, bias) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const GroupValues<W> group = load_group_values<W>(stats, pixel / pixels, channel, channels, groups);
        const Vector<W> scale = load<W>(weight + channel), shift = load<W>(bias + channel);
        Vector<W> values = load<W>(x + i);
        for (unsigned j = 0; j < W; j++) {
            const float z = (values.at[j] - group.first[j]) * (group.second[j] * scale.at[j]) + shift.at[j];
            values.at[j] = silu ? z * sigmoid(z) : z;
        }
        store(y + i, values);
    });
}

// The normalised x, and the gradient to it.
struct NormGradient {
    float normalized, grad;
};

__device__ __forceinline__ NormGradient norm_gradient(float x, float dy, float mean, float inverse, float weight, float bias, unsigned silu) {
    const float normalized = (x - mean) * inverse;
    if (!silu) return {normalized, dy * weight};
    const float z = normalized * weight + bias, s = sigmoid(z);
    return {normalized, dy * (s + z * s * (1.0f - s)) * weight};
}

// partial (pictures * groups, parts, 2): sums of the gradients, and of the gradients times
// normalised x. Grid (parts, pictures * groups).
KERNEL(group_norm_backward_sums,
       (const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ stats, const float* __restrict__ weight,
        const float* __restrict__ bias, float* __restrict__ partial, unsigned pixels, unsigned channels, unsigned groups, unsigned silu,
        unsigned parts),
       (x, dy, stats, weight, bias, partial, pixels, channels, groups, silu, parts)) {
    const float mean = stats[blockIdx.y * 2], inverse = stats[blockIdx.y * 2 + 1];
    float sum = 0.0f, product_sum = 0.0f;
    for_each_in_group<T>(aligned_for_4(x, dy), pixels, channels, groups, parts, [&](unsigned at, unsigned channel, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Vector<W> values = load<W>(x + at), grads = load<W>(dy + at);
        for (unsigned j = 0; j < W; j++) {
            const NormGradient result = norm_gradient(values.at[j], grads.at[j], mean, inverse, weight[channel + j], bias[channel + j], silu);
            sum += result.grad;
            product_sum += result.grad * result.normalized;
        }
    });
    sum = block_sum(sum);
    product_sum = block_sum(product_sum);
    if (threadIdx.x == 0) {
        float* out = partial + (blockIdx.y * parts + blockIdx.x) * 2;
        out[0] = sum;
        out[1] = product_sum;
    }
}

// means (pictures * groups, 2): the sums over the parts divided by `count`. One warp per group.
PLAIN_KERNEL(group_norm_backward_means, (const float* __restrict__ partial, float* __restrict__ means, unsigned parts, unsigned count)) {
    double sum = 0.0, product_sum = 0.0;
#pragma unroll 1
    for (unsigned part = threadIdx.x; part < parts; part += WARP_LANES) {
        sum += partial[(blockIdx.x * parts + part) * 2];
        product_sum += partial[(blockIdx.x * parts + part) * 2 + 1];
    }
    sum = warp_sum(sum);
    product_sum = warp_sum(product_sum);
    if (threadIdx.x == 0) {
        means[blockIdx.x * 2] = static_cast<float>(sum / count);
        means[blockIdx.x * 2 + 1] = static_cast<float>(product_sum / count);
    }
}

// With n the normalised x and g its gradient: dx = inverse * (g - mean(g) - n * mean(g n)) +
// residual, where the means are over the group.
KERNEL(group_norm_backward_apply,
       (const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ stats, const float* __restrict__ weight,
        const float* __restrict__ bias, const float* __restrict__ means, const T* __restrict__ residual, T* __restrict__ dx, unsigned pixels,
        unsigned channels, unsigned groups, unsigned silu, unsigned n),
       (x, dy, stats, weight, bias, means, residual, dx, pixels, channels, groups, silu, n)) {
    for_each(n, aligned_for_4(x, dy, residual, dx) && aligned_for_4(weight, bias) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const GroupValues<W> group = load_group_values<W>(stats, pixel / pixels, channel, channels, groups);
        const GroupValues<W> mean = load_group_values<W>(means, pixel / pixels, channel, channels, groups);
        const Vector<W> scale = load<W>(weight + channel), shift = load<W>(bias + channel), grads = load<W>(dy + i);
        Vector<W> values = load<W>(x + i);
        for (unsigned j = 0; j < W; j++) {
            const float inverse = group.second[j];
            const NormGradient result = norm_gradient(values.at[j], grads.at[j], group.first[j], inverse, scale.at[j], shift.at[j], silu);
            values.at[j] = inverse * (result.grad - mean.first[j] - result.normalized * mean.second[j]);
        }
        if (residual) {
            const Vector<W> added = load<W>(residual + i);
            for (unsigned j = 0; j < W; j++) values.at[j] += added.at[j];
        }
        store(dx + i, values);
    });
}

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
