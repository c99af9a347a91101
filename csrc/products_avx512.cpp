// The dot products with AVX-512, which a processor may not have: see products.cpp.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx512f,avx2,fma")
#include <immintrin.h>

#define SK_ISA avx512
#define SK_LANES 8
#include "products.inc"
#endif
