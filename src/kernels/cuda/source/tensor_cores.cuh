// Building blocks of attention on tensor cores: asynchronous copies of token tiles into shared
// memory, and matrix fragments in registers. With EMULATED, copies are synchronous and lanes
// exchange addresses.

#pragma once

#include "primitives.cuh"

constexpr unsigned TILE_THREADS = 128;

// Address in shared memory, in bytes.
#ifdef EMULATED
using SharedAddress = unsigned char*;
#else
using SharedAddress = unsigned;
#endif

__device__ __forceinline__ SharedAddress shared_address(unsigned char* place) {
#ifdef EMULATED
    return place;
#else
    SharedAddress address;
    asm("{.reg .u64 place; cvta.to.shared.u64 place, %1; cvt.u32.u64 %0, place;}" : "=r"(address) : "l"(place));
    return address;
#endif
}

// Starts a copy of BYTES (4 or 16) into shared memory. Where `valid` is false it writes zeros and
// reads nothing.
template <unsigned BYTES>
__device__ __forceinline__ void copy_async(SharedAddress to, const void* from, bool valid) {
#ifdef EMULATED
    if (reinterpret_cast<std::uintptr_t>(to) % BYTES != 0 || (valid && reinterpret_cast<std::uintptr_t>(from) % BYTES != 0)) {
        emulator::fail("misaligned copy");
    }
    std::memset(to, 0, BYTES);
    if (valid) std::memcpy(to, from, BYTES);
#else
    // 16-byte copies bypass L1, because several warps share them; 4-byte copies cannot.
    if constexpr (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(valid ? 4 : 0) : "memory");
    }
#endif
}

// Waits for this thread's copies. A barrier makes those of other threads visible.
__device__ __forceinline__ void wait_for_async_copies() {
#ifndef EMULATED
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

#ifdef EMULATED
// Emulates ldmatrix: lane 8 m + i passes the address of row i of matrix m, and lane 4 i + j
// receives elements 2j and 2j + 1 of row i, or of column i where TRANSPOSED.
template <bool TRANSPOSED, int MATRICES>
void load_emulated(unsigned (&to)[MATRICES], SharedAddress row, emulator::Place place) {
    struct Registers {
        unsigned at[MATRICES];
    };
    const Registers mine = emulator::exchange<Registers>(
        "a matrix load", row,
        [](const SharedAddress* const* rows, Registers* const* outputs) {
            const auto value = [&](unsigned matrix, unsigned row, unsigned column) -> unsigned {
                const unsigned char* from = *rows[8 * matrix + row] + 2 * column;
                if (reinterpret_cast<std::uintptr_t>(*rows[8 * matrix + row]) % 16 != 0) emulator::fail("misaligned matrix row");
                return from[0] | from[1] << 8;
            };
            for (unsigned lane = 0; lane < WARP_LANES; lane++) {
                const unsigned i = lane / 4, j = lane % 4 * 2;
                for (unsigned m = 0; m < MATRICES; m++) {
                    const unsigned low = TRANSPOSED ? value(m, j, i) : value(m, i, j);
                    const unsigned high = TRANSPOSED ? value(m, j + 1, i) : value(m, i, j + 1);
                    outputs[lane]->at[m] = low | high << 16;
                }
            }
        },
        place);
    for (int m = 0; m < MATRICES; m++) to[m] = mine.at[m];
}
#endif

// Loads four or two 8 x 8 matrices of 16-bit values, one register per lane each. Lane 8 m + i
// passes the address of row i of matrix m.
template <bool TRANSPOSED>
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], SharedAddress row) {
#ifdef EMULATED
    load_emulated<TRANSPOSED>(to, row, {__FILE__, __LINE__});
#else
    if constexpr (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(row)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(row)
                     : "memory");
    }
#endif
}

template <bool TRANSPOSED>
__device__ __forceinline__ void load_matrices(unsigned (&to)[2], SharedAddress row) {
#ifdef EMULATED
    load_emulated<TRANSPOSED>(to, row, {__FILE__, __LINE__});
#else
    if constexpr (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "r"(row) : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "r"(row) : "memory");
    }
#endif
}

// As `multiply_add` with an inner size of 8: A (16, 8), B (8, 8); a[2] and a[3] are unused.
template <typename T>
__device__ __forceinline__ void multiply_add_half(float (&d)[4], const unsigned (&a)[4], unsigned b) {
#ifdef EMULATED
    const unsigned left[4] = {a[0], a[1], 0, 0}, right[2] = {b, 0};
    multiply_add<T>(d, left, right);
#else
    if constexpr (IS_F16<T>) {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(b));
    } else {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(b));
    }
#endif
}

// 2^x within two units in the last place. Propagates NaN; results below f32's normal range are 0.
__device__ __forceinline__ float exp2_approx(float x) {
#ifdef EMULATED
    return exp2f(x);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// Base-2 logarithm, the inverse of `exp2_approx`. Propagates NaN.
__device__ __forceinline__ float log2_approx(float x) {
#ifdef EMULATED
    return log2f(x);
#else
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// min(x, 0) that propagates NaN.
__device__ __forceinline__ float min_with_zero(float x) {
#ifdef EMULATED
    return x > 0.0f ? 0.0f : x;
#else
    float y;
    asm("min.NaN.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// Reductions over the four lanes that share a row of an accumulator.
__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
    return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}

// Whether the predicate holds for any lane of the warp.
__device__ __forceinline__ bool any_lane(bool holds) {
#ifdef EMULATED
    unsigned found = holds;
    for (int distance = 16; distance > 0; distance /= 2) found |= __shfl_xor_sync(ALL_LANES, found, distance);
    return found != 0;
#else
    return __any_sync(ALL_LANES, holds) != 0;
#endif
}

__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(ALL_LANES, x, 1);
    return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

// Loads two adjacent f32 values from shared memory.
__device__ __forceinline__ void load_shared_pair(float (&to)[2], SharedAddress from) {
#ifdef EMULATED
    std::memcpy(to, from, 8);
#else
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(to[0]), "=f"(to[1]) : "r"(from) : "memory");
#endif
}

// Starts copies of values first..first + COUNT of two arrays of length `count`, one after the
// other; zeros past the end.
template <unsigned COUNT>
__device__ __forceinline__ void copy_stats_async(SharedAddress to, const float* x, const float* y, unsigned first, unsigned count) {
    static_assert(2 * COUNT <= TILE_THREADS);
    if (threadIdx.x < 2 * COUNT) {
        const unsigned i = first + threadIdx.x % COUNT;
        const float* from = threadIdx.x < COUNT ? x : y;
        copy_async<4>(to + 4 * threadIdx.x, i < count ? from + i : from, i < count);
    }
}

// A tile of tokens with D 16-bit values each: in shared memory as rows, in registers as the left
// operand of a product.
template <typename T, int D>
struct TokenTile {
    static_assert(D % 8 == 0);
    // Bytes from one row to the next. An odd multiple of 16, so that eight consecutive rows use
    // different banks.
    static constexpr unsigned STRIDE = 2 * (D / 8 % 2 == 1 ? D : D + 8);
    // Products over D take 16 values at a time, and the last 8 in a half step where D is not a
    // multiple of 16.
    static constexpr int STEPS = (D + 15) / 16;
    static constexpr bool HALF_STEP = D % 16 != 0;

    // Starts copies of rows first..first + ROWS of x and of y, one tile after the other; zeros for
    // rows past `count`.
    template <unsigned ROWS>
    static __device__ __forceinline__ void copy_tiles_async(
        SharedAddress to, const T* x, const T* y, unsigned first, unsigned count, unsigned stride
    ) {
        constexpr unsigned CHUNKS = D / 8;
#pragma unroll
        for (unsigned begin = 0; begin < ROWS * CHUNKS; begin += TILE_THREADS) {
            const unsigned i = begin + threadIdx.x;
            if (begin + TILE_THREADS > ROWS * CHUNKS && i >= ROWS * CHUNKS) break;
            const unsigned row = i / CHUNKS, column = i % CHUNKS;
            const bool valid = first + row < count;
            const unsigned from = valid ? (first + row) * stride + 8 * column : 0;
            copy_async<16>(to + (row * STRIDE + 16 * column), x + from, valid);
            copy_async<16>(to + ((ROWS + row) * STRIDE + 16 * column), y + from, valid);
        }
    }

    // Loads rows first..first + 16 of x as a left operand. Rows past `count`, which is at least 1,
    // repeat the last row.
    static __device__ __forceinline__ void load(unsigned (&rows)[STEPS][4], const T* x, unsigned first, unsigned count, unsigned stride) {
        const unsigned lane = threadIdx.x % WARP_LANES;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const T* from = x + (min(first + lane / 4 + 8 * half, count - 1) * stride + lane % 4 * 2);
#pragma unroll
            for (int i = 0; i < 2 * STEPS; i++) {
                rows[i / 2][half + i % 2 * 2] = i < D / 8 ? load_pair(from + 8 * i) : 0;
            }
        }
    }

    static __device__ __forceinline__ void clear(float (&sums)[D / 8][4]) {
#pragma unroll
        for (int i = 0; i < D / 2; i++) {
            sums[i / 4][i % 4] = 0.0f;
        }
    }

    // Multiplies 16 M rows in registers by the transpose of 16 rows of a tile: sums over D.
    template <int M>
    static __device__ __forceinline__ void multiply_transposed(float (&sums)[M][2][4], const unsigned (&rows)[M][STEPS][4], SharedAddress tile) {
        const unsigned lane = threadIdx.x % WARP_LANES;
        // The four matrices: rows 0..8 with values 0..8, the same rows with values 8..16, and rows
        // 8..16 likewise.
        const SharedAddress place = tile + ((lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 16);
#pragma unroll
        for (int i = 0; i < M * 8; i++) {
            sums[i / 8][i / 4 % 2][i % 4] = 0.0f;
        }
#pragma unroll
        for (int step = 0; step < D / 16; step++) {
            unsigned right[4];
            load_matrices<false>(right, place + 32 * step);
            const unsigned b[2][2] = {{right[0], right[1]}, {right[2], right[3]}};
#pragma unroll
            for (int i = 0; i < 2 * M; i++) {
                multiply_add<T>(sums[i / 2][i % 2], rows[i / 2][step], b[i % 2]);
            }
        }
        if constexpr (HALF_STEP) {
            unsigned right[2];
            load_matrices<false>(right, tile + (lane % 16 * STRIDE + 32 * (STEPS - 1)));
#pragma unroll
            for (int i = 0; i < 2 * M; i++) {
                multiply_add_half<T>(sums[i / 2][i % 2], rows[i / 2][STEPS - 1], right[i % 2]);
            }
        }
    }

    // Adds the product of 16 M rows of 16 values in registers and 16 rows of a tile: sums over the
    // tile's rows.
    template <int M>
    static __device__ __forceinline__ void multiply_accumulate(float (&sums)[M][D / 8][4], const unsigned (&left)[M][4], SharedAddress tile) {
        const unsigned lane = threadIdx.x % WARP_LANES;
        // The four matrices: values 0..8 of rows 0..8 and of rows 8..16, and values 8..16 likewise.
        const SharedAddress place = tile + (lane % 16 * STRIDE + lane / 16 * 16);
#pragma unroll
        for (int n = 0; n < D / 16; n++) {
            unsigned right[4];
            load_matrices<true>(right, place + 32 * n);
            const unsigned b[2][2] = {{right[0], right[1]}, {right[2], right[3]}};
#pragma unroll
            for (int i = 0; i < 2 * M; i++) {
                multiply_add<T>(sums[i / 2][2 * n + i % 2], left[i / 2], b[i % 2]);
            }
        }
        if constexpr (HALF_STEP) {
            unsigned right[2];
            load_matrices<true>(right, tile + (lane % 16 * STRIDE + 32 * (STEPS - 1)));
#pragma unroll
            for (int m = 0; m < M; m++) {
                multiply_add<T>(sums[m][D / 8 - 1], left[m], right);
            }
        }
    }

    // Stores 16 rows of sums, each half of the rows times its factor. Rows past `count` are
    // skipped.
    static __device__ __forceinline__ void store(
        T* x, const float (&sums)[D / 8][4], const float (&factor)[2], unsigned first, unsigned count, unsigned stride
    ) {
        const unsigned lane = threadIdx.x % WARP_LANES;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const unsigned row = first + lane / 4 + 8 * half;
            T* to = x + (row * stride + lane % 4 * 2);
            if (row < count) {
#pragma unroll
                for (int n = 0; n < D / 8; n++) {
                    store_pair(to + 8 * n, pack<T>(sums[n][2 * half] * factor[half], sums[n][2 * half + 1] * factor[half]));
                }
            }
        }
    }

private:
    static __device__ __forceinline__ unsigned load_pair(const T* x) {
#ifdef EMULATED
        unsigned pair;
        std::memcpy(&pair, x, 4);
        return pair;
#else
        return *reinterpret_cast<const unsigned*>(x);
#endif
    }

    static __device__ __forceinline__ void store_pair(T* x, unsigned pair) {
#ifdef EMULATED
        std::memcpy(x, &pair, 4);
#else
        *reinterpret_cast<unsigned*>(x) = pair;
#endif
    }
};
