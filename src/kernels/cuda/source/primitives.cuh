// What all kernels stand on: the macros that make kernels of templates, shares of the work, functions of a number, sums over warps, and
// products of small matrices. Compiled for a GPU, this is PTX; with EMULATED, plain C++ and the emulator's exchanges between lanes.

#pragma once

#include "formats.cuh"

#ifdef EMULATED
#define REGISTER(name) static const emulator::Registration registration_##name(#name, name);
#else
#define REGISTER(name)
#endif

// KERNEL(name, (parameters), (their names)) { body } is a template over T, stamped out as name_f32, name_f16 and name_bf16.
// PLAIN_KERNEL(name, (parameters)) { body } is one kernel.
#define STAMPED_KERNEL(name, format, parameters, arguments)                           \
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
    STAMPED_KERNEL(name, f32, parameters, arguments)    \
    STAMPED_KERNEL(name, f16, parameters, arguments)    \
    STAMPED_KERNEL(name, bf16, parameters, arguments)   \
    template <typename T>                               \
    __device__ void name parameters
#define PLAIN_KERNEL(name, parameters)                             \
    extern "C" __global__ void __launch_bounds__(256) name parameters; \
    REGISTER(name)                                                 \
    extern "C" __global__ void name parameters

constexpr unsigned ALL_LANES = 0xffffffff;
constexpr unsigned WARP_LANES = 32;
constexpr unsigned BLOCK_THREADS = 256;

// May four numbers of each of these arrays be read or written at once? Null counts as an array that may.
template <typename... T>
__device__ __forceinline__ bool in_fours(const T*... arrays) {
    return ((reinterpret_cast<unsigned long long>(arrays) % (4 * sizeof(T)) == 0) && ...);
}

template <unsigned COUNT>
struct Width {
    static constexpr unsigned count = COUNT;
};

// Walks 0..n from `first` in steps of `step`: work(i, Width<4>()) for four numbers from i on where `fours`, and work(i, Width<1>()) for the
// rest. No index passes 2^32 while n is below 2^31.
template <typename Work>
__device__ __forceinline__ void walk(unsigned first, unsigned step, unsigned n, bool fours, Work work) {
    const unsigned quads = fours ? n / 4 : 0;
    // Other warps work while one waits for memory; unrolled loops would make the module several times as large.
#pragma unroll 1
    for (unsigned i = first; i < quads; i += step) work(i * 4, Width<4>());
#pragma unroll 1
    for (unsigned i = quads * 4 + first; i < n; i += step) work(i, Width<1>());
}

// Shares 0..n among all threads of the grid.
template <typename Work>
__device__ __forceinline__ void each(unsigned n, bool fours, Work work) {
    walk(blockIdx.x * blockDim.x + threadIdx.x, gridDim.x * blockDim.x, n, fours, work);
}

__device__ __forceinline__ bool is_finite(float x) {
    return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u;
}

__device__ __forceinline__ bool is_nan(float x) {
    return (__float_as_uint(x) & 0x7fffffffu) > 0x7f800000u;
}

__device__ __forceinline__ float not_a_number() {
    return __uint_as_float(0x7fffffffu);
}

// e^x to 2e-7 plus x's own rounding; 0 and infinity where it is too small or too large, NaN of NaN.
__device__ __forceinline__ float exponential(float x) {
    constexpr float LOG2_E = 1.4426950408889634f;
#ifdef EMULATED
    return exp2f(x * LOG2_E);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * LOG2_E));
    return y;
#endif
}

// 1 / x to 1e-7.
__device__ __forceinline__ float reciprocal(float x) {
#ifdef EMULATED
    return 1.0f / x;
#else
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// 1 / (1 + e^-x). Times x, an infinite x stays infinite or becomes NaN.
__device__ __forceinline__ float sigmoid(float x) {
    return reciprocal(1.0f + exponential(-x));
}

// The larger of two numbers, or NaN where one of them is NaN: fmaxf would pass over it.
__device__ __forceinline__ float larger(float a, float b) {
    return a > b || is_nan(a) ? a : b;
}

// The sum over a warp's lanes, the same bits in all of them.
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

__device__ __forceinline__ float warp_largest(float x) {
#pragma unroll
    for (unsigned distance = WARP_LANES / 2; distance > 0; distance /= 2) x = larger(x, __shfl_xor_sync(ALL_LANES, x, distance));
    return x;
}

// The sum over a block of 256 threads, the same bits in all of them. All threads must call it.
template <typename Number>
__device__ __forceinline__ Number block_sum(Number x) {
    __shared__ Number of_warps[BLOCK_THREADS / WARP_LANES];
    x = warp_sum(x);
    // What an earlier call left may still be read.
    __syncthreads();
    if (threadIdx.x % WARP_LANES == 0) of_warps[threadIdx.x / WARP_LANES] = x;
    __syncthreads();
    Number total = of_warps[0];
#pragma unroll
    for (unsigned warp = 1; warp < BLOCK_THREADS / WARP_LANES; warp++) total += of_warps[warp];
    return total;
}

// Shared memory of the size that the launch asks for, 16-byte aligned.
__device__ __forceinline__ unsigned char* dynamic_shared() {
#ifdef EMULATED
    return static_cast<unsigned char*>(emulator::dynamic_shared());
#else
    extern __shared__ __align__(128) unsigned char dynamic_shared_memory[];
    return dynamic_shared_memory;
#endif
}

// d += A B of a warp, with A (16, 16) row-major and B (16, 8) column-major of a 16-bit format and d (16, 8) of f32. Lane 4 i + j holds
//   a: (i, 2j..), (i + 8, 2j..), (i, 2j + 8..), (i + 8, 2j + 8..), pairs of neighbours in a row
//   b: (2j.., i), (2j + 8.., i), pairs of neighbours in a column
//   d: (i, 2j), (i, 2j + 1), (i + 8, 2j), (i + 8, 2j + 1)
template <typename T>
__device__ __forceinline__ void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef EMULATED
    const emulator::Fragments mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
    const auto widen = [](unsigned short bits) { return to_float(T{bits}); };
    const emulator::Accumulators sums = emulator::multiply("a product of matrices", mine, widen, {__FILE__, __LINE__});
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
