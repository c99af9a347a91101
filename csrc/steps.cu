// The CUDA kernels of the trainer. In sharpkit/lab/steps, plain.py and plain_products.py
// say what each computes; cuda.py and cuda_products.py launch them. kernels.cu says how
// they are compiled.
//
// Matrices are (rows, columns), one row for each sample. Their rows are cut into chunks
// whose length depends on the sizes alone; a block makes one chunk of WIDE columns.
// Sums run in float64 and in fixed trees, over a chunk and then over the chunks.
#include "elementwise.h"
#include "sums.cuh"

namespace {

constexpr int WIDE = 32;               // as in cuda.py; a warp reads neighbours
constexpr int LANES = THREADS / WIDE;  // rows that a block reads at once

// A thread's share of a matrix: one column, and every LANES-th row of one chunk. Beyond
// the last column it has no rows.
struct Share {
  int columns, column;
  bool used;
  sk_u64 chunk, chunks, begin, end;

  __device__ Share(sk_u64 rows, int columns, sk_u64 length) : columns(columns) {
    const int tiles = (columns + WIDE - 1) / WIDE;
    const int own = blockIdx.x % tiles * WIDE + threadIdx.x % WIDE;
    used = own < columns;
    column = used ? own : columns - 1;
    chunk = blockIdx.x / tiles;
    chunks = gridDim.x / tiles;
    begin = chunk * length + threadIdx.x / WIDE;
    end = used ? smaller((chunk + 1) * length, rows) : 0;
  }

  // Calls visit with the place of each number in the matrix.
  template <class Visit>
  __device__ void each(Visit visit) const {
    for (sk_u64 row = begin; row < end; row += LANES) visit(row * columns + column);
  }

  // Leaves in shared[i][thread % WIDE] the sum i over the column's rows of the chunk:
  // add(place, sum) adds the terms of a number.
  template <int COUNT, class Add>
  __device__ void add_up(Add add, double (&shared)[COUNT][THREADS]) const {
    double sum[COUNT] = {};
    each([&](sk_u64 x) { add(x, sum); });
    join_block<Sum, WIDE>(sum, shared);
  }

  // Writes result[i, chunk, column] = value, once for each column.
  template <class T>
  __device__ void keep(int i, double value, T *result) const {
    if (used && threadIdx.x < WIDE)
      result[(i * chunks + chunk) * columns + column] = static_cast<T>(value);
  }
};

// The ReLU of a layer and its derivative, written so that NaN comes through.
__device__ real before_relu(real z, real scale, real shift) { return z * scale + shift; }

__device__ real relu(real a) { return a < 0 ? static_cast<real>(0) : a; }

__device__ real active(real a, real dh) { return a > 0 ? dh : static_cast<real>(0); }

// The first largest of a row; the first NaN, if there is one.
__device__ int first_largest(const real *row, int count) {
  int best = 0;
  for (int j = 1; j < count; ++j)
    if (!(row[j] <= row[best]) && row[best] == row[best]) best = j;
  return best;
}

// own[x] <- own[x] + extra[x], unless extra is null; returns it.
__device__ real added(real *own, const real *extra, sk_u64 x) {
  if (extra) own[x] += extra[x];
  return own[x];
}

}  // namespace

// Means and sums of squares about them, of each chunk: those about the mean of all are
// made of these (Chan, Golub and LeVeque, 1979), and nothing cancels.
SK_KERNEL(column_moments)(sk_u64 rows, int columns, sk_u64 length, const real *z,
                          double *partial) {
  __shared__ double sums[1][THREADS], squares[1][THREADS];
  const Share own(rows, columns, length);
  own.add_up([=](sk_u64 x, double *sum) { sum[0] += z[x]; }, sums);
  const double count = smaller(length, rows - own.chunk * length);
  const double mean = sums[0][threadIdx.x % WIDE] / count;
  own.add_up(
      [=](sk_u64 x, double *sum) { sum[0] += (z[x] - mean) * (z[x] - mean); }, squares);
  own.keep(0, mean, partial);
  own.keep(1, squares[0][threadIdx.x % WIDE], partial);
}

SK_KERNEL(finish_moments)(sk_u64 rows, int columns, sk_u64 length, sk_u64 chunks,
                          const double *partial, real *mean, real *var) {
  __shared__ double sums[1][THREADS], squares[1][THREADS];
  const Share own(chunks, columns, chunks);
  const auto count = [=](sk_u64 x) -> double {
    return smaller(length, rows - x / columns * length);
  };
  own.add_up([=](sk_u64 x, double *sum) { sum[0] += count(x) * partial[x]; }, sums);
  const double middle = sums[0][threadIdx.x % WIDE] / rows;
  const double *chunk_squares = partial + chunks * columns;
  own.add_up(
      [=](sk_u64 x, double *sum) {
        const double off = partial[x] - middle;
        sum[0] += chunk_squares[x] + count(x) * off * off;
      },
      squares);
  own.keep(0, middle, mean);
  own.keep(0, squares[0][threadIdx.x % WIDE] / rows, var);
}

SK_KERNEL(scale_shift_relu)(sk_u64 rows, int columns, sk_u64 length, const real *z,
                            real *out, const real *scale, const real *shift) {
  const Share own(rows, columns, length);
  const real a = scale[own.column], b = shift[own.column];
  own.each([=](sk_u64 x) { out[x] = relu(before_relu(z[x], a, b)); });
}

SK_KERNEL(relu_backward_sums)(sk_u64 rows, int columns, sk_u64 length, const real *dh,
                              const real *z, const real *scale, const real *shift,
                              const real *mean, double *partial) {
  __shared__ double sums[2][THREADS];
  const Share own(rows, columns, length);
  const real a = scale[own.column], b = shift[own.column], middle = mean[own.column];
  own.add_up(
      [=](sk_u64 x, double *sum) {
        const real da = active(before_relu(z[x], a, b), dh[x]);
        sum[0] += da;
        sum[1] += da * (z[x] - middle);
      },
      sums);
  for (int i = 0; i < 2; ++i) own.keep(i, sums[i][threadIdx.x % WIDE], partial);
}

// result[i, column] = the sum of partial[i, :, column], for as many i as there are.
SK_KERNEL(finish_columns)(sk_u64 kinds, int columns, sk_u64 chunks,
                          const double *partial, real *result) {
  __shared__ double sums[1][THREADS];
  const Share own(kinds * chunks, columns, chunks);
  own.add_up([=](sk_u64 x, double *sum) { sum[0] += partial[x]; }, sums);
  own.keep(0, sums[0][threadIdx.x % WIDE], result);
}

SK_KERNEL(relu_backward)(sk_u64 rows, int columns, sk_u64 length, real *dh,
                         const real *z, const real *scale, const real *shift,
                         const real *mean, const real *slope, const real *offset) {
  const Share own(rows, columns, length);
  const int j = own.column;
  const real a = scale[j], b = shift[j], middle = mean[j], s = slope[j], o = offset[j];
  own.each([=](sk_u64 x) {
    const real da = active(before_relu(z[x], a, b), dh[x]);
    dh[x] = a * da + s * (z[x] - middle) + o;
  });
}

// A thread takes a row: there are few classes. partial: the losses of each block, then
// its right rows. The label of no class makes the loss NaN; nothing is read there.
SK_KERNEL(cross_entropy)(sk_u64 rows, int classes, const real *logits,
                         const long long *labels, real *dlogits, double scale,
                         double *partial) {
  __shared__ double shared[2][THREADS];
  double sum[2] = {};
  const sk_u64 index = own_index();
  if (index < rows) {
    const real *row = logits + index * classes;
    const long long label = labels[index];
    const int best = first_largest(row, classes);
    const double top = row[best];
    double mass = 0.0;
    for (int j = 0; j < classes; ++j) mass += exp(row[j] - top);
    const bool known = 0 <= label && label < classes;
    const double own = known ? row[label] : sk_infinity() - sk_infinity();
    sum[0] = log(mass) - (own - top);
    sum[1] = best == label;
    const double share = 1.0 / mass;
    for (int j = 0; dlogits && j < classes; ++j)
      dlogits[index * classes + j] =
          static_cast<real>(scale * (exp(row[j] - top) * share - (j == label)));
  }
  join_block<Sum>(sum, shared);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = shared[0][0];
    partial[gridDim.x + blockIdx.x] = shared[1][0];
  }
}

SK_KERNEL(finish_cross_entropy)(sk_u64 blocks, const double *partial, double *loss,
                                long long *right) {
  __shared__ double losses[1][THREADS], rights[1][THREADS];
  reduce<Sum>(0, blocks, [=](sk_u64 x) { return partial[x]; }, losses, loss);
  double count = 0.0;  // of the first thread
  reduce<Sum>(
      0, blocks, [=](sk_u64 x) { return partial[blocks + x]; }, rights, &count);
  if (threadIdx.x == 0) *right = static_cast<long long>(count);
}

// first and second are 1 - beta^step of both moments.
SK_KERNEL(adam)(sk_u64 n, real *w, const real *g, real *m, real *v, real beta1,
                real rest1, real beta2, real rest2, real first, real second, real rate,
                real eps) {
  const sk_u64 x = own_index();
  if (x >= n) return;
  m[x] = beta1 * m[x] + rest1 * g[x];
  v[x] = beta2 * v[x] + rest2 * g[x] * g[x];
  w[x] -= rate * (m[x] / first) / (sqrt(v[x] / second) + eps);
}

SK_KERNEL(momentum)(sk_u64 n, real *w, const real *g, real *velocity, real rate,
                    real momentum) {
  const sk_u64 x = own_index();
  if (x >= n) return;
  velocity[x] = momentum * velocity[x] + g[x];
  w[x] -= rate * velocity[x];
}

// ---- Curvature products

SK_KERNEL(tangent_sums)(sk_u64 rows, int columns, sk_u64 length, const real *z,
                        real *rz, const real *extra, const real *mean,
                        double *partial) {
  __shared__ double sums[2][THREADS];
  const Share own(rows, columns, length);
  const real middle = mean[own.column];
  own.add_up(
      [=](sk_u64 x, double *sum) {
        const real tangent = added(rz, extra, x);
        sum[0] += tangent;
        sum[1] += (z[x] - middle) * tangent;
      },
      sums);
  for (int i = 0; i < 2; ++i) own.keep(i, sums[i][threadIdx.x % WIDE], partial);
}

SK_KERNEL(tangent_relu)(sk_u64 rows, int columns, sk_u64 length, const real *z,
                        real *rz, const real *extra, real *out, const real *scale,
                        const real *shift, const real *mean, const real *slope,
                        const real *offset) {
  const Share own(rows, columns, length);
  const int j = own.column;
  const real a = scale[j], b = shift[j], middle = mean[j], s = slope[j], o = offset[j];
  own.each([=](sk_u64 x) {
    const real moved = a * added(rz, extra, x) + s * (z[x] - middle) + o;
    out[x] = active(before_relu(z[x], a, b), moved);
  });
}

SK_KERNEL(reverse_sums)(sk_u64 rows, int columns, sk_u64 length, const real *dh,
                        real *rdh, const real *extra, const real *z, const real *rz,
                        const real *scale, const real *shift, const real *mean,
                        const real *rmean, double *partial) {
  __shared__ double sums[4][THREADS];
  const Share own(rows, columns, length);
  const int j = own.column;
  const real a = scale[j], b = shift[j], middle = mean[j], rmiddle = rmean[j];
  own.add_up(
      [=](sk_u64 x, double *sum) {
        const real before = before_relu(z[x], a, b), centred = z[x] - middle;
        const real da = active(before, dh[x]);
        const real rda = active(before, added(rdh, extra, x));
        sum[0] += da;
        sum[1] += da * centred;
        sum[2] += rda;
        sum[3] += rda * centred + da * (rz[x] - rmiddle);
      },
      sums);
  for (int i = 0; i < 4; ++i) own.keep(i, sums[i][threadIdx.x % WIDE], partial);
}

SK_KERNEL(reverse)(sk_u64 rows, int columns, sk_u64 length, real *dh, real *rdh,
                   const real *z, const real *rz, const real *scale, const real *shift,
                   const real *mean, const real *slope, const real *offset,
                   const real *rscale, const real *rmean, const real *rslope,
                   const real *roffset) {
  const Share own(rows, columns, length);
  const int j = own.column;
  const real a = scale[j], b = shift[j], ra = rscale[j], s = slope[j], rs = rslope[j];
  const real o = offset[j], ro = roffset[j], middle = mean[j], rmiddle = rmean[j];
  own.each([=](sk_u64 x) {
    const real before = before_relu(z[x], a, b), centred = z[x] - middle;
    const real da = active(before, dh[x]), rda = active(before, rdh[x]);
    dh[x] = a * da + s * centred + o;
    rdh[x] = a * rda + ra * da + (rs * centred + s * (rz[x] - rmiddle) + ro);
  });
}

SK_KERNEL(softmax_hessian)(sk_u64 rows, int classes, const real *logits,
                           const real *tangent, real *out, double scale) {
  const sk_u64 first = own_index() * classes;
  if (own_index() >= rows) return;
  const double top = logits[first + first_largest(logits + first, classes)];
  double mass = 0.0, moved = 0.0;
  for (sk_u64 x = first; x < first + classes; ++x) {
    const double share = exp(logits[x] - top);
    mass += share;
    moved += share * tangent[x];
  }
  moved /= mass;
  const double whole = scale / mass;
  for (sk_u64 x = first; x < first + classes; ++x)
    out[x] = static_cast<real>(whole * exp(logits[x] - top) * (tangent[x] - moved));
}
