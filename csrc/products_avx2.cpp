// The dot products with AVX2, which a processor may not have: see products.cpp.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2,fma")
#include <immintrin.h>

#define SK_ISA avx2
#define SK_LANES 4
#include "products.inc"
#endif
