// Backward pass of group normalisation to the input. group_norm.cu explains the steps.

#include "group_norm.cu"

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

struct GradientSums {
    float sum, product_sum;
};

// Sums of the gradients, and of the gradients times normalised x, of this block's part of its
// group. Every thread gets the result.
template <typename T>
__device__ __forceinline__ GradientSums part_sums(
    const T* __restrict__ x, const T* __restrict__ dy, float mean, float inverse, const float* __restrict__ weight,
    const float* __restrict__ bias, unsigned pixels, unsigned channels, unsigned groups, unsigned silu, unsigned parts
) {
    float sum = 0.0f, product_sum = 0.0f;
    for_each_in_group<T>(aligned_for_4(x, dy), pixels, channels, groups, parts, [&](const Place& place, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Vector<W> values = load<W>(x + place.at), grads = load<W>(dy + place.at);
        for (unsigned j = 0; j < W; j++) {
            const unsigned channel = place.channel + j;
            const NormGradient result = norm_gradient(values.at[j], grads.at[j], mean, inverse, weight[channel], bias[channel], silu);
            sum += result.grad;
            product_sum += result.grad * result.normalized;
        }
    });
    sum = block_sum(sum);
    return {sum, block_sum(product_sum)};
}

// means (pictures * groups, 2): means of the gradients, and of the gradients times normalised x.
// partial (pictures * groups, parts, 2): their sums over each part. Grid (parts, pictures *
// groups).
KERNEL(group_norm_backward_means,
       (const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ stats, const float* __restrict__ weight,
        const float* __restrict__ bias, float* partial, unsigned* finished, float* __restrict__ means, unsigned pixels, unsigned channels,
        unsigned groups, unsigned silu, unsigned parts),
       (x, dy, stats, weight, bias, partial, finished, means, pixels, channels, groups, silu, parts)) {
    const float mean = stats[blockIdx.y * 2], inverse = stats[blockIdx.y * 2 + 1];
    const GradientSums own = part_sums(x, dy, mean, inverse, weight, bias, pixels, channels, groups, silu, parts);
    if (threadIdx.x >= WARP_LANES) return;
    volatile float* group = partial + blockIdx.y * parts * 2;
    if (threadIdx.x == 0) {
        group[blockIdx.x * 2] = own.sum;
        group[blockIdx.x * 2 + 1] = own.product_sum;
    }
    if (!is_last_of_group(finished, parts)) return;
    double sum = 0.0, product_sum = 0.0;
#pragma unroll 1
    for (unsigned part = threadIdx.x; part < parts; part += WARP_LANES) {
        sum += group[part * 2];
        product_sum += group[part * 2 + 1];
    }
    sum = warp_sum(sum);
    product_sum = warp_sum(product_sum);
    if (threadIdx.x == 0) {
        const double count = static_cast<double>(pixels) * (channels / groups);
        means[blockIdx.y * 2] = static_cast<float>(sum / count);
        means[blockIdx.y * 2 + 1] = static_cast<float>(product_sum / count);
    }
}

// With n the normalised x and g its gradient: inverse * (g - mean(g) - n * mean(g n)), where the
// means are over the group.
__device__ __forceinline__ float norm_input_gradient(const NormGradient& of, float inverse, float mean, float product_mean) {
    return inverse * (of.grad - mean - of.normalized * product_mean);
}

// dx = the gradient + residual, for groups that one block reduces: grid (1, pictures * groups). If dz
// is not null, dx gets the first channels and dz the others.
KERNEL(group_norm_backward_whole,
       (const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ stats, const float* __restrict__ weight,
        const float* __restrict__ bias, const T* __restrict__ residual, T* __restrict__ dx, T* __restrict__ dz, unsigned dx_channels,
        unsigned pixels, unsigned channels, unsigned groups, unsigned silu),
       (x, dy, stats, weight, bias, residual, dx, dz, dx_channels, pixels, channels, groups, silu)) {
    const float mean = stats[blockIdx.y * 2], inverse = stats[blockIdx.y * 2 + 1];
    const GradientSums own = part_sums(x, dy, mean, inverse, weight, bias, pixels, channels, groups, silu, 1);
    const double count = static_cast<double>(pixels) * (channels / groups);
    const float grad_mean = static_cast<float>(own.sum / count), product_mean = static_cast<float>(own.product_sum / count);
    const bool vectorized = aligned_for_4(x, dy, residual, dx, dz) && (!dz || dx_channels % 2 == 0);
    for_each_in_group<T>(vectorized, pixels, channels, groups, 1, [&](const Place& place, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const Vector<W> grads = load<W>(dy + place.at);
        Vector<W> values = load<W>(x + place.at);
        for (unsigned j = 0; j < W; j++) {
            const unsigned channel = place.channel + j;
            const NormGradient result = norm_gradient(values.at[j], grads.at[j], mean, inverse, weight[channel], bias[channel], silu);
            values.at[j] = norm_input_gradient(result, inverse, grad_mean, product_mean);
        }
        if (residual) {
            const Vector<W> added = load<W>(residual + place.at);
            for (unsigned j = 0; j < W; j++) values.at[j] += added.at[j];
        }
        store(dz ? side_by_side(dx, dz, dx_channels, channels, place) : dx + place.at, values);
    });
}

// dx = the gradient + residual. If dz is not null, dx gets the first channels and dz the others.
KERNEL(group_norm_backward_apply,
       (const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ stats, const float* __restrict__ weight,
        const float* __restrict__ bias, const float* __restrict__ means, const T* __restrict__ residual, T* __restrict__ dx,
        T* __restrict__ dz, unsigned dx_channels, unsigned pixels, unsigned channels, unsigned groups, unsigned silu, unsigned n),
       (x, dy, stats, weight, bias, means, residual, dx, dz, dx_channels, pixels, channels, groups, silu, n)) {
    const bool aligned = aligned_for_4(x, dy, residual, dx, dz) && aligned_for_4(weight, bias);
    for_each(n, aligned && channels % 4 == 0 && (!dz || dx_channels % 4 == 0), [&](unsigned i, auto width) {
        constexpr unsigned W = decltype(width)::count;
        const unsigned pixel = i / channels, channel = i - pixel * channels;
        const GroupValues<W> group = load_group_values<W>(stats, pixel / pixels, channel, channels, groups);
        const GroupValues<W> mean = load_group_values<W>(means, pixel / pixels, channel, channels, groups);
        const Vector<W> scale = load<W>(weight + channel), shift = load<W>(bias + channel), grads = load<W>(dy + i);
        Vector<W> values = load<W>(x + i);
        for (unsigned j = 0; j < W; j++) {
            const float inverse = group.second[j];
            const NormGradient result = norm_gradient(values.at[j], grads.at[j], group.first[j], inverse, scale.at[j], shift.at[j], silu);
            values.at[j] = norm_input_gradient(result, inverse, mean.first[j], mean.second[j]);
        }
        if (residual) {
            const Vector<W> added = load<W>(residual + i);
            for (unsigned j = 0; j < W; j++) values.at[j] += added.at[j];
        }
        store(dz ? side_by_side(dx, dz, dx_channels, channels, Place{i, channel, pixel}) : dx + i, values);
    });
}
