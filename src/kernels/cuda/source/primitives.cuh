// Building blocks of all kernels: macros that instantiate templates, grid-stride loops, scalar
// functions, warp and block reductions, and the tensor core product. Compiled for a GPU they use
// PTX; with EMULATED they are plain C++ and use the emulator's warp exchanges.

#pragma once

#include "formats.cuh"

#ifdef EMULATED
#define REGISTER(name) static const emulator::Registration registration_##name(#name, name);
#else
#define REGISTER(name)
#endif

// KERNEL(name, (parameters), (argument names)) { body } defines a template over T and instantiates
// it as name_f32, name_f16 and name_bf16. PLAIN_KERNEL(name, (parameters)) { body } defines one
// kernel.
#define INSTANTIATE_KERNEL(name, format, parameters, arguments)                           \
    namespace of_##format {                                                           \
    using T = format;                                                                 \
    extern "C" __global__ void __launch_bounds__(256) name##_##format parameters {    \
        name<T> arguments;                                                            \
    }                                                                                 \
    REGISTER(name##_##format)                                                         \
    }
#define KERNEL(name, parameters, arguments)             \
    template <typename T>                               \
    __device__ __forceinline__ void name parameters;    \
    INSTANTIATE_KERNEL(name, f32, parameters, arguments)    \
    INSTANTIATE_KERNEL(name, f16, parameters, arguments)    \
    INSTANTIATE_KERNEL(name, bf16, parameters, arguments)   \
    template <typename T>                               \
    __device__ void name parameters
#define PLAIN_KERNEL(name, parameters)                             \
    extern "C" __global__ void __launch_bounds__(256) name parameters; \
    REGISTER(name)                                                 \
    extern "C" __global__ void name parameters

constexpr unsigned ALL_LANES = 0xffffffff;
constexpr unsigned WARP_LANES = 32;
constexpr unsigned BLOCK_THREADS = 256;

// Returns whether each array is aligned for loads and stores of four values. Null counts as
// aligned.
template <typename... T>
__device__ __forceinline__ bool aligned_for_4(const T*... arrays) {
    return ((reinterpret_cast<unsigned long long>(arrays) % (4 * sizeof(T)) == 0) && ...);
}

template <unsigned COUNT>
struct Width {
    static constexpr unsigned count = COUNT;
};

// Loops over 0..n from `first` in steps of `step`: body(i, Width<4>()) for groups of four values
// where `vectorized`, then body(i, Width<1>()) for the rest. Indices stay below 2^32 while n is
// below 2^31.
template <typename Body>
__device__ __forceinline__ void for_each_strided(unsigned first, unsigned step, unsigned n, bool vectorized, Body body) {
    const unsigned quads = vectorized ? n / 4 : 0;
    // Not unrolled: other warps hide the memory latency, and unrolling would multiply the module's
    // size.
#pragma unroll 1
    for (unsigned i = first; i < quads; i += step) body(i * 4, Width<4>());
#pragma unroll 1
    for (unsigned i = quads * 4 + first; i < n; i += step) body(i, Width<1>());
}

// Grid-stride loop over 0..n.
template <typename Body>
__device__ __forceinline__ void for_each(unsigned n, bool vectorized, Body body) {
    for_each_strided(blockIdx.x * blockDim.x + threadIdx.x, gridDim.x * blockDim.x, n, vectorized, body);
}

__device__ __forceinline__ bool is_finite(float x) {
    return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u;
}

__device__ __forceinline__ bool is_nan(float x) {
    return (__float_as_uint(x) & 0x7fffffffu) > 0x7f800000u;
}

__device__ __forceinline__ float quiet_nan() {
    return __uint_as_float(0x7fffffffu);
}

// e^x with a relative error of 2e-7 beside the rounding of x. Underflows to 0, overflows to
// infinity, propagates NaN.
__device__ __forceinline__ float exp_approx(float x) {
    constexpr float LOG2_E = 1.4426950408889634f;
#ifdef EMULATED
    return exp2f(x * LOG2_E);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * LOG2_E));
    return y;
#endif
}

// 1 / x with a relative error of 1e-7.
__device__ __forceinline__ float reciprocal_approx(float x) {
#ifdef EMULATED
    return 1.0f / x;
#else
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// 1 / (1 + e^-x). Multiplied by x, an infinite x gives infinity or NaN.
__device__ __forceinline__ float sigmoid(float x) {
    return reciprocal_approx(1.0f + exp_approx(-x));
}

// max(a, b) that propagates NaN; fmaxf ignores it.
__device__ __forceinline__ float nan_max(float a, float b) {
    return a > b || is_nan(a) ? a : b;
}

// Sum over the lanes of a warp. Every lane gets the same bits.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (unsigned distance = WARP_LANES / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}

__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
    for (unsigned distance = WARP_LANES / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (unsigned distance = WARP_LANES / 2; distance > 0; distance /= 2) x = nan_max(x, __shfl_xor_sync(ALL_LANES, x, distance));
    return x;
}

// Sum over a block of 256 threads. Every thread gets the same bits, and every thread must call it.
template <typename Scalar>
__device__ __forceinline__ Scalar block_sum(Scalar x) {
    __shared__ Scalar per_warp[BLOCK_THREADS / WARP_LANES];
    x = warp_sum(x);
    // Shared memory of an earlier call may still be read.
    __syncthreads();
    if (threadIdx.x % WARP_LANES == 0) per_warp[threadIdx.x / WARP_LANES] = x;
    __syncthreads();
    Scalar total = per_warp[0];
#pragma unroll
    for (unsigned warp = 1; warp < BLOCK_THREADS / WARP_LANES; warp++) total += per_warp[warp];
    return total;
}

// Dynamic shared memory of the size given at launch, aligned to 128 bytes.
__device__ __forceinline__ unsigned char* dynamic_shared() {
#ifdef EMULATED
    return static_cast<unsigned char*>(emulator::dynamic_shared());
#else
    extern __shared__ __align__(128) unsigned char dynamic_shared_memory[];
    return dynamic_shared_memory;
#endif
}

// Warp-level d += A B with A (16, 16) row-major and B (16, 8) column-major in a 16-bit format, and
// d (16, 8) in f32. Fragments of lane 4 i + j:
//   a: (i, 2j..), (i + 8, 2j..), (i, 2j + 8..), (i + 8, 2j + 8..), pairs of adjacent columns
//   b: (2j.., i), (2j + 8.., i), pairs of adjacent rows
//   d: (i, 2j), (i, 2j + 1), (i + 8, 2j), (i + 8, 2j + 1)
template <typename T>
__device__ __forceinline__ void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
    const emulator::Fragments mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
    const auto widen = [](unsigned short bits) { return to_float(T{bits}); };
    const emulator::Accumulators sums = emulator::multiply("a matrix product", mine, widen, {__FILE__, __LINE__});
    for (unsigned i = 0; i < 4; i++) d[i] = sums.d[i];
#else
    if constexpr (IS_F16<T>) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    } else {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
#endif
}
