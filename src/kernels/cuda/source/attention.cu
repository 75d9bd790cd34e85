// Attention in tiles (Dao, FlashAttention-2, 2023, algorithms 1 and 2): scores and probabilities exist in registers alone; the backward
// pass computes them again from the logarithms of the sums of exponentials. Products run on tensor cores with f32 sums. Every number is
// summed by one warp in a fixed order, without atomics: the same bits every time.
//
// o = softmax(scale q k^T) v. With P the probabilities and delta = rowsum(d_o o): dv = P^T d_o, dS = P (d_o v^T - delta),
// dq = scale dS k, dk = scale dS^T q. P and dS are rounded to T for these products; the factor `scale` is left to the f32 sums, so that
// a small dS stays clear of f16's subnormal numbers.
//
// Numbers of a token are heads * D apart from the next token's. Pointers are aligned to 16 bytes, `k_stride` is a multiple of 8.
// Scores are taken to be below 1e8 in size: beyond, f32's steps between powers are more than f16 can hold.
//
// How to launch: blocks (ceil(tokens / block), heads, batch) of 128 threads; tokens are queries, but keys for backward_kv. No kernel asks
// for more shared memory than every GPU gives without being asked to (48 KiB).
//
//   block, shared bytes   D = 32      D = 40      D = 64      D = 80      D = 160
//   attention             64, 20480   128, 20480  64, 36864   64, 45056   64, 43008
//   attention_backward_q  64, 20480   128, 20480  64, 36864   64, 45056   64, 43008
//   attention_backward_kv 64, 21504   128, 21504  64, 37888   64, 46080   32, 43520
//
// A warp owns 16 or 32 tokens (M = 1 or 2 rows of fragments) in registers and meets the other side's tokens tile by tile; the next tile
// is copied into shared memory meanwhile. Two rows of fragments halve what is read from shared memory, which bounds small heads.

#pragma once

#include "tensor_cores.cuh"

constexpr unsigned ATTENTION_WARPS = TILE_THREADS / WARP_LANES;
constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

// How far, as a power of two, probabilities may grow above 1 before sums and outputs are scaled down again. Far from f16's 2^16, and
// enough that this happens a few times at the beginning only.
constexpr float SLACK = 8.0f;

#define INFINITE __uint_as_float(0x7f800000u)

// Sizes per head size. `*_rows`: M of the three kernels; `tile`: tokens of a tile; `at_once`: keys that a step of the softmax takes;
// `*_blocks`: blocks that a multiprocessor should hold, which bounds the registers.
template <int D>
struct AttentionSizes;

template <>
struct AttentionSizes<32> {
    static constexpr int rows = 1, q_rows = 1, kv_rows = 1, tile = 64, at_once = 32, blocks = 4, q_blocks = 4, kv_blocks = 3;
};

// The large pictures' head size.
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

// One warp's registers do not hold the gradients of both keys and values: half of the warps make the ones, half the others.
template <>
struct AttentionSizes<160> {
    static constexpr int rows = 1, q_rows = 1, kv_rows = 1, tile = 32, at_once = 32, blocks = 2, q_blocks = 2, kv_blocks = 2;
};

// Where a picture's head begins.
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
    const float power = scale * LOG2_E;

    unsigned q_rows[M][Tile::STEPS][4];
    float o_sums[M][D / 8][4], total[M][2];
    // A probability is 2^(power * score + shift) until the last tile has told the total; `shift` follows the largest score downwards.
    float shift[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) {
        Tile::load(q_rows[m], q, first + 16 * m, queries, stride);
        Tile::clear(o_sums[m]);
        shift[m][0] = shift[m][1] = INFINITE;
        total[m][0] = total[m][1] = 0.0f;
    }

    Tile::template fetch<Sizes::tile>(shared, k, v, 0, keys, stride);
    for (unsigned tile = 0, buffer = 0; tile < keys; tile += Sizes::tile, buffer = BUFFER - buffer) {
        // The barrier also tells that nobody reads the other buffer any more.
        wait_for_copies();
        __syncthreads();
        if (tile + Sizes::tile < keys) {
            Tile::template fetch<Sizes::tile>(shared + (BUFFER - buffer), k, v, tile + Sizes::tile, keys, stride);
        }
#pragma unroll 1
        for (unsigned part = 0; part < Sizes::tile && tile + part < keys; part += Sizes::at_once) {
            const SharedAddress k_tile = shared + (buffer + part * Tile::STRIDE), v_tile = k_tile + Sizes::tile * Tile::STRIDE;
            // Scores of key 16 * group + 8 * n + 2 * (lane % 4) + e % 2, query 16 * m + lane / 4 + 8 * (e / 2).
            float s[GROUPS][M][2][4];
#pragma unroll
            for (int group = 0; group < GROUPS; group++) {
                Tile::dot(s[group], q_rows, k_tile + group * 16 * Tile::STRIDE);
            }
            if (tile + part + Sizes::at_once > keys) {
                const int left = static_cast<int>(keys - tile - part) - static_cast<int>(threadIdx.x % 4 * 2);
#pragma unroll
                for (int i = 0; i < GROUPS * M * 8; i++) {
                    const int group = i / (8 * M), m = i / 8 % M, n = i / 4 % 2, e = i % 4;
                    s[group][m][n][e] = 16 * group + 8 * n + e % 2 < left ? s[group][m][n][e] : -INFINITE;
                }
            }
            float most[M][2];
            bool grown = false;
#pragma unroll
            for (int i = 0; i < 2 * M; i++) {
                // fmaxf passes over what is not a number; the exponential below does not.
                const int m = i / 2, half = i % 2;
                most[m][half] = s[0][m][0][2 * half];
#pragma unroll
                for (int j = 1; j < GROUPS * 4; j++) {
                    most[m][half] = fmaxf(most[m][half], s[j / 4][m][j / 2 % 2][2 * half + j % 2]);
                }
                most[m][half] = quad_maximum(most[m][half]);
                grown |= fmaf(most[m][half], power, shift[m][half]) > SLACK;
            }
            // All lanes of a warp take the same way: they meet again in the products below.
            if (any_lane(grown)) {
#pragma unroll
                for (int i = 0; i < 2 * M; i++) {
                    const int m = i / 2, half = i % 2;
                    const float next = -power * most[m][half];
                    if (next >= shift[m][half]) continue;
                    const float factor = power_of_two(next - shift[m][half]);
                    shift[m][half] = next;
                    total[m][half] *= factor;
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
                const float low = power_of_two(fmaf(s[group][m][n][2 * half], power, shift[m][half]));
                const float high = power_of_two(fmaf(s[group][m][n][2 * half + 1], power, shift[m][half]));
                total[m][half] += low + high;
                p[group][m][2 * n + half] = pack<T>(low, high);
            }
#pragma unroll
            for (int group = 0; group < GROUPS; group++) {
                Tile::add_product(o_sums, p[group], v_tile + group * 16 * Tile::STRIDE);
            }
        }
    }

#pragma unroll
    for (int m = 0; m < M; m++) {
        float factor[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float sum = quad_sum(total[m][half]);
            // Zero without keys.
            factor[half] = sum == 0.0f ? 0.0f : reciprocal(sum);
            const unsigned query = first + 16 * m + 8 * half + threadIdx.x % 32 / 4;
            if (threadIdx.x % 4 == 0 && query < queries) {
                sums[(blockIdx.z * heads + blockIdx.y) * queries + query] = (log2_of(sum) - shift[m][half]) * LN_2;
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
