// What attention on tensor cores stands on: tiles of tokens in shared memory, copied there while others are computed with, and fragments
// of matrices in registers. With EMULATED, copies are made at once and lanes exchange addresses instead.

#pragma once

#include "primitives.cuh"

constexpr unsigned TILE_THREADS = 128;

// A place in shared memory; a number can be added to it, in bytes.
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

// Begins to copy BYTES (4 or 16) into shared memory; zeros where `there` is false, and nothing is read then.
template <unsigned BYTES>
__device__ __forceinline__ void begin_copy(SharedAddress to, const void* from, bool there) {
#ifdef EMULATED
    if (reinterpret_cast<std::uintptr_t>(to) % BYTES != 0 || (there && reinterpret_cast<std::uintptr_t>(from) % BYTES != 0)) {
        emulator::fail("a copy that is not aligned");
    }
    std::memset(to, 0, BYTES);
    if (there) std::memcpy(to, from, BYTES);
#else
    // Numbers that many threads share come through the second cache alone, lone ones have no such way.
    if constexpr (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(there ? 4 : 0) : "memory");
    }
#endif
}

// Waits for all copies that this thread began. Other threads' copies are there after the next barrier.
__device__ __forceinline__ void wait_for_copies() {
#ifndef EMULATED
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

#ifdef EMULATED
// What ldmatrix does: row i of matrix m stands at lane 8 m + i's address, and lane 4 i + j gets numbers 2j and 2j + 1 of row i, or, where
// TRANSPOSED, of column i.
template <bool TRANSPOSED, int MATRICES>
void load_emulated(unsigned (&to)[MATRICES], SharedAddress row, emulator::Place place) {
    struct Registers {
        unsigned at[MATRICES];
    };
    const Registers mine = emulator::exchange<Registers>(
        "a load of matrices", row,
        [](const SharedAddress* const* rows, Registers* const* outputs) {
            const auto number = [&](unsigned matrix, unsigned row, unsigned column) -> unsigned {
                const unsigned char* from = *rows[8 * matrix + row] + 2 * column;
                if (reinterpret_cast<std::uintptr_t>(*rows[8 * matrix + row]) % 16 != 0) emulator::fail("a row that is not aligned");
                return from[0] | from[1] << 8;
            };
            for (unsigned lane = 0; lane < WARP_LANES; lane++) {
                const unsigned i = lane / 4, j = lane % 4 * 2;
                for (unsigned m = 0; m < MATRICES; m++) {
                    const unsigned low = TRANSPOSED ? number(m, j, i) : number(m, i, j);
                    const unsigned high = TRANSPOSED ? number(m, j + 1, i) : number(m, i, j + 1);
                    outputs[lane]->at[m] = low | high << 16;
                }
            }
        },
        place);
    for (int m = 0; m < MATRICES; m++) to[m] = mine.at[m];
}
#endif

// Four or two matrices of 8 by 8 16-bit numbers, one register of each. Lane 8 m + i says where row i of matrix m stands.
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

// As `multiply_add`, for the first 8 columns of A and rows of B: a[2], a[3] and the other register of B are not used.
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

// 2^x within two units of the last place; NaN stays NaN, and what is below f32's normal numbers is zero.
__device__ __forceinline__ float power_of_two(float x) {
#ifdef EMULATED
    return exp2f(x);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// The inverse of `power_of_two`; NaN stays NaN.
__device__ __forceinline__ float log2_of(float x) {
#ifdef EMULATED
    return log2f(x);
#else
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// The smaller one of x and zero; NaN stays NaN.
__device__ __forceinline__ float not_above_zero(float x) {
#ifdef EMULATED
    return x > 0.0f ? 0.0f : x;
#else
    float y;
    asm("min.NaN.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// Over the four lanes that share a row of a product.
__device__ __forceinline__ float quad_maximum(float x) {
    x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
    return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}

// Does it hold for any lane of the warp?
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

// Two neighbouring f32 of shared memory.
__device__ __forceinline__ void load_shared_pair(float (&to)[2], SharedAddress from) {
#ifdef EMULATED
    std::memcpy(to, from, 8);
#else
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(to[0]), "=f"(to[1]) : "r"(from) : "memory");
#endif
}

// Begins to copy numbers first..first + COUNT of two arrays of `count`, one after the other; zeros past their ends.
template <unsigned COUNT>
__device__ __forceinline__ void fetch_numbers(SharedAddress to, const float* x, const float* y, unsigned first, unsigned count) {
    static_assert(2 * COUNT <= TILE_THREADS);
    if (threadIdx.x < 2 * COUNT) {
        const unsigned i = first + threadIdx.x % COUNT;
        const float* from = threadIdx.x < COUNT ? x : y;
        begin_copy<4>(to + 4 * threadIdx.x, i < count ? from + i : from, i < count);
    }
}

// Tokens with D numbers of 16 bits each: in shared memory as rows of a tile, in registers as rows of a product's left side.
template <typename T, int D>
struct TokenTile {
    static_assert(D % 8 == 0);
    // Bytes from one row to the next: an odd number of sixteens, so that eight rows' sixteens stand in different banks.
    static constexpr unsigned STRIDE = 2 * (D / 8 % 2 == 1 ? D : D + 8);
    // Products over D take 16 numbers at a time, and the last 8 alone where D asks for it.
    static constexpr int STEPS = (D + 15) / 16;
    static constexpr bool HALF_STEP = D % 16 != 0;

    // Begins to copy rows first..first + ROWS of both x and y, one tile after the other; zeros for rows past `count`.
    template <unsigned ROWS>
    static __device__ __forceinline__ void fetch(
        SharedAddress to, const T* x, const T* y, unsigned first, unsigned count, unsigned stride
    ) {
        constexpr unsigned SIXTEENS = D / 8;
#pragma unroll
        for (unsigned begin = 0; begin < ROWS * SIXTEENS; begin += TILE_THREADS) {
            const unsigned i = begin + threadIdx.x;
            if (begin + TILE_THREADS > ROWS * SIXTEENS && i >= ROWS * SIXTEENS) break;
            const unsigned row = i / SIXTEENS, column = i % SIXTEENS;
            const bool there = first + row < count;
            const unsigned from = there ? (first + row) * stride + 8 * column : 0;
            begin_copy<16>(to + (row * STRIDE + 16 * column), x + from, there);
            begin_copy<16>(to + ((ROWS + row) * STRIDE + 16 * column), y + from, there);
        }
    }

    // Rows first..first + 16 as the left side of products, straight from x; the last row again for rows past `count`, which is above zero.
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

    // Products of 16 M rows in registers with 16 rows of a tile: the sums over D.
    template <int M>
    static __device__ __forceinline__ void dot(float (&sums)[M][2][4], const unsigned (&rows)[M][STEPS][4], SharedAddress tile) {
        const unsigned lane = threadIdx.x % WARP_LANES;
        // Matrices: rows 0..8 and numbers 0..8, the same rows and numbers 8..16, rows 8..16 likewise.
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

    // Adds the product of 16 M rows of 16 numbers in registers with 16 rows of a tile: sums over the tile's rows.
    template <int M>
    static __device__ __forceinline__ void add_product(float (&sums)[M][D / 8][4], const unsigned (&left)[M][4], SharedAddress tile) {
        const unsigned lane = threadIdx.x % WARP_LANES;
        // Matrices: numbers 0..8 of rows 0..8 and of rows 8..16, numbers 8..16 likewise.
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

    // Writes 16 rows of sums times a factor per half of the rows; rows past `count` are left out.
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
