// Group and layer normalisation, forward and backward to the input.
//
// A group's numbers are spread over all pixels of a picture, so several blocks take a part of the pixels each; what they find is joined by
// a second kernel, in f64 and in a fixed order, and the third one goes over all numbers.

#include "primitives.cuh"

// Count, mean and sum of squared distances from the mean of some numbers.
template <typename Number>
struct Moments {
    Number count, mean, squares;
};

// Of both parts together (T. Chan, G. Golub and R. LeVeque, 1979).
template <typename Number>
__device__ __forceinline__ Moments<Number> join(const Moments<Number>& a, const Moments<Number>& b) {
    const Number count = a.count + b.count, distance = b.mean - a.mean;
    const Number share = count > 0 ? b.count / count : 0;
    return {count, a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share};
}

// Of all threads of a block of 256, for its first thread.
template <typename Number>
__device__ __forceinline__ Moments<Number> block_join(Moments<Number> moments) {
    __shared__ Moments<Number> of_warps[BLOCK_THREADS / WARP_LANES];
    for (unsigned distance = WARP_LANES / 2; distance > 0; distance /= 2) {
        const Number count = __shfl_down_sync(ALL_LANES, moments.count, distance), mean = __shfl_down_sync(ALL_LANES, moments.mean, distance);
        moments = join(moments, Moments<Number>{count, mean, __shfl_down_sync(ALL_LANES, moments.squares, distance)});
    }
    if (threadIdx.x % WARP_LANES == 0) of_warps[threadIdx.x / WARP_LANES] = moments;
    __syncthreads();
#pragma unroll 1
    for (unsigned warp = 1; warp < BLOCK_THREADS / WARP_LANES && threadIdx.x == 0; warp++) moments = join(moments, of_warps[warp]);
    return moments;
}

// The first pixel of a part; all parts are equal but for one pixel.
__device__ __forceinline__ unsigned part_start(unsigned part, unsigned parts, unsigned pixels) {
    return static_cast<unsigned>(static_cast<unsigned long long>(part) * pixels / parts);
}

// Visits this block's part of its group: visit(place in the buffer, channel). A thread keeps to its channels and goes from pixel to pixel.
template <unsigned W, typename Visit>
__device__ __forceinline__ void each_of_group(unsigned pixels, unsigned channels, unsigned groups, unsigned parts, Visit visit) {
    const unsigned size = channels / groups, picture = blockIdx.y / groups, first_channel = blockIdx.y % groups * size;
    const unsigned begin = part_start(blockIdx.x, parts, pixels), end = part_start(blockIdx.x + 1, parts, pixels);
    const unsigned lanes = min(size / W, BLOCK_THREADS), rows = BLOCK_THREADS / lanes;
    const unsigned row = threadIdx.x / lanes, lane = threadIdx.x - row * lanes;
    if (row >= rows) return;
#pragma unroll 1
    for (unsigned channel = first_channel + lane * W; channel < first_channel + size; channel += lanes * W) {
#pragma unroll 4
        for (unsigned pixel = begin + row; pixel < end; pixel += rows) visit((picture * pixels + pixel) * channels + channel, channel);
    }
}

// As above with two numbers at a time where the channels allow it.
template <typename T, typename Visit>
__device__ __forceinline__ void each_of_group(bool pairs, unsigned pixels, unsigned channels, unsigned groups, unsigned parts, Visit visit) {
    if (pairs && channels / groups % 2 == 0) {
        each_of_group<2>(pixels, channels, groups, parts, [&](unsigned at, unsigned channel) { visit(at, channel, Width<2>()); });
    } else {
        each_of_group<1>(pixels, channels, groups, parts, [&](unsigned at, unsigned channel) { visit(at, channel, Width<1>()); });
    }
}

// partial (pictures * groups, parts, 2): mean and sum of squared distances from it. Grid (parts, pictures * groups).
KERNEL(group_norm_sums,
       (const T* __restrict__ x, float* __restrict__ partial, unsigned pixels, unsigned channels, unsigned groups, unsigned parts),
       (x, partial, pixels, channels, groups, parts)) {
    // Sums of distances from the thread's first number cancel few digits.
    float count = 0.0f, origin = 0.0f, sum = 0.0f, squares = 0.0f;
    each_of_group<T>(in_fours(x), pixels, channels, groups, parts, [&](unsigned at, unsigned, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Numbers<W> numbers = load<W>(x + at);
        if (count == 0.0f) origin = numbers.at[0];
        count += W;
        for (float number : numbers.at) {
            const float distance = number - origin;
            sum += distance;
            squares += distance * distance;
        }
    });
    const float mean = count > 0.0f ? sum / count : 0.0f, rest = squares - sum * mean;
    const Moments<float> moments = block_join(Moments<float>{count, origin + mean, rest < 0.0f ? 0.0f : rest});
    if (threadIdx.x == 0) {
        float* found = partial + (blockIdx.y * parts + blockIdx.x) * 2;
        found[0] = moments.mean;
        found[1] = moments.squares;
    }
}

// stats (pictures * groups, 2): mean and inverse deviation. A block for each.
PLAIN_KERNEL(group_norm_stats, (const float* __restrict__ partial, float* __restrict__ stats, unsigned parts, unsigned pixels,
                                unsigned group_channels, float eps)) {
    Moments<double> moments = {0.0, 0.0, 0.0};
#pragma unroll 1
    for (unsigned part = threadIdx.x; part < parts; part += blockDim.x) {
        const float* found = partial + (blockIdx.x * parts + part) * 2;
        const unsigned count = part_start(part + 1, parts, pixels) - part_start(part, parts, pixels);
        moments = join(moments, Moments<double>{static_cast<double>(count) * group_channels, found[0], found[1]});
    }
    moments = block_join(moments);
    if (threadIdx.x == 0) {
        // What overflowed must not pass for a large deviation.
        const bool finite = is_finite(static_cast<float>(moments.squares));
        stats[blockIdx.x * 2] = finite ? static_cast<float>(moments.mean) : not_a_number();
        stats[blockIdx.x * 2 + 1] = static_cast<float>(1.0 / sqrt(moments.squares / moments.count + static_cast<double>(eps)));
    }
}

// For every number of some that lie side by side, the mean and inverse deviation (or two other numbers) of its group.
template <unsigned W>
struct OfGroups {
    float first[W], second[W];
};

template <unsigned W>
__device__ __forceinline__ OfGroups<W> of_groups(const float* __restrict__ numbers, unsigned picture, unsigned channel, unsigned channels,
                                                 unsigned groups) {
    const unsigned size = channels / groups, start = channel / size;
    unsigned within = channel - start * size;
    const float2* group = reinterpret_cast<const float2*>(numbers) + picture * groups + start;
    OfGroups<W> found;
    for (unsigned j = 0; j < W; j++) {
        const float2 both = *group;
        found.first[j] = both.x;
        found.second[j] = both.y;
        if (++within == size && j + 1 < W) {
            within = 0;
            group++;
        }
    }
    return found;
}

// y = weight * (x - mean) * inverse deviation + bias, then SiLU if `silu`.
KERNEL(group_norm_apply,
       (const T* __restrict__ x, const float* __restrict__ stats, const float* __restrict__ weight, const float* __restrict__ bias,
        T* __restrict__ y, unsigned pixels, unsigned channels, unsigned groups, unsigned silu, unsigned n),
       (x, stats, weight, bias, y, pixels, channels, groups, silu, n)) {
    each(n, in_fours(x, y) && in_fours(weight, bias) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const OfGroups<W> group = of_groups<W>(stats, pixel / pixels, channel, channels, groups);
        const Numbers<W> scale = load<W>(weight + channel), shift = load<W>(bias + channel);
        Numbers<W> numbers = load<W>(x + i);
        for (unsigned j = 0; j < W; j++) {
            const float z = (numbers.at[j] - group.first[j]) * (group.second[j] * scale.at[j]) + shift.at[j];
            numbers.at[j] = silu ? z * sigmoid(z) : z;
        }
        store(y + i, numbers);
    });
}

// The normalised x, and the slope before the weight.
struct Slope {
    float normal, slope;
};

__device__ __forceinline__ Slope slope_of(float x, float dy, float mean, float inverse, float weight, float bias, unsigned silu) {
    const float normal = (x - mean) * inverse;
    if (!silu) return {normal, dy * weight};
    const float z = normal * weight + bias, s = sigmoid(z);
    return {normal, dy * (s + z * s * (1.0f - s)) * weight};
}

// partial (pictures * groups, parts, 2): sums of the slopes, and of the slopes times normalised x. Grid (parts, pictures * groups).
KERNEL(group_norm_backward_sums,
       (const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ stats, const float* __restrict__ weight,
        const float* __restrict__ bias, float* __restrict__ partial, unsigned pixels, unsigned channels, unsigned groups, unsigned silu,
        unsigned parts),
       (x, dy, stats, weight, bias, partial, pixels, channels, groups, silu, parts)) {
    const float mean = stats[blockIdx.y * 2], inverse = stats[blockIdx.y * 2 + 1];
    float sum = 0.0f, with_normal = 0.0f;
    each_of_group<T>(in_fours(x, dy), pixels, channels, groups, parts, [&](unsigned at, unsigned channel, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Numbers<W> numbers = load<W>(x + at), slopes = load<W>(dy + at);
        for (unsigned j = 0; j < W; j++) {
            const Slope found = slope_of(numbers.at[j], slopes.at[j], mean, inverse, weight[channel + j], bias[channel + j], silu);
            sum += found.slope;
            with_normal += found.slope * found.normal;
        }
    });
    sum = block_sum(sum);
    with_normal = block_sum(with_normal);
    if (threadIdx.x == 0) {
        float* found = partial + (blockIdx.y * parts + blockIdx.x) * 2;
        found[0] = sum;
        found[1] = with_normal;
    }
}

// means (pictures * groups, 2): the sums of the parts divided by `count`. A block for each.
PLAIN_KERNEL(group_norm_backward_means, (const float* __restrict__ partial, float* __restrict__ means, unsigned parts, unsigned count)) {
    double sum = 0.0, with_normal = 0.0;
#pragma unroll 1
    for (unsigned part = threadIdx.x; part < parts; part += blockDim.x) {
        sum += partial[(blockIdx.x * parts + part) * 2];
        with_normal += partial[(blockIdx.x * parts + part) * 2 + 1];
    }
    sum = block_sum(sum);
    with_normal = block_sum(with_normal);
    if (threadIdx.x == 0) {
        means[blockIdx.x * 2] = static_cast<float>(sum / count);
        means[blockIdx.x * 2 + 1] = static_cast<float>(with_normal / count);
    }
}

// With n the normalised x and g the slopes: dx = inverse * (g - mean(g) - n mean(g n)) + residual, means over a group.
KERNEL(group_norm_backward_apply,
       (const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ stats, const float* __restrict__ weight,
        const float* __restrict__ bias, const float* __restrict__ means, const T* __restrict__ residual, T* __restrict__ dx, unsigned pixels,
        unsigned channels, unsigned groups, unsigned silu, unsigned n),
       (x, dy, stats, weight, bias, means, residual, dx, pixels, channels, groups, silu, n)) {
    each(n, in_fours(x, dy, residual, dx) && in_fours(weight, bias) && channels % 4 == 0, [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const OfGroups<W> group = of_groups<W>(stats, pixel / pixels, channel, channels, groups);
        const OfGroups<W> mean = of_groups<W>(means, pixel / pixels, channel, channels, groups);
        const Numbers<W> scale = load<W>(weight + channel), shift = load<W>(bias + channel), slopes = load<W>(dy + i);
        Numbers<W> numbers = load<W>(x + i);
        for (unsigned j = 0; j < W; j++) {
            const float inverse = group.second[j];
            const Slope found = slope_of(numbers.at[j], slopes.at[j], group.first[j], inverse, scale.at[j], shift.at[j], silu);
            numbers.at[j] = inverse * (found.slope - mean.first[j] - found.normal * mean.second[j]);
        }
        if (residual) {
            const Numbers<W> added = load<W>(residual + i);
            for (unsigned j = 0; j < W; j++) numbers.at[j] += added.at[j];
        }
        store(dx + i, numbers);
    });
}

// Shares rows among the warps of the grid: visit(the row's first number, the warp's lane).
template <typename Visit>
__device__ __forceinline__ void each_row(unsigned rows, unsigned channels, Visit visit) {
    const unsigned warps = blockDim.x / WARP_LANES;
#pragma unroll 1
    for (unsigned row = blockIdx.x * warps + threadIdx.x / WARP_LANES; row < rows; row += gridDim.x * warps) {
        visit(row * channels, threadIdx.x % WARP_LANES);
    }
}

// Mean and inverse deviation of a row, which a warp reads twice; the second time it comes from the cache.
template <typename T>
__device__ __forceinline__ Moments<float> row_moments(const T* __restrict__ x, unsigned lane, unsigned channels, bool fours, float eps) {
    float sum = 0.0f, squares = 0.0f;
    walk(lane, WARP_LANES, channels, fours, [&](unsigned i, auto width) {
        for (float number : load<decltype(width)::count>(x + i).at) sum += number;
    });
    const float mean = warp_sum(sum) / channels;
    walk(lane, WARP_LANES, channels, fours, [&](unsigned i, auto width) {
        for (float number : load<decltype(width)::count>(x + i).at) squares += (number - mean) * (number - mean);
    });
    const float variance = warp_sum(squares) / channels;
    return {static_cast<float>(channels), mean, is_finite(variance) ? 1.0f / sqrtf(variance + eps) : not_a_number()};
}

// Normalises every row of `channels` numbers.
KERNEL(layer_norm,
       (const T* __restrict__ x, const float* __restrict__ weight, const float* __restrict__ bias, T* __restrict__ y, unsigned channels,
        unsigned rows, float eps),
       (x, weight, bias, y, channels, rows, eps)) {
    const bool fours = in_fours(x, y) && in_fours(weight, bias) && channels % 4 == 0;
    each_row(rows, channels, [&](unsigned start, unsigned lane) {
        const Moments<float> moments = row_moments(x + start, lane, channels, fours, eps);
        const float mean = moments.mean, inverse = moments.squares;
        walk(lane, WARP_LANES, channels, fours, [&](unsigned i, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Numbers<W> scale = load<W>(weight + i), shift = load<W>(bias + i);
            Numbers<W> numbers = load<W>(x + start + i);
            for (unsigned j = 0; j < W; j++) numbers.at[j] = (numbers.at[j] - mean) * inverse * scale.at[j] + shift.at[j];
            store(y + start + i, numbers);
        });
    });
}

KERNEL(layer_norm_backward,
       (const T* __restrict__ x, const float* __restrict__ weight, const T* __restrict__ dy, const T* __restrict__ residual,
        T* __restrict__ dx, unsigned channels, unsigned rows, float eps),
       (x, weight, dy, residual, dx, channels, rows, eps)) {
    const bool fours = in_fours(x, dy, residual, dx) && in_fours(weight) && channels % 4 == 0;
    each_row(rows, channels, [&](unsigned start, unsigned lane) {
        const Moments<float> moments = row_moments(x + start, lane, channels, fours, eps);
        const float mean = moments.mean, inverse = moments.squares;
        float sum = 0.0f, with_normal = 0.0f;
        walk(lane, WARP_LANES, channels, fours, [&](unsigned i, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Numbers<W> numbers = load<W>(x + start + i), slopes = load<W>(dy + start + i), scale = load<W>(weight + i);
            for (unsigned j = 0; j < W; j++) {
                const float slope = slopes.at[j] * scale.at[j];
                sum += slope;
                with_normal += slope * ((numbers.at[j] - mean) * inverse);
            }
        });
        sum = warp_sum(sum) / channels;
        with_normal = warp_sum(with_normal) / channels;
        walk(lane, WARP_LANES, channels, fours, [&](unsigned i, auto width) {
            constexpr unsigned W = decltype(width)::count;
            const Numbers<W> slopes = load<W>(dy + start + i), scale = load<W>(weight + i);
            Numbers<W> numbers = load<W>(x + start + i);
            for (unsigned j = 0; j < W; j++) {
                numbers.at[j] = (slopes.at[j] * scale.at[j] - sum - (numbers.at[j] - mean) * inverse * with_normal) * inverse;
            }
            if (residual) {
                const Numbers<W> added = load<W>(residual + start + i);
                for (unsigned j = 0; j < W; j++) numbers.at[j] += added.at[j];
            }
            store(dx + start + i, numbers);
        });
    });
}
