// The CUDA kernels. sharpkit/_vectors/kernels/reference.py says what each computes, and
// cuda.py beside it launches them.
//
// Compiled once for each dtype, with SK_REAL=float or double, which is also the end of
// each kernel's name. No standard headers: NVRTC has none. Compile with --fmad=false.
//
// Sums have the same bits on every GPU: a row is cut into chunks whose length depends
// on the sizes alone, a block adds up one chunk in a fixed tree, and a second kernel
// joins the chunks in a fixed tree as well. No atomics.
#include "elementwise.h"
#include "sums.cuh"

namespace {

// ---- Extremes, for `reduce`

// NaN if either is: a comparison with NaN is false, so b must be taken when b is NaN.
struct Largest {
  static __device__ double start() { return 0.0; }
  static __device__ double join(double a, double b) { return a > b || a != a ? a : b; }
};

struct Smallest {
  static __device__ double start() { return sk_infinity(); }
  static __device__ double join(double a, double b) { return a < b || a != a ? a : b; }
};

// ---- Linear combinations: a block makes R rows of W x THREADS numbers

// C is transposed, and filled with 0 up to a whole number of tiles of R rows.
template <int R, int W>
__device__ void linear_combination(sk_u64 n, const double *C, const real *B, int k,
                                   int kb, double beta, real *out) {
  const int tiles = (k + R - 1) / R;
  const int first = blockIdx.x % tiles * R;
  const sk_u64 begin =
      static_cast<sk_u64>(blockIdx.x / tiles) * (W * THREADS) + threadIdx.x;
  double sum[R][W] = {};
  for (int j = 0; j < kb; ++j) {
    const double *c = C + static_cast<sk_u64>(j) * tiles * R + first;
    SK_UNROLL
    for (int x = 0; x < W; ++x) {
      // Beyond the end the last number is read again, and nothing is written.
      const double b = B[j * n + smaller(begin + x * THREADS, n - 1)];
      SK_UNROLL
      for (int i = 0; i < R; ++i) sum[i][x] = sk_fma(c[i], b, sum[i][x]);
    }
  }
  SK_UNROLL
  for (int x = 0; x < W; ++x) {
    const sk_u64 place = begin + x * THREADS;
    SK_UNROLL
    for (int i = 0; i < R; ++i) {
      if (place >= n || first + i >= k) continue;
      real *own = out + (first + i) * n + place;
      const double old = beta != 0.0 ? beta * *own : 0.0;
      *own = static_cast<real>(sum[i][x] + old);
    }
  }
}

// Writes the outputs that are wanted: the others are null. z_out may be an array that z
// was made of.
__device__ void write(sk_u64 x, real w, real z, real *z_out, real *x_out) {
  if (z_out) z_out[x] = z;
  if (x_out) x_out[x] = w + z;
}

}  // namespace

SK_KERNEL(gram_square)(sk_u64 n, sk_u64 length, const real *A, int ka, const real *B,
                       int kb, int same, double *partial) {
  __shared__ double shared[16][THREADS];
  const Tile<4, 4> tile(ka, kb, same, n, length);
  const Rows<4> left(A, ka, nullptr, n, tile.row);
  const Rows<4> right(B, kb, nullptr, n, tile.column);
  dot_products(tile, left, right, shared, partial);
}

SK_KERNEL(gram_column)(sk_u64 n, sk_u64 length, const real *A, int ka, const real *b,
                       double *partial) {
  __shared__ double shared[8][THREADS];
  const Tile<8, 1> tile(ka, 1, false, n, length);
  const Rows<8> left(A, ka, nullptr, n, tile.row);
  const Rows<1> right(b, 1, nullptr, n, 0);
  dot_products(tile, left, right, shared, partial);
}

SK_KERNEL(gram_single)(sk_u64 n, sk_u64 length, const real *a, const real *b,
                       double *partial) {
  __shared__ double shared[1][THREADS];
  const Tile<1, 1> tile(1, 1, false, n, length);
  const Rows<1> left(a, 1, nullptr, n, 0), right(b, 1, nullptr, n, 0);
  dot_products(tile, left, right, shared, partial);
}

SK_KERNEL(free_gram)(sk_u64 n, sk_u64 length, const real *A, int k, const real *w,
                     real eps, const real *z, double *partial) {
  __shared__ double shared[16][THREADS];
  const Tile<4, 4> tile(k, k, true, n, length);
  const FreeRows<4> left{Rows<4>(A, k, nullptr, n, tile.row), w, z, eps};
  const FreeRows<4> right{Rows<4>(A, k, nullptr, n, tile.column), w, z, eps};
  dot_products(tile, left, right, shared, partial);
}

SK_KERNEL(path_gram)(sk_u64 n, sk_u64 length, const real *A, int k, const real *w,
                     real eps, const real *z, const real *g, const real *ts, int steps,
                     double *partial) {
  __shared__ double shared[16][THREADS];
  const Tile<4, 4> tile(k + 1, 2 * steps, false, n, length);
  const Rows<4> left(A, k, g, n, tile.row);
  const PathRows<4> right(w, eps, z, g, ts, steps, tile.column);
  dot_products(tile, left, right, shared, partial);
}

// total[pair] = the sum of partial[pair, :]. Of a symmetric matrix only the upper half
// has been made; `symmetric` is the number of its rows, and 0 for any other matrix.
SK_KERNEL(finish_sum)(const double *partial, int chunks, int symmetric, double *total) {
  __shared__ double shared[1][THREADS];
  sk_u64 pair = blockIdx.x;
  if (symmetric) {
    const sk_u64 i = pair / symmetric, j = pair % symmetric;
    pair = j < i ? j * symmetric + i : pair;
  }
  const double *own = partial + pair * chunks;
  reduce<Sum>(0, chunks, [=](sk_u64 x) { return own[x]; }, shared, total + blockIdx.x);
}

SK_KERNEL(combine_one)(sk_u64 n, const double *C, const real *B, int kb, double beta,
                       real *out) {
  linear_combination<1, 4>(n, C, B, 1, kb, beta, out);
}

SK_KERNEL(combine_many)(sk_u64 n, const double *C, const real *B, int k, int kb,
                        double beta, real *out) {
  linear_combination<8, 2>(n, C, B, k, kb, beta, out);
}

SK_KERNEL(box_radius)(sk_u64 n, const real *w, real eps, real *out) {
  const sk_u64 x = own_index();
  if (x < n) out[x] = sk_radius(w[x], eps);
}

SK_KERNEL(box_step)(sk_u64 n, const real *w, real eps, const real *z, const real *d,
                    real t, real *z_out, real *x_out) {
  const sk_u64 x = own_index();
  if (x < n) write(x, w[x], sk_step(w[x], eps, z[x], d[x], t), z_out, x_out);
}

SK_KERNEL(box_toward)(sk_u64 n, const real *w, real eps, const real *z, const real *d,
                      double share, real *z_out, real *x_out) {
  const sk_u64 x = own_index();
  if (x < n) write(x, w[x], sk_toward(w[x], eps, z[x], d[x], share), z_out, x_out);
}

SK_KERNEL(box_free)(sk_u64 n, const real *w, real eps, const real *z, const real *v,
                    real *out) {
  const sk_u64 x = own_index();
  if (x < n) out[x] = sk_free(w[x], eps, z[x]) ? v[x] : static_cast<real>(0);
}

SK_KERNEL(box_residual)(sk_u64 n, sk_u64 length, const real *w, real eps, const real *z,
                        const real *g, double *partial) {
  __shared__ double shared[1][THREADS];
  const sk_u64 begin = blockIdx.x * length;
  reduce<Largest>(
      begin, smaller(begin + length, n),
      [=](sk_u64 x) { return sk_residual(w[x], eps, z[x], g[x]); }, shared,
      partial + blockIdx.x);
}

SK_KERNEL(finish_largest)(const double *partial, int chunks, double *result) {
  __shared__ double shared[1][THREADS];
  reduce<Largest>(0, chunks, [=](sk_u64 x) { return partial[x]; }, shared, result);
}

SK_KERNEL(box_reach)(sk_u64 n, sk_u64 length, const real *w, real eps, const real *z,
                     const real *d, double *partial) {
  __shared__ double shared[1][THREADS];
  const sk_u64 begin = blockIdx.x * length;
  reduce<Smallest>(
      begin, smaller(begin + length, n),
      [=](sk_u64 x) { return sk_reach(w[x], eps, z[x], d[x]); }, shared,
      partial + blockIdx.x);
}

SK_KERNEL(finish_smallest)(const double *partial, int chunks, double *result) {
  __shared__ double shared[1][THREADS];
  reduce<Smallest>(0, chunks, [=](sk_u64 x) { return partial[x]; }, shared, result);
}

// The fills: each thread makes one random block; then, so that neighbours write to
// neighbouring places, the numbers are dealt out again.

SK_KERNEL(fill_signs)(sk_u64 n, real *out, sk_u64 seed, sk_u64 stream, sk_u64 offset) {
  __shared__ sk_u32 word[4 * THREADS];
  const sk_block own = sk_random_block(seed, stream, offset / 128 + own_index());
  for (int i = 0; i < 4; ++i) word[4 * threadIdx.x + i] = own.word[i];
  __syncthreads();
  for (int i = threadIdx.x; i < 128 * THREADS; i += THREADS) {
    // What comes before the offset gets a place below 0, that is, a huge one.
    const sk_u64 place = blockIdx.x * (128ull * THREADS) + i - offset % 128;
    if (place < n) out[place] = static_cast<real>(sk_sign(word[i / 32], i % 32));
  }
}

SK_KERNEL(fill_normal)(sk_u64 n, real *out, sk_u64 seed, sk_u64 stream, sk_u64 offset) {
  __shared__ float normal[4 * THREADS];
  const sk_block own = sk_random_block(seed, stream, offset / 4 + own_index());
  for (int i = 0; i < 4; i += 2) {
    const sk_pair pair = sk_normal_pair(own.word[i], own.word[i + 1]);
    normal[4 * threadIdx.x + i] = pair.first;
    normal[4 * threadIdx.x + i + 1] = pair.second;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 4 * THREADS; i += THREADS) {
    const sk_u64 place = blockIdx.x * (4ull * THREADS) + i - offset % 4;
    if (place < n) out[place] = static_cast<real>(normal[i]);
  }
}
