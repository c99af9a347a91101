// What a kernel is, and how a block adds up: for kernels.cu and steps.cu, which say how
// their sums are split over blocks.

#define SK_JOIN(name, suffix) name##_##suffix
#define SK_NAME(name, suffix) SK_JOIN(name, suffix)
#define SK_KERNEL(name) \
  extern "C" __global__ void __launch_bounds__(THREADS) SK_NAME(name, SK_REAL)

namespace {

typedef SK_REAL real;

constexpr int THREADS = 128;  // in each block of every launch

__device__ sk_u64 own_index() {
  return static_cast<sk_u64>(blockIdx.x) * THREADS + threadIdx.x;
}

__device__ sk_u64 smaller(sk_u64 a, sk_u64 b) { return a < b ? a : b; }

// ---- Joining the numbers of a block

struct Sum {
  static __device__ double start() { return 0.0; }
  static __device__ double join(double a, double b) { return a + b; }
};

// Leaves the joined value i of the threads t, t + LEFT, t + 2 LEFT ... in shared[i][t],
// for every thread to read.
template <class Op, int LEFT = 1, int COUNT>
__device__ void join_block(const double (&value)[COUNT],
                           double (&shared)[COUNT][THREADS]) {
  const int thread = threadIdx.x;
  SK_UNROLL
  for (int i = 0; i < COUNT; ++i) shared[i][thread] = value[i];
  for (int half = THREADS / 2; half >= LEFT; half /= 2) {
    __syncthreads();
    if (thread < half) {
      SK_UNROLL
      for (int i = 0; i < COUNT; ++i)
        shared[i][thread] = Op::join(shared[i][thread], shared[i][thread + half]);
    }
  }
  __syncthreads();
}

// Joins item(begin) to item(end - 1) and writes the result.
template <class Op, class Item>
__device__ void reduce(sk_u64 begin, sk_u64 end, Item item,
                       double (&shared)[1][THREADS], double *result) {
  double value[1] = {Op::start()};
  for (sk_u64 x = begin + threadIdx.x; x < end; x += THREADS)
    value[0] = Op::join(value[0], item(x));
  join_block<Op>(value, shared);
  if (threadIdx.x == 0) *result = shared[0][0];
}

// ---- Dot products of rows: a block adds up an R x C tile of them over one chunk

template <int R, int C>
struct Tile {
  int rows, columns;  // of the whole result
  int row, column;    // where this tile begins
  int chunk, chunks;
  sk_u64 begin, end;  // the chunk's numbers

  // With `upper` only tiles on and above the diagonal are made. The tiles of a chunk
  // are neighbours in the grid: all but the first find its numbers in the cache.
  __device__ Tile(int rows, int columns, bool upper, sk_u64 n, sk_u64 length)
      : rows(rows), columns(columns) {
    const int down = (rows + R - 1) / R, across = (columns + C - 1) / C;
    const int tiles = upper ? down * (down + 1) / 2 : down * across;
    int index = blockIdx.x % tiles, i = 0;
    chunk = blockIdx.x / tiles;
    chunks = gridDim.x / tiles;
    for (; index >= (upper ? across - i : across); ++i)
      index -= upper ? across - i : across;
    row = R * i;
    column = C * (upper ? i + index : index);
    begin = chunk * length;
    end = smaller(begin + length, n);
  }
};

// COUNT rows of a block from the first on; `extra` comes after its last row, unless
// null. Beyond the end the last row is read again, and its products are not kept.
template <int COUNT>
struct Rows {
  const real *row[COUNT];

  __device__ Rows(const real *A, int k, const real *extra, sk_u64 n, int first) {
    SK_UNROLL
    for (int i = 0; i < COUNT; ++i) {
      const int last = extra ? k : k - 1;
      const int own = first + i < last ? first + i : last;
      row[i] = own < k ? A + own * n : extra;
    }
  }

  __device__ void load(sk_u64 x, double (&value)[COUNT]) const {
    SK_UNROLL
    for (int i = 0; i < COUNT; ++i) value[i] = row[i][x];
  }
};

// The same rows, 0 where the displacement is on a wall.
template <int COUNT>
struct FreeRows {
  Rows<COUNT> rows;
  const real *w, *z;
  real eps;

  __device__ void load(sk_u64 x, double (&value)[COUNT]) const {
    rows.load(x, value);
    const bool free = sk_free(w[x], eps, z[x]);
    SK_UNROLL
    for (int i = 0; i < COUNT; ++i) value[i] = free ? value[i] : 0.0;
  }
};

// Rows 2i and 2i + 1: direction and displacement of the gradient path at ts[i].
template <int COUNT>
struct PathRows {
  const real *w, *z, *g;
  real eps;
  real t[COUNT / 2];

  __device__ PathRows(const real *w, real eps, const real *z, const real *g,
                      const real *ts, int steps, int first)
      : w(w), z(z), g(g), eps(eps) {
    SK_UNROLL
    for (int i = 0; i < COUNT / 2; ++i) {
      const int own = first / 2 + i;
      t[i] = ts[own < steps ? own : steps - 1];
    }
  }

  __device__ void load(sk_u64 x, double (&value)[COUNT]) const {
    SK_UNROLL
    for (int i = 0; i < COUNT / 2; ++i) {
      const sk_path_point<real> point = sk_path(w[x], eps, z[x], g[x], t[i]);
      value[2 * i] = point.along;
      value[2 * i + 1] = point.moved;
    }
  }
};

// partial[i, j, chunk] = left row i . right row j, of the tile and over its chunk.
template <int R, int C, class Left, class Right>
__device__ void dot_products(const Tile<R, C> &tile, const Left &left,
                             const Right &right, double (&shared)[R * C][THREADS],
                             double *partial) {
  double sum[R * C] = {};
  for (sk_u64 x = tile.begin + threadIdx.x; x < tile.end; x += THREADS) {
    double a[R], b[C];
    left.load(x, a);
    right.load(x, b);
    SK_UNROLL
    for (int i = 0; i < R; ++i) {
      SK_UNROLL
      for (int j = 0; j < C; ++j) sum[C * i + j] = sk_fma(a[i], b[j], sum[C * i + j]);
    }
  }
  join_block<Sum>(sum, shared);
  const int thread = threadIdx.x;
  const int i = tile.row + thread / C, j = tile.column + thread % C;
  if (thread < R * C && i < tile.rows && j < tile.columns) {
    const sk_u64 pair = static_cast<sk_u64>(i) * tile.columns + j;
    partial[pair * tile.chunks + tile.chunk] = shared[thread][0];
  }
}

}  // namespace
