// Scalar functions shared by the C++ extension and the CUDA kernels.
//
// No standard headers: NVRTC has none. Compile with -ffp-contract=off (CUDA:
// --fmad=false): no product may be fused with a sum, because the bits of a random
// subspace must be the same on every processor.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define SK_FN __host__ __device__ inline
#define SK_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
// Forced, so that each instruction set's clone of a caller holds its own copy.
#define SK_FN __attribute__((always_inline)) inline
#define SK_UNROLL _Pragma("GCC unroll 16")
#else
#define SK_FN inline
#define SK_UNROLL
#endif

typedef unsigned int sk_u32;
typedef unsigned long long sk_u64;
static_assert(sizeof(sk_u32) == 4 && sizeof(sk_u64) == 8, "unexpected integer sizes");

struct sk_block {
  sk_u32 word[4];
};

struct sk_pair {
  float first, second;
};

// ---- Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011, section 3.3; constants as in Random123.

SK_FN sk_block sk_philox(sk_block counter, sk_u32 key0, sk_u32 key1) {
  sk_u32 x0 = counter.word[0], x1 = counter.word[1];
  sk_u32 x2 = counter.word[2], x3 = counter.word[3];
  SK_UNROLL
  for (int round = 0; round < 10; ++round) {
    const sk_u64 p0 = static_cast<sk_u64>(0xD2511F53u) * x0;
    const sk_u64 p1 = static_cast<sk_u64>(0xCD9E8D57u) * x2;
    const sk_u32 y0 = static_cast<sk_u32>(p1 >> 32) ^ x1 ^ key0;
    const sk_u32 y2 = static_cast<sk_u32>(p0 >> 32) ^ x3 ^ key1;
    x1 = static_cast<sk_u32>(p1);
    x3 = static_cast<sk_u32>(p0);
    x0 = y0;
    x2 = y2;
    key0 += 0x9E3779B9u;  // the golden ratio
    key1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return sk_block{{x0, x1, x2, x3}};
}

// The index-th block of the stream: the one place that says what a number depends on.
SK_FN sk_block sk_random_block(sk_u64 seed, sk_u64 stream, sk_u64 index) {
  const sk_block counter = {
      {static_cast<sk_u32>(index), static_cast<sk_u32>(index >> 32),
       static_cast<sk_u32>(stream), static_cast<sk_u32>(stream >> 32)}};
  return sk_philox(counter, static_cast<sk_u32>(seed), static_cast<sk_u32>(seed >> 32));
}

// ---- Signs: a block's 128 bits, the lowest bit of word 0 first; 1 -> +1, 0 -> -1.

SK_FN int sk_sign(sk_u32 word, int bit) {
  return static_cast<int>((word >> bit) & 1u) * 2 - 1;
}

// ---- Normals: Box-Muller in float32 with + - * and the correctly rounded square root
// alone. Polynomials: logf and sinf of S. Moshier's Cephes library.

SK_FN sk_u32 sk_bits(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  sk_u32 bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

SK_FN float sk_float(sk_u32 bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

SK_FN float sk_sqrt(float value) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(value);
#else
  return __builtin_sqrtf(value);
#endif
}

// sqrt(-2 log u) for u = (x + 1/2) / 2^32, which is never 0 or 1: from 1.5e-5 to 6.76.
SK_FN float sk_normal_radius(sk_u32 x) {
  // x + 1/2 = 2^e m with m in [sqrt(1/2), sqrt(2)): subtracting the bits of sqrt(1/2)
  // lets the exponent field round at that point instead of at a power of two.
  const sk_u32 shifted = sk_bits(static_cast<float>(x) + 0.5f) - 0x3F3504F3u;
  const int exponent = (static_cast<int>(shifted) >> 23) - 32;
  const float m = sk_float((shifted & 0x007FFFFFu) + 0x3F3504F3u);
  // Near u = 1 the float m has lost the low bits of x; 1 - u, from ~x, has them all.
  const float from_one = (static_cast<float>(~x) + 0.5f) * -0x1p-32f;
  const float f = exponent == 0 ? from_one : m - 1.0f;
  const float e = static_cast<float>(exponent);
  const float ff = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  // log 2 in two parts, the first exact in a few bits, so that e times it is exact too.
  const float small = p * f * ff - 2.12194440e-4f * e - 0.5f * ff;
  const float log_u = (f + small) + 0.693359375f * e;
  return sk_sqrt(-2.0f * log_u);
}

// The cosine and sine of 2 pi (x + 1/2) / 2^32.
SK_FN sk_pair sk_cos_sin(sk_u32 x) {
  // The nearest quarter turn is split off in integers: the rest is exact.
  const sk_u32 quarter = (x + 0x20000000u) >> 30;
  const int rest = static_cast<int>(x - (quarter << 30));
  const float y = (static_cast<float>(rest) + 0.5f) * 1.4629180793e-9f;  // 2 pi / 2^32
  const float z = y * y;
  float s = -1.9515295891e-4f;
  s = s * z + 8.3321608736e-3f;
  s = s * z - 1.6666654611e-1f;
  s = s * z * y + y;
  float c = 2.443315711809948e-5f;
  c = c * z - 1.388731625493765e-3f;
  c = c * z + 4.166664568298827e-2f;
  c = c * z * z - 0.5f * z + 1.0f;
  const bool odd = (quarter & 1u) != 0;
  const sk_u32 cos_sign = ((quarter + 1u) & 2u) << 30;
  const sk_u32 sin_sign = (quarter & 2u) << 30;
  return sk_pair{sk_float(sk_bits(odd ? s : c) ^ cos_sign),
                 sk_float(sk_bits(odd ? c : s) ^ sin_sign)};
}

// Two independent normals from two words. A block gives the normals 4b .. 4b+3.
SK_FN sk_pair sk_normal_pair(sk_u32 x, sk_u32 y) {
  const float radius = sk_normal_radius(x);
  const sk_pair turn = sk_cos_sin(y);
  return sk_pair{radius * turn.first, radius * turn.second};
}

// ---- Sums. Fused on purpose: of two float32 numbers the product is exact in double.

SK_FN double sk_fma(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return __fma_rn(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}

// ---- The box |z| <= r = eps (|w| + 1): one coordinate of the kernels of the same name
// in sharpkit/_vectors/kernels/reference.py. Conditions are written so that NaN comes
// through.

template <class T>
SK_FN T sk_abs(T x) {
  return x < 0 ? -x : x;
}

template <class T>
SK_FN T sk_radius(T w, T eps) {
  return eps * (sk_abs(w) + static_cast<T>(1));
}

template <class T>
SK_FN T sk_clip(T z, T r) {
  const T below = z > r ? r : z;
  const T inside = below < -r ? -r : below;
  return r == r ? inside : r;
}

template <class T>
SK_FN T sk_step(T w, T eps, T z, T d, T t) {
  return sk_clip(z + t * d, sk_radius(w, eps));
}

template <class T>
SK_FN T sk_toward(T w, T eps, T z, T d, double share) {
  const T r = sk_radius(w, eps);
  const double corner = d > 0 ? r : -r;
  const double moved = d == 0 ? z : (1.0 - share) * z + share * corner;
  return d == d ? sk_clip(static_cast<T>(moved), r) : d;
}

template <class T>
SK_FN bool sk_free(T w, T eps, T z) {
  return !(sk_abs(z) >= sk_radius(w, eps));
}

template <class T>
SK_FN T sk_residual(T w, T eps, T z, T g) {
  return sk_abs(sk_clip(z + g, sk_radius(w, eps)) - z);
}

// The largest number to start a minimum from: infinity.
SK_FN double sk_infinity() { return sk_float(0x7F800000u); }

template <class T>
SK_FN double sk_reach(T w, T eps, T z, T d) {
  const double r = sk_radius(w, eps), z8 = z, d8 = d;
  if (d8 == 0) {
    const double both = r + z8;
    return both == both ? sk_infinity() : both;
  }
  return (r - (d8 > 0 ? z8 : -z8)) / sk_abs(d8);
}

// On the projected gradient path at t: the direction in which it goes on, and how far
// it has moved.
template <class T>
struct sk_path_point {
  T along, moved;
};

template <class T>
SK_FN sk_path_point<T> sk_path(T w, T eps, T z, T g, T t) {
  const T r = sk_radius(w, eps);
  const T ahead = z + t * g;
  const T towards = g > 0 ? ahead : -ahead;  // where g is 0 either is right
  const T along = towards >= r ? static_cast<T>(0) : g;
  return sk_path_point<T>{along, sk_clip(ahead, r) - z};
}
