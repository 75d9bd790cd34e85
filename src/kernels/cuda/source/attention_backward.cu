// Backward pass of attention. attention.cu explains the algorithm and the launch parameters.
//
// The gradient dS of the scores is packed into T for the products. With many keys its values are
// small, and most of them would be subnormal in f16. So dS is multiplied by `ds_scale`, a power of
// two, and the sums are divided by it at the end; both are exact.
//
// Consecutive tokens of dq, dk and dv are `d_stride` values apart, so that the three may lie side by side.
//
// The kernel of dq computes delta from d_o and o; the kernel of dk and dv, which follows it, reads it.

#include "attention.cu"

// Multiplies 16 rows in registers by rows first..first + 16 of x, value by value, and sums over D. The
// four lanes that share two rows get both sums. Rows past `count` repeat the last row.
template <typename T, int D>
__device__ __forceinline__ void multiply_rows(
    float (&sums)[2], const unsigned (&rows)[TokenTile<T, D>::STEPS][4], const T* x, unsigned first, unsigned count, unsigned stride
) {
    unsigned others[TokenTile<T, D>::STEPS][4];
    TokenTile<T, D>::load(others, x, first, count, stride);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            const unsigned a = rows[i / 2][half + i % 2 * 2], b = others[i / 2][half + i % 2 * 2];
            sum = fmaf(low_half<T>(a), low_half<T>(b), sum);
            sum = fmaf(high_half<T>(a), high_half<T>(b), sum);
        }
        sums[half] = quad_sum(sum);
    }
}

template <typename T, int D>
__device__ __forceinline__ void attention_backward_q(
    const T* q, const T* k, const T* v, const T* o, const T* d_o, const float* sums, float* delta, T* dq, unsigned d_stride,
    float ds_scale, unsigned queries, unsigned keys, unsigned heads, unsigned k_stride, float scale, SharedAddress shared
) {
    using Sizes = AttentionSizes<D>;
    using Tile = TokenTile<T, D>;
    constexpr int M = Sizes::q_rows;
    constexpr unsigned BUFFER = 2 * Sizes::tile * Tile::STRIDE;
    const unsigned stride = heads * D, first = (blockIdx.x * ATTENTION_WARPS + threadIdx.x / 32) * 16 * M;
    q = head_of<const T, D>(q, queries * stride);
    o = head_of<const T, D>(o, queries * stride);
    d_o = head_of<const T, D>(d_o, queries * stride);
    dq = head_of<T, D>(dq, queries * d_stride);
    k = head_of<const T, D>(k, k_stride);
    v = head_of<const T, D>(v, k_stride);
    sums += (blockIdx.z * heads + blockIdx.y) * queries;
    const float log2_scale = scale * LOG2_E;

    unsigned q_rows[M][Tile::STEPS][4], d_o_rows[M][Tile::STEPS][4];
    float dq_sums[M][D / 8][4], shift[M][2], mean[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) {
        Tile::load(q_rows[m], q, first + 16 * m, queries, stride);
        Tile::load(d_o_rows[m], d_o, first + 16 * m, queries, stride);
        Tile::clear(dq_sums[m]);
        multiply_rows<T, D>(mean[m], d_o_rows[m], o, first + 16 * m, queries, stride);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const unsigned query = first + 16 * m + 8 * half + threadIdx.x % 32 / 4;
            // Null if there is no kernel of dk and dv.
            if (delta && threadIdx.x % 4 == 0 && query < queries) {
                delta[(blockIdx.z * heads + blockIdx.y) * queries + query] = mean[m][half];
            }
            shift[m][half] = -LOG2_E * sums[min(query, queries - 1)];
            mean[m][half] *= ds_scale;
        }
    }

    Tile::template copy_tiles_async<Sizes::tile>(shared, k, v, 0, keys, stride);
    for (unsigned tile = 0, buffer = 0; tile < keys; tile += Sizes::tile, buffer = BUFFER - buffer) {
        wait_for_async_copies();
        __syncthreads();
        if (tile + Sizes::tile < keys) {
            Tile::template copy_tiles_async<Sizes::tile>(shared + (BUFFER - buffer), k, v, tile + Sizes::tile, keys, stride);
        }
#pragma unroll 1
        for (unsigned part = 0; part < Sizes::tile && tile + part < keys; part += 16) {
            const SharedAddress k_tile = shared + (buffer + part * Tile::STRIDE), v_tile = k_tile + Sizes::tile * Tile::STRIDE;
            float s[M][2][4], dp[M][2][4];
            Tile::multiply_transposed(s, q_rows, k_tile);
            Tile::multiply_transposed(dp, d_o_rows, v_tile);
            if (tile + part + 16 > keys) {
                const int remaining = static_cast<int>(keys - tile - part) - static_cast<int>(threadIdx.x % 4 * 2);
#pragma unroll
                for (int i = 0; i < M * 8; i++) {
                    const int m = i / 8, n = i / 4 % 2, e = i % 4;
                    s[m][n][e] = 8 * n + e % 2 < remaining ? s[m][n][e] : -INFINITY_F32;
                }
            }
            unsigned ds[M][4];
#pragma unroll
            for (int i = 0; i < M * 4; i++) {
                const int m = i / 4, n = i / 2 % 2, half = i % 2;
                float pair[2];
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    // Positive only by rounding, but with large scores that can be large.
                    const float p = exp2_approx(min_with_zero(fmaf(s[m][n][2 * half + e], log2_scale, shift[m][half])));
                    pair[e] = p * fmaf(dp[m][n][2 * half + e], ds_scale, -mean[m][half]);
                }
                ds[m][2 * n + half] = pack<T>(pair[0], pair[1]);
            }
            Tile::multiply_accumulate(dq_sums, ds, k_tile);
        }
    }

    const float factor[2] = {scale / ds_scale, scale / ds_scale};
#pragma unroll
    for (int m = 0; m < M; m++) {
        Tile::store(dq, dq_sums[m], factor, first + 16 * m, queries, d_stride);
    }
}

// Queries and keys swap roles: a warp holds keys, and scores are transposed.
template <typename T, int D>
__device__ __forceinline__ void attention_backward_kv(
    const T* q, const T* k, const T* v, const T* d_o, const float* sums, const float* delta, T* dk, T* dv, unsigned d_stride,
    float ds_scale, unsigned queries, unsigned keys, unsigned heads, unsigned k_stride, float scale, SharedAddress shared
) {
    using Sizes = AttentionSizes<D>;
    using Tile = TokenTile<T, D>;
    constexpr bool SPLIT = D > 80;
    constexpr int M = Sizes::kv_rows, OUTPUTS = SPLIT ? 1 : 2;
    constexpr unsigned WARPS = ATTENTION_WARPS / (SPLIT ? 2 : 1);
    // q, d_o, and two f32 values per query.
    constexpr unsigned STATS = 2 * Sizes::tile * Tile::STRIDE, BUFFER = STATS + 8 * Sizes::tile;
    const unsigned warp = threadIdx.x / 32, stride = heads * D, first = (blockIdx.x * WARPS + warp % WARPS) * 16 * M;
    // In a split kernel: whether this warp computes dk.
    const bool for_dk = warp >= WARPS;
    q = head_of<const T, D>(q, queries * stride);
    d_o = head_of<const T, D>(d_o, queries * stride);
    k = head_of<const T, D>(k, k_stride);
    v = head_of<const T, D>(v, k_stride);
    dk = head_of<T, D>(dk, keys * d_stride);
    dv = head_of<T, D>(dv, keys * d_stride);
    sums += (blockIdx.z * heads + blockIdx.y) * queries;
    delta += (blockIdx.z * heads + blockIdx.y) * queries;
    const float log2_scale = scale * LOG2_E;

    unsigned k_rows[M][Tile::STEPS][4], v_rows[M][Tile::STEPS][4];
    // dv and dk; in a split kernel, the one that this warp computes.
    float products[OUTPUTS][M][D / 8][4];
#pragma unroll
    for (int m = 0; m < M; m++) {
        Tile::load(k_rows[m], k, first + 16 * m, keys, stride);
        Tile::load(v_rows[m], v, first + 16 * m, keys, stride);
#pragma unroll
        for (int output = 0; output < OUTPUTS; output++) {
            Tile::clear(products[output][m]);
        }
    }

    Tile::template copy_tiles_async<Sizes::tile>(shared, q, d_o, 0, queries, stride);
    copy_stats_async<Sizes::tile>(shared + STATS, sums, delta, 0, queries);
    for (unsigned tile = 0, buffer = 0; tile < queries; tile += Sizes::tile, buffer = BUFFER - buffer) {
        wait_for_async_copies();
        __syncthreads();
        if (tile + Sizes::tile < queries) {
            Tile::template copy_tiles_async<Sizes::tile>(shared + (BUFFER - buffer), q, d_o, tile + Sizes::tile, queries, stride);
            copy_stats_async<Sizes::tile>(shared + (BUFFER - buffer + STATS), sums, delta, tile + Sizes::tile, queries);
        }
#pragma unroll 1
        for (unsigned part = 0; part < Sizes::tile && tile + part < queries; part += 16) {
            const SharedAddress q_tile = shared + (buffer + part * Tile::STRIDE), d_o_tile = q_tile + Sizes::tile * Tile::STRIDE;
            const SharedAddress stats = shared + (buffer + STATS + 4 * (part + threadIdx.x % 4 * 2));
            // Key 16 * m + lane / 4 + 8 * (e / 2), query 8 * n + 2 * (lane % 4) + e % 2. Queries
            // past the last are all zeros, including their statistics: their probability is 1, but
            // they contribute zero.
            float s[M][2][4], dp[M][2][4];
            unsigned lhs[M][4];
            Tile::multiply_transposed(s, k_rows, q_tile);
#pragma unroll
            for (int n = 0; n < 2; n++) {
                float sum[2];
                load_shared_pair(sum, stats + 32 * n);
#pragma unroll
                for (int i = 0; i < M * 4; i++) {
                    float& x = s[i / 4][n][i % 4];
                    x = exp2_approx(min_with_zero(fmaf(x, log2_scale, -LOG2_E * sum[i % 2])));
                }
            }
#pragma unroll
            for (int i = 0; i < M * 4; i++) {
                const int m = i / 4, n = i / 2 % 2, half = i % 2;
                lhs[m][2 * n + half] = pack<T>(s[m][n][2 * half], s[m][n][2 * half + 1]);
            }
            if (!SPLIT) {
                Tile::multiply_accumulate(products[0], lhs, d_o_tile);
            }
            if (!SPLIT || for_dk) {
                Tile::multiply_transposed(dp, v_rows, d_o_tile);
#pragma unroll
                for (int n = 0; n < 2; n++) {
                    float mean[2];
                    load_shared_pair(mean, stats + (4 * Sizes::tile + 32 * n));
#pragma unroll
                    for (int i = 0; i < M * 2; i++) {
                        const int m = i / 2, half = i % 2;
                        const float low = s[m][n][2 * half] * (dp[m][n][2 * half] - mean[0]) * ds_scale;
                        const float high = s[m][n][2 * half + 1] * (dp[m][n][2 * half + 1] - mean[1]) * ds_scale;
                        lhs[m][2 * n + half] = pack<T>(low, high);
                    }
                }
            }
            Tile::multiply_accumulate(products[OUTPUTS - 1], lhs, SPLIT && !for_dk ? d_o_tile : q_tile);
        }
    }

    const float one[2] = {1.0f, 1.0f}, factor[2] = {scale / ds_scale, scale / ds_scale};
#pragma unroll
    for (int m = 0; m < M; m++) {
        if (!SPLIT || !for_dk) {
            Tile::store(dv, products[0][m], one, first + 16 * m, keys, d_stride);
        }
        if (!SPLIT || for_dk) {
            Tile::store(dk, products[OUTPUTS - 1][m], factor, first + 16 * m, keys, d_stride);
        }
    }
}

#define ATTENTION_BACKWARD(D, T)                                                                              \
    ATTENTION_KERNEL(attention_backward_q, D, T, AttentionSizes<D>::q_blocks,                                 \
                     (const T* q, const T* k, const T* v, const T* o, const T* d_o, const float* sums,        \
                      float* delta, T* dq, unsigned d_stride, float ds_scale, unsigned queries,               \
                      unsigned keys, unsigned heads, unsigned k_stride, float scale),                         \
                     q, k, v, o, d_o, sums, delta, dq, d_stride, ds_scale)                                    \
    ATTENTION_KERNEL(attention_backward_kv, D, T, AttentionSizes<D>::kv_blocks,                               \
                     (const T* q, const T* k, const T* v, const T* d_o, const float* sums, const float* delta, \
                      T* dk, T* dv, unsigned d_stride, float ds_scale, unsigned queries, unsigned keys,       \
                      unsigned heads, unsigned k_stride, float scale),                                        \
                     q, k, v, d_o, sums, delta, dk, dv, d_stride, ds_scale)
ATTENTION_KERNELS(ATTENTION_BACKWARD)
