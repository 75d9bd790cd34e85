// Fused attention (Dao, FlashAttention-2, 2023, algorithms 1 and 2). Scores and probabilities exist
// in registers only; the backward pass recomputes them from the saved log-sum-exp. Products run on
// tensor cores with f32 accumulation. One warp sums each value in a fixed order, without atomics,
// so the result is bitwise reproducible.
//
// o = softmax(scale q k^T) v. With probabilities P and delta = rowsum(d_o o): dv = P^T d_o, dS = P
// (d_o v^T - delta), dq = scale dS k, dk = scale dS^T q. P and dS are rounded to T for these
// products. `scale` is applied to the f32 sums, to keep small dS out of f16's subnormal range.
//
// Consecutive tokens are heads * D values apart. Pointers are aligned to 16 bytes, and `k_stride`
// is a multiple of 8. Scores must be below 1e8 in magnitude: above that, the spacing of f32
// exponents exceeds f16's range.
//
// Launch: grid (ceil(tokens / block), heads, batch), 128 threads per block. Tokens are queries,
// except for backward_kv, where they are keys. Every kernel fits the 48 KiB of shared memory that
// all GPUs give without opting in.
//
//   block, shared bytes   D = 32      D = 40      D = 64      D = 80      D = 160
//   attention             64, 20480   128, 20480  64, 36864   64, 45056   64, 43008
//   attention_backward_q  64, 20480   128, 20480  64, 36864   64, 45056   64, 43008
//   attention_backward_kv 64, 21504   128, 21504  64, 37888   64, 46080   32, 43520
//
// A warp holds 16 or 32 tokens (M = 1 or 2 rows of fragments) in registers and loops over tiles of
// the other side's tokens, while the next tile is copied into shared memory. Two rows of fragments
// halve the shared memory traffic, which limits small heads.

#pragma once

#include "tensor_cores.cuh"

constexpr unsigned ATTENTION_WARPS = TILE_THREADS / WARP_LANES;
constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

// Probabilities may grow to 2^RESCALE_THRESHOLD before sums and outputs are rescaled. That is far
// below f16's 2^16, and large enough that rescaling happens only in the first few tiles.
constexpr float RESCALE_THRESHOLD = 8.0f;

#define INFINITY_F32 __uint_as_float(0x7f800000u)

// Tile sizes per head size. `*_rows`: M of the three kernels; `tile`: tokens of a tile; `at_once`:
// keys of one softmax step; `*_blocks`: resident blocks per multiprocessor, which limits the
// registers.
template <int D>
struct AttentionSizes;

template <>
struct AttentionSizes<32> {
    static constexpr int rows = 1, q_rows = 1, kv_rows = 1, tile = 64, at_once = 32, blocks = 4, q_blocks = 4, kv_blocks = 3;
};

// Head size of the largest feature maps.
template <>
struct AttentionSizes<40> {
    static constexpr int rows = 2, q_rows = 2, kv_rows = 2, tile = 64, at_once = 32, blocks = 3, q_blocks = 3, kv_blocks = 2;
};

template <>
struct AttentionSizes<64> {
    static constexpr int rows = 1, q_rows = 1, kv_rows = 1, tile = 64, at_once = 64, blocks = 3, q_blocks = 4, kv_blocks = 3;
};

template <>
struct AttentionSizes<80> {
    static constexpr int rows = 1, q_rows = 1, kv_rows = 1, tile = 64, at_once = 64, blocks = 2, q_blocks = 3, kv_blocks = 2;
};

// One warp's registers cannot hold the gradients of both keys and values: half of the warps compute
// dk, the other half dv.
template <>
struct AttentionSizes<160> {
    static constexpr int rows = 1, q_rows = 1, kv_rows = 1, tile = 32, at_once = 32, blocks = 2, q_blocks = 2, kv_blocks = 2;
};

// First value of this block's picture and head.
template <typename T, int D>
__device__ __forceinline__ T* head_of(T* x, unsigned picture_stride) {
    return x + blockIdx.z * picture_stride + blockIdx.y * D;
}

template <typename T, int D>
__device__ __forceinline__ void attention(
    const T* q, const T* k, const T* v, T* o, float* sums, unsigned queries, unsigned keys, unsigned heads, unsigned k_stride, float scale,
    SharedAddress shared
) {
    using Sizes = AttentionSizes<D>;
    using Tile = TokenTile<T, D>;
    constexpr int M = Sizes::rows, GROUPS = Sizes::at_once / 16;
    constexpr unsigned BUFFER = 2 * Sizes::tile * Tile::STRIDE;
    const unsigned stride = heads * D, first = (blockIdx.x * ATTENTION_WARPS + threadIdx.x / 32) * 16 * M;
    q = head_of<const T, D>(q, queries * stride);
    o = head_of<T, D>(o, queries * stride);
    k = head_of<const T, D>(k, k_stride);
    v = head_of<const T, D>(v, k_stride);
    const float log2_scale = scale * LOG2_E;

    unsigned q_rows[M][Tile::STEPS][4];
    float o_sums[M][D / 8][4], row_sum[M][2];
    // A probability is 2^(log2_scale * score + shift), not yet divided by row_sum. `shift` follows
    // the running maximum of the scores.
    float shift[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) {
        Tile::load(q_rows[m], q, first + 16 * m, queries, stride);
        Tile::clear(o_sums[m]);
        shift[m][0] = shift[m][1] = INFINITY_F32;
        row_sum[m][0] = row_sum[m][1] = 0.0f;
    }

    Tile::template copy_tiles_async<Sizes::tile>(shared, k, v, 0, keys, stride);
    for (unsigned tile = 0, buffer = 0; tile < keys; tile += Sizes::tile, buffer = BUFFER - buffer) {
        // The barrier also guarantees that every warp has finished reading the other buffer.
        wait_for_async_copies();
        __syncthreads();
        if (tile + Sizes::tile < keys) {
            Tile::template copy_tiles_async<Sizes::tile>(shared + (BUFFER - buffer), k, v, tile + Sizes::tile, keys, stride);
        }
#pragma unroll 1
        for (unsigned part = 0; part < Sizes::tile && tile + part < keys; part += Sizes::at_once) {
            const SharedAddress k_tile = shared + (buffer + part * Tile::STRIDE), v_tile = k_tile + Sizes::tile * Tile::STRIDE;
            // s holds the scores of key 16 * group + 8 * n + 2 * (lane % 4) + e % 2 and query 16 *
            // m + lane / 4 + 8 * (e / 2).
            float s[GROUPS][M][2][4];
#pragma unroll
            for (int group = 0; group < GROUPS; group++) {
                Tile::multiply_transposed(s[group], q_rows, k_tile + group * 16 * Tile::STRIDE);
            }
            if (tile + part + Sizes::at_once > keys) {
                const int remaining = static_cast<int>(keys - tile - part) - static_cast<int>(threadIdx.x % 4 * 2);
#pragma unroll
                for (int i = 0; i < GROUPS * M * 8; i++) {
                    const int group = i / (8 * M), m = i / 8 % M, n = i / 4 % 2, e = i % 4;
                    s[group][m][n][e] = 16 * group + 8 * n + e % 2 < remaining ? s[group][m][n][e] : -INFINITY_F32;
                }
            }
            float row_max[M][2];
            bool rescale = false;
#pragma unroll
            for (int i = 0; i < 2 * M; i++) {
                // fmaxf ignores NaN; the exponential below propagates it.
                const int m = i / 2, half = i % 2;
                row_max[m][half] = s[0][m][0][2 * half];
#pragma unroll
                for (int j = 1; j < GROUPS * 4; j++) {
                    row_max[m][half] = fmaxf(row_max[m][half], s[j / 4][m][j / 2 % 2][2 * half + j % 2]);
                }
                row_max[m][half] = quad_max(row_max[m][half]);
                rescale |= fmaf(row_max[m][half], log2_scale, shift[m][half]) > RESCALE_THRESHOLD;
            }
            // All lanes of a warp take the same branch, because the products below need the whole
            // warp.
            if (any_lane(rescale)) {
#pragma unroll
                for (int i = 0; i < 2 * M; i++) {
                    const int m = i / 2, half = i % 2;
                    const float next = -log2_scale * row_max[m][half];
                    if (next >= shift[m][half]) continue;
                    const float factor = exp2_approx(next - shift[m][half]);
                    shift[m][half] = next;
                    row_sum[m][half] *= factor;
#pragma unroll
                    for (int n = 0; n < D / 8; n++) {
                        o_sums[m][n][2 * half] *= factor;
                        o_sums[m][n][2 * half + 1] *= factor;
                    }
                }
            }
            unsigned p[GROUPS][M][4];
#pragma unroll
            for (int i = 0; i < GROUPS * M * 4; i++) {
                const int group = i / (4 * M), m = i / 4 % M, n = i / 2 % 2, half = i % 2;
                const float low = exp2_approx(fmaf(s[group][m][n][2 * half], log2_scale, shift[m][half]));
                const float high = exp2_approx(fmaf(s[group][m][n][2 * half + 1], log2_scale, shift[m][half]));
                row_sum[m][half] += low + high;
                p[group][m][2 * n + half] = pack<T>(low, high);
            }
#pragma unroll
            for (int group = 0; group < GROUPS; group++) {
                Tile::multiply_accumulate(o_sums, p[group], v_tile + group * 16 * Tile::STRIDE);
            }
        }
    }

#pragma unroll
    for (int m = 0; m < M; m++) {
        float factor[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float sum = quad_sum(row_sum[m][half]);
            // Zero without keys.
            factor[half] = sum == 0.0f ? 0.0f : reciprocal_approx(sum);
            const unsigned query = first + 16 * m + 8 * half + threadIdx.x % 32 / 4;
            if (threadIdx.x % 4 == 0 && query < queries) {
                sums[(blockIdx.z * heads + blockIdx.y) * queries + query] = (log2_approx(sum) - shift[m][half]) * LN_2;
            }
        }
        Tile::store(o, o_sums[m], factor, first + 16 * m, queries, stride);
    }
}

#define ATTENTION_KERNEL(kernel, D, T, blocks, parameters, ...)                                              \
    extern "C" __global__ void __launch_bounds__(TILE_THREADS, blocks) kernel##_##D##_##T parameters {       \
        kernel<T, D>(__VA_ARGS__, queries, keys, heads, k_stride, scale, shared_address(dynamic_shared()));  \
    }                                                                                                        \
    REGISTER(kernel##_##D##_##T)
#define ATTENTION_FORMATS(KERNELS, D) KERNELS(D, f16) KERNELS(D, bf16)
#define ATTENTION_KERNELS(KERNELS)  \
    ATTENTION_FORMATS(KERNELS, 32)  \
    ATTENTION_FORMATS(KERNELS, 40)  \
    ATTENTION_FORMATS(KERNELS, 64)  \
    ATTENTION_FORMATS(KERNELS, 80)  \
    ATTENTION_FORMATS(KERNELS, 160)

#define ATTENTION_FORWARD(D, T)                                                                               \
    ATTENTION_KERNEL(attention, D, T, AttentionSizes<D>::blocks,                                              \
                     (const T* q, const T* k, const T* v, T* o, float* sums, unsigned queries, unsigned keys, \
                      unsigned heads, unsigned k_stride, float scale),                                        \
                     q, k, v, o, sums)
ATTENTION_KERNELS(ATTENTION_FORWARD)
