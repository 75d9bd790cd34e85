// Number formats f32, f16 and bf16: types, conversion, and vector loads and stores. On a GPU,
// conversions are PTX instructions; with EMULATED they are plain C++.

#pragma once

// f16 is IEEE binary16; bf16 is the upper half of an f32. Both are storage formats: all arithmetic
// is f32.
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
    // The exponent biases differ by 112. The product is exact for subnormals too.
    const float scaled = __uint_as_float(rest) * 0x1p112f;
    const unsigned magnitude = (x.bits & 0x7c00u) == 0x7c00u ? rest | 0x7f800000u : __float_as_uint(scaled);
    return __uint_as_float(sign | magnitude);
#else
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#endif
}

// from_float<T>(x) rounds to nearest, ties to even. Values beyond the format's range become
// infinite.
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
        // Subnormals are multiples of 2^-24, the weight of the last bit of an f32 just above one
        // half.
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

// Packs two 16-bit values into one register, the first in the lower half.
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
__device__ __forceinline__ float low_half(unsigned pair) {
    return to_float(T{static_cast<unsigned short>(pair & 0xffffu)});
}

template <typename T>
__device__ __forceinline__ float high_half(unsigned pair) {
    return to_float(T{static_cast<unsigned short>(pair >> 16)});
}

// Adjacent values in registers.
template <unsigned COUNT>
struct Vector {
    float at[COUNT];
};

__device__ __forceinline__ Vector<4> unpack(float4 all) {
    return {{all.x, all.y, all.z, all.w}};
}

__device__ __forceinline__ Vector<2> unpack(float2 all) {
    return {{all.x, all.y}};
}

template <typename T>
__device__ __forceinline__ Vector<4> unpack(uint2 all) {
    return {{low_half<T>(all.x), high_half<T>(all.x), low_half<T>(all.y), high_half<T>(all.y)}};
}

template <typename T>
__device__ __forceinline__ Vector<2> unpack(unsigned all) {
    return {{low_half<T>(all), high_half<T>(all)}};
}

// Loads or stores 1, 2 or 4 values. The address must be aligned to their total size.
template <unsigned COUNT, typename T>
__device__ __forceinline__ Vector<COUNT> load(const T* x) {
    static_assert(COUNT == 1 || COUNT == 2 || COUNT == 4);
    if constexpr (COUNT == 1) {
        return {{to_float(*x)}};
    } else if constexpr (sizeof(T) == 4) {
        if constexpr (COUNT == 4) return unpack(*reinterpret_cast<const float4*>(x));
        if constexpr (COUNT == 2) return unpack(*reinterpret_cast<const float2*>(x));
    } else {
        if constexpr (COUNT == 4) return unpack<T>(*reinterpret_cast<const uint2*>(x));
        if constexpr (COUNT == 2) return unpack<T>(*reinterpret_cast<const unsigned*>(x));
    }
}

template <unsigned COUNT, typename T>
__device__ __forceinline__ void store(T* y, const Vector<COUNT>& values) {
    const float(&x)[COUNT] = values.at;
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

// Copies 1 or 4 values without converting them.
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
