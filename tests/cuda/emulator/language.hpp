// The parts of CUDA C++ that the kernels use, and the warp-level matrix product.

#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

#include "machine.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
// Blocks of a launch run one after another, so one copy per launching thread is enough.
#define __shared__ static thread_local

#define EMULATED_VECTOR(number, name, bytes)                  \
    struct __attribute__((may_alias, aligned(bytes))) name##2 { \
        number x, y;                                          \
    };                                                        \
    struct __attribute__((may_alias, aligned(2 * bytes))) name##4 { \
        number x, y, z, w;                                    \
    };                                                        \
    inline name##2 make_##name##2(number x, number y) { return {x, y}; } \
    inline name##4 make_##name##4(number x, number y, number z, number w) { return {x, y, z, w}; }
EMULATED_VECTOR(unsigned, uint, 8)
EMULATED_VECTOR(int, int, 8)
EMULATED_VECTOR(float, float, 8)
#undef EMULATED_VECTOR

using std::max;
using std::min;

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }

namespace emulator {

template <typename Number, typename Source>
Number shuffle(const char* name, unsigned mask, Number value, unsigned width, Source source, Place place) {
    if (mask != ~0u) fail("a shuffle without all lanes of the warp is not supported");
    return exchange<Number>(
        name, value,
        [&](const Number* const* inputs, Number* const* outputs) {
            for (unsigned lane = 0; lane < WARP; lane++) {
                const unsigned start = lane / width * width, from = source(lane - start) + start;
                *outputs[lane] = *inputs[from >= start && from < start + width ? from : lane];
            }
        },
        place);
}

// D = A B + C with A (16, 16) row-major, B (16, 8) column-major and C (16, 8), distributed over the warp as the PTX
// manual specifies for mma.m16n8k16. `widen` converts 16 bits to f32.
struct Fragments {
    unsigned a[4], b[2];
    float c[4];
};
struct Accumulators {
    float d[4];
};
template <typename Widen>
Accumulators multiply(const char* name, const Fragments& mine, Widen widen, Place place) {
    return exchange<Accumulators>(
        name, mine,
        [&](const Fragments* const* inputs, Accumulators* const* outputs) {
            float a[16][16], b[16][8], d[16][8];
            const auto half = [&](unsigned pair, unsigned index) { return widen(static_cast<unsigned short>(pair >> 16 * index)); };
            for (unsigned lane = 0; lane < WARP; lane++) {
                const Fragments& from = *inputs[lane];
                const unsigned row = lane / 4, pair = lane % 4 * 2;
                for (unsigned i = 0; i < 2; i++) {
                    for (unsigned j = 0; j < 4; j++) a[row + j % 2 * 8][pair + j / 2 * 8 + i] = half(from.a[j], i);
                    for (unsigned j = 0; j < 2; j++) b[pair + j * 8 + i][row] = half(from.b[j], i);
                    for (unsigned j = 0; j < 2; j++) d[row + j * 8][pair + i] = from.c[j * 2 + i];
                }
            }
            for (unsigned i = 0; i < 16; i++) {
                for (unsigned k = 0; k < 16; k++) {
                    for (unsigned j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
                }
            }
            for (unsigned lane = 0; lane < WARP; lane++) {
                for (unsigned i = 0; i < 4; i++) outputs[lane]->d[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
            }
        },
        place);
}

} // namespace emulator

#define gridDim (emulator::here.grid)
#define blockDim (emulator::here.block)
#define blockIdx (emulator::here.block_index)
#define threadIdx (emulator::here.thread_index)

#define EMULATED_PLACE const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()

inline void __syncthreads(EMULATED_PLACE) { emulator::barrier({file, line}); }

// Blocks run one after another on one thread, so these need no atomic instructions.
inline void __threadfence() {}
inline unsigned atomicInc(unsigned* at, unsigned last) {
    const unsigned before = *at;
    *at = before >= last ? 0 : before + 1;
    return before;
}

inline void __syncwarp(unsigned mask = ~0u, EMULATED_PLACE) {
    emulator::shuffle("a warp barrier", mask, 0u, 32, [](unsigned lane) { return lane; }, {file, line});
}

template <typename Number>
Number __shfl_sync(unsigned mask, Number value, unsigned from, unsigned width = 32, EMULATED_PLACE) {
    // Each lane may read from a different one.
    struct Source {
        Number value;
        unsigned from;
    };
    if (mask != ~0u) emulator::fail("a shuffle without all lanes of the warp is not supported");
    return emulator::exchange<Number>(
        "a shuffle", Source{value, from},
        [&](const Source* const* inputs, Number* const* outputs) {
            for (unsigned lane = 0; lane < 32; lane++) *outputs[lane] = inputs[lane / width * width + inputs[lane]->from % width]->value;
        },
        {file, line});
}

template <typename Number>
Number __shfl_xor_sync(unsigned mask, Number value, unsigned other, unsigned width = 32, EMULATED_PLACE) {
    return emulator::shuffle("a shuffle", mask, value, width, [=](unsigned lane) { return lane ^ other; }, {file, line});
}

template <typename Number>
Number __shfl_down_sync(unsigned mask, Number value, unsigned distance, unsigned width = 32, EMULATED_PLACE) {
    return emulator::shuffle("a shuffle", mask, value, width, [=](unsigned lane) { return lane + distance; }, {file, line});
}
