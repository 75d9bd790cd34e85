// The three formats of numbers, f32, f16 and bf16: what they are on a GPU and, with EMULATED, in plain C++; reading and writing them.

#pragma once

// IEEE binary16, and the upper half of an f32. Numbers of these formats are only stored; all arithmetic is of f32.
using f32 = float;
struct f16 {
    unsigned short bits;
};
struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(float x) {
    return x;
}

__device__ __forceinline__ float to_float(bf16 x) {
    return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}

__device__ __forceinline__ float to_float(f16 x) {
#ifdef EMULATED
    const unsigned sign = (x.bits & 0x8000u) << 16, rest = (x.bits & 0x7fffu) << 13;
    // The exponents' biases differ by 112; the product is exact for subnormal numbers too.
    const float scaled = __uint_as_float(rest) * 0x1p112f;
    const unsigned magnitude = (x.bits & 0x7c00u) == 0x7c00u ? rest | 0x7f800000u : __float_as_uint(scaled);
    return __uint_as_float(sign | magnitude);
#else
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#endif
}

// from_float<T>(x) rounds to the nearest number of the format, of two the even one; what is too large becomes infinite.
template <typename T>
__device__ __forceinline__ T from_float(float x);

template <>
__device__ __forceinline__ float from_float<float>(float x) {
    return x;
}

template <>
__device__ __forceinline__ f16 from_float<f16>(float x) {
#ifdef EMULATED
    const unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    unsigned magnitude;
    if (rest > 0x7f800000u) {
        return f16{0x7fff};
    } else if (rest >= 0x477ff000u) {
        magnitude = 0x7c00u; // 65520 and more
    } else if (rest >= 0x38800000u) {
        magnitude = (rest + 0xfffu + (rest >> 13 & 1u) - (112u << 23)) >> 13;
    } else {
        // Subnormal numbers are multiples of 2^-24, which is where the last bit of an f32 next to one half stands.
        magnitude = __float_as_uint(__uint_as_float(rest) + 0.5f) - 0x3f000000u;
    }
    return f16{static_cast<unsigned short>(sign | magnitude)};
#else
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
#endif
}

template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
#ifdef EMULATED
    const unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{0x7fff};
    return bf16{static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
#else
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
#endif
}

template <typename T>
constexpr bool IS_F16 = false;
template <>
constexpr bool IS_F16<f16> = true;

// Two numbers of a 16-bit format in one register, the first one in the lower half.
template <typename T>
__device__ __forceinline__ unsigned pack(float first, float second) {
#ifdef EMULATED
    return from_float<T>(first).bits | static_cast<unsigned>(from_float<T>(second).bits) << 16;
#else
    unsigned pair;
    if constexpr (IS_F16<T>) {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    } else {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    }
    return pair;
#endif
}

template <typename T>
__device__ __forceinline__ float first_of(unsigned pair) {
    return to_float(T{static_cast<unsigned short>(pair & 0xffffu)});
}

template <typename T>
__device__ __forceinline__ float second_of(unsigned pair) {
    return to_float(T{static_cast<unsigned short>(pair >> 16)});
}

// Some neighbouring numbers, in registers.
template <unsigned COUNT>
struct Numbers {
    float at[COUNT];
};

__device__ __forceinline__ Numbers<4> spread(float4 all) {
    return {{all.x, all.y, all.z, all.w}};
}

__device__ __forceinline__ Numbers<2> spread(float2 all) {
    return {{all.x, all.y}};
}

template <typename T>
__device__ __forceinline__ Numbers<4> spread(uint2 all) {
    return {{first_of<T>(all.x), second_of<T>(all.x), first_of<T>(all.y), second_of<T>(all.y)}};
}

template <typename T>
__device__ __forceinline__ Numbers<2> spread(unsigned all) {
    return {{first_of<T>(all), second_of<T>(all)}};
}

// Reads or writes one number, or two or four at once, which must then lie at a multiple of their bytes.
template <unsigned COUNT, typename T>
__device__ __forceinline__ Numbers<COUNT> load(const T* x) {
    static_assert(COUNT == 1 || COUNT == 2 || COUNT == 4);
    if constexpr (COUNT == 1) {
        return {{to_float(*x)}};
    } else if constexpr (sizeof(T) == 4) {
        if constexpr (COUNT == 4) return spread(*reinterpret_cast<const float4*>(x));
        if constexpr (COUNT == 2) return spread(*reinterpret_cast<const float2*>(x));
    } else {
        if constexpr (COUNT == 4) return spread<T>(*reinterpret_cast<const uint2*>(x));
        if constexpr (COUNT == 2) return spread<T>(*reinterpret_cast<const unsigned*>(x));
    }
}

template <unsigned COUNT, typename T>
__device__ __forceinline__ void store(T* y, const Numbers<COUNT>& numbers) {
    const float(&x)[COUNT] = numbers.at;
    if constexpr (COUNT == 1) {
        *y = from_float<T>(x[0]);
    } else if constexpr (sizeof(T) == 4) {
        if constexpr (COUNT == 4) *reinterpret_cast<float4*>(y) = make_float4(x[0], x[1], x[2], x[3]);
        if constexpr (COUNT == 2) *reinterpret_cast<float2*>(y) = make_float2(x[0], x[1]);
    } else {
        if constexpr (COUNT == 4) *reinterpret_cast<uint2*>(y) = make_uint2(pack<T>(x[0], x[1]), pack<T>(x[2], x[3]));
        if constexpr (COUNT == 2) *reinterpret_cast<unsigned*>(y) = pack<T>(x[0], x[1]);
    }
}

// One or four numbers as they are stored.
template <unsigned COUNT, typename T>
__device__ __forceinline__ void copy(const T* x, T* y) {
    if constexpr (COUNT == 1) {
        *y = *x;
    } else if constexpr (sizeof(T) == 4) {
        *reinterpret_cast<float4*>(y) = *reinterpret_cast<const float4*>(x);
    } else {
        *reinterpret_cast<uint2*>(y) = *reinterpret_cast<const uint2*>(x);
    }
}
