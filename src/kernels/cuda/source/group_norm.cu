// Group normalisation.
//
// A group spans all pixels of a picture, so several blocks reduce a part of the pixels each. The
// first warp of the block that finishes last merges the parts of its group in f64 and in a fixed
// order, whichever block that is; a second kernel applies the result to every value. A group that
// one block can reduce alone needs no second kernel (`whole`).

#pragma once

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

// A value of a buffer of pixels: its index, its channel, and its pixel, counted over all pictures.
struct Place {
    unsigned at, channel, pixel;
};

// The same value in x and z, which have the channels of the buffer between them.
template <typename T>
__device__ __forceinline__ T* side_by_side(T* x, T* z, unsigned x_channels, unsigned channels, const Place& place) {
    if (place.channel < x_channels) return x + place.pixel * x_channels + place.channel;
    return z + place.pixel * (channels - x_channels) + (place.channel - x_channels);
}

// Calls body(place) for every value of this block's part of its group. A thread keeps its channels
// and strides over the pixels.
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
        for (unsigned pixel = picture * pixels + begin + row; pixel < picture * pixels + end; pixel += rows) {
            body(Place{pixel * channels + channel, channel, pixel});
        }
    }
}

// As above, two values at a time where alignment and group size allow it.
template <typename T, typename Body>
__device__ __forceinline__ void for_each_in_group(bool vectorized, unsigned pixels, unsigned channels, unsigned groups, unsigned parts, Body body) {
    if (vectorized && channels / groups % 2 == 0) {
        for_each_in_group<2>(pixels, channels, groups, parts, [&](const Place& place) { body(place, Width<2>()); });
    } else {
        for_each_in_group<1>(pixels, channels, groups, parts, [&](const Place& place) { body(place, Width<1>()); });
    }
}

// Called by the first warp of a block whose first lane has written the block's part. Returns `true`
// in the last block of the group, which then sees the parts of all others. `finished` counts the
// blocks of each group; it is 0 before and after a launch.
__device__ __forceinline__ bool is_last_of_group(unsigned* finished, unsigned parts) {
    unsigned before = 0;
    if (threadIdx.x == 0) {
        __threadfence();
        // Wraps to 0 at the last part.
        before = atomicInc(finished + blockIdx.y, parts - 1);
    }
    before = __shfl_sync(ALL_LANES, before, 0);
    __threadfence();
    return before == parts - 1;
}

// Moments of this block's part of its group. Only the first thread gets the result. If z is not null,
// the values are those of x and z side by side, and are written to `joined`.
template <typename T>
__device__ __forceinline__ Moments<float> part_moments(
    const T* __restrict__ x, const T* __restrict__ z, unsigned x_channels, T* joined, unsigned pixels, unsigned channels, unsigned groups,
    unsigned parts
) {
    // Deviations from the thread's first value avoid cancellation in the sum of squares.
    float count = 0.0f, pivot = 0.0f, sum = 0.0f, squares = 0.0f;
    const bool vectorized = aligned_for_4(x, z) && (!z || x_channels % 2 == 0);
    for_each_in_group<T>(vectorized, pixels, channels, groups, parts, [&](const Place& place, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Vector<W> values = load<W>(z ? side_by_side(x, z, x_channels, channels, place) : x + place.at);
        if (z) store(joined + place.at, values);
        if (count == 0.0f) pivot = values.at[0];
        count += W;
        for (float value : values.at) {
            const float distance = value - pivot;
            sum += distance;
            squares += distance * distance;
        }
    });
    const float mean = count > 0.0f ? sum / count : 0.0f, rest = squares - sum * mean;
    return block_merge(Moments<float>{count, pivot + mean, rest < 0.0f ? 0.0f : rest});
}

// Mean and inverse standard deviation of a group. An overflowed variance gives NaN instead of
// passing for a large deviation.
__device__ __forceinline__ float2 deviation_of(const Moments<double>& moments, float eps) {
    const bool finite = is_finite(static_cast<float>(moments.squares));
    return make_float2(finite ? static_cast<float>(moments.mean) : quiet_nan(),
                       static_cast<float>(1.0 / sqrt(moments.squares / moments.count + static_cast<double>(eps))));
}

// stats (pictures * groups, 2): mean and inverse standard deviation. partial (pictures * groups,
// parts, 2): mean and sum of squared deviations of each part. Grid (parts, pictures * groups).
KERNEL(group_norm_stats,
       (const T* __restrict__ x, const T* __restrict__ z, unsigned x_channels, T* __restrict__ joined, float* partial, unsigned* finished,
        float* __restrict__ stats, unsigned pixels, unsigned channels, unsigned groups, unsigned parts, float eps),
       (x, z, x_channels, joined, partial, finished, stats, pixels, channels, groups, parts, eps)) {
    const Moments<float> own = part_moments(x, z, x_channels, joined, pixels, channels, groups, parts);
    // A whole warp returns at a time.
    if (threadIdx.x >= WARP_LANES) return;
    // Other blocks write it during the launch, so it is not cached.
    volatile float* group = partial + blockIdx.y * parts * 2;
    if (threadIdx.x == 0) {
        group[blockIdx.x * 2] = own.mean;
        group[blockIdx.x * 2 + 1] = own.squares;
    }
    if (!is_last_of_group(finished, parts)) return;
    Moments<double> moments = {0.0, 0.0, 0.0};
#pragma unroll 1
    for (unsigned part = threadIdx.x; part < parts; part += WARP_LANES) {
        const unsigned count = part_start(part + 1, parts, pixels) - part_start(part, parts, pixels);
        const double values = static_cast<double>(count) * (channels / groups);
        moments = merge(moments, Moments<double>{values, group[part * 2], group[part * 2 + 1]});
    }
    moments = warp_merge(moments);
    if (threadIdx.x == 0) reinterpret_cast<float2*>(stats)[blockIdx.y] = deviation_of(moments, eps);
}

// z = weight * (x - mean) * inverse deviation + bias, then SiLU if `silu`.
__device__ __forceinline__ float normalize(float x, float mean, float inverse, float weight, float bias, unsigned silu) {
    const float z = (x - mean) * (inverse * weight) + bias;
    return silu ? z * sigmoid(z) : z;
}

// Both steps for groups that one block reduces: grid (1, pictures * groups).
KERNEL(group_norm_whole,
       (const T* __restrict__ x, const T* __restrict__ z, unsigned x_channels, T* __restrict__ joined, const float* __restrict__ weight,
        const float* __restrict__ bias, float* __restrict__ stats, T* __restrict__ y, unsigned pixels, unsigned channels, unsigned groups,
        unsigned silu, float eps),
       (x, z, x_channels, joined, weight, bias, stats, y, pixels, channels, groups, silu, eps)) {
    __shared__ float2 shared;
    const Moments<float> own = part_moments(x, z, x_channels, joined, pixels, channels, groups, 1);
    if (threadIdx.x == 0) {
        shared = deviation_of(Moments<double>{own.count, own.mean, own.squares}, eps);
        reinterpret_cast<float2*>(stats)[blockIdx.y] = shared;
    }
    __syncthreads();
    const float mean = shared.x, inverse = shared.y;
    const bool vectorized = aligned_for_4(x, z, y) && (!z || x_channels % 2 == 0);
    for_each_in_group<T>(vectorized, pixels, channels, groups, 1, [&](const Place& place, auto width) {
        constexpr unsigned W = decltype(width)::count;
        Vector<W> values = load<W>(z ? side_by_side(x, z, x_channels, channels, place) : x + place.at);
        for (unsigned j = 0; j < W; j++) {
            values.at[j] = normalize(values.at[j], mean, inverse, weight[place.channel + j], bias[place.channel + j], silu);
        }
        store(y + place.at, values);
    });
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

// y = normalize(x).
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
            values.at[j] = normalize(values.at[j], group.first[j], group.second[j], scale.at[j], shift.at[j], silu);
        }
        store(y + i, values);
    });
}
