// Runs the kernels with one system thread for each CUDA thread, two blocks at a time,
// for the sanitizers: fibers take turns, and so hide a race. Arguments: the library of
// the kernels, and a copy of it, so that each of two blocks has its own shared memory.
#include <dlfcn.h>
#include <pthread.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "simt.h"

thread_local simt::Index threadIdx, blockIdx, blockDim, gridDim;

namespace {

typedef unsigned long long u64;
typedef std::vector<float> Floats;
typedef std::vector<double> Doubles;

constexpr unsigned THREADS = 128;
constexpr unsigned AT_ONCE = 2;
constexpr u64 N = 777, LENGTH = 512;  // two chunks; divisible by neither 2 nor 4
constexpr int CHUNKS = 2, K = 5, STEPS = 3;
constexpr float EPS = 1e-2f;

// A block's threads use two barriers in turn. With one alone, a thread that is slow to
// leave it would seem to have waited for what others did before they came to the next,
// and ThreadSanitizer would miss a race between the two.
pthread_barrier_t barriers[AT_ONCE][2], begin, end;
thread_local pthread_barrier_t *own_barriers;
thread_local int turn = 0;

// The launch under way; no kernel: the threads may go.
struct {
  const std::vector<simt::Kernel> *copies = nullptr;
  std::vector<simt::Argument> arguments;
  unsigned grid = 0;
} current;

void work(unsigned copy, unsigned thread) {
  threadIdx.x = thread;
  blockDim.x = THREADS;
  own_barriers = barriers[copy];
  while (pthread_barrier_wait(&begin), current.copies) {
    gridDim.x = current.grid;
    for (blockIdx.x = copy; blockIdx.x < current.grid; blockIdx.x += AT_ONCE) {
      current.copies->at(copy).run(current.arguments.data());
      simt::barrier(__LINE__);  // before the next block uses the shared memory
    }
    pthread_barrier_wait(&end);
  }
}

template <class... A> void launch(const char *name, unsigned grid, A... values) {
  const std::vector<simt::Argument> arguments{simt::argument(values)...};
  const std::vector<simt::Kernel> &copies = simt::kernels().at(name);
  copies[0].check(arguments.data(), arguments.size());
  current = {&copies, arguments, grid};
  pthread_barrier_wait(&begin);
  pthread_barrier_wait(&end);
}

// Numbers between -1 and 1 that repeat nothing.
Floats numbers(std::size_t count, float scale = 1.0f) {
  static unsigned state = 1;
  Floats made(count);
  for (float &x : made) {
    state = state * 1664525u + 1013904223u;
    x = scale * (static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
  }
  return made;
}

const Floats A = numbers(K * N), B = numbers(K * N), w = numbers(N), g = numbers(N),
             z = numbers(N, EPS);

bool wrong = false;

// Joins the partial sums and compares the result with a plain sum of products.
void finish(const Doubles &partial, int rows, int columns, bool symmetric,
            const Floats &left, const Floats &right) {
  Doubles total(rows * columns);
  launch("finish_sum_float", rows * columns, partial.data(), CHUNKS,
         symmetric ? rows : 0, total.data());
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      double want = 0;
      for (u64 x = 0; x < N; ++x)
        want += static_cast<double>(left[i * N + x]) * right[j * N + x];
      if (std::fabs(total[i * columns + j] - want) < 1e-10) continue;
      std::printf("entry %d, %d is %g; it should be %g\n", i, j, total[i * columns + j],
                  want);
      wrong = true;
    }
}

void sums() {
  Doubles partial(CHUNKS * K * K);
  const float *a = A.data(), *b = B.data();
  launch("gram_square_float", CHUNKS * 4, N, LENGTH, a, K, b, K, 0, partial.data());
  finish(partial, K, K, false, A, B);
  launch("gram_square_float", CHUNKS * 3, N, LENGTH, a, K, a, K, 1, partial.data());
  finish(partial, K, K, true, A, A);
  launch("gram_column_float", CHUNKS, N, LENGTH, a, K, b, partial.data());
  finish(partial, K, 1, false, A, B);
  launch("gram_single_float", CHUNKS, N, LENGTH, a, b, partial.data());
  finish(partial, 1, 1, false, A, B);
  launch("free_gram_float", CHUNKS * 3, N, LENGTH, a, K, w.data(), EPS, z.data(),
         partial.data());
  const Floats ts{0.0f, 1e-3f, 1e-1f};
  Doubles along(CHUNKS * (K + 1) * 2 * STEPS);
  launch("path_gram_float", CHUNKS * 4, N, LENGTH, a, K, w.data(), EPS, z.data(),
         g.data(), ts.data(), STEPS, along.data());
}

void extremes() {
  Doubles partial(CHUNKS), result(1);
  launch("box_residual_float", CHUNKS, N, LENGTH, w.data(), EPS, z.data(), g.data(),
         partial.data());
  launch("finish_largest_float", 1, partial.data(), CHUNKS, result.data());
  launch("box_reach_float", CHUNKS, N, LENGTH, w.data(), EPS, z.data(), g.data(),
         partial.data());
  launch("finish_smallest_float", 1, partial.data(), CHUNKS, result.data());
}

void vectors() {
  const unsigned blocks = (N + THREADS - 1) / THREADS;
  Floats out(N), x_out(N), many(K * N);
  const Doubles C(8 * K, 0.5);
  float *own = out.data();
  launch("box_radius_float", blocks, N, w.data(), EPS, own);
  launch("box_step_float", blocks, N, w.data(), EPS, z.data(), own, 0.5f, own,
         x_out.data());
  launch("box_toward_float", blocks, N, w.data(), EPS, own, g.data(), 0.5, own,
         x_out.data());
  launch("box_free_float", blocks, N, w.data(), EPS, z.data(), own, own);
  launch("combine_one_float", 2, N, C.data(), B.data(), K, 1.0, own);
  launch("combine_many_float", 4, N, C.data(), B.data(), K, K, 1.0, many.data());
  launch("fill_signs_float", 1, N, own, 1ull, 2ull, 77ull);
  launch("fill_normal_float", 2, N, own, 1ull, 2ull, 3ull);
}

// The trainer's steps: two tiles of columns, and three chunks of rows that add up.
void steps() {
  constexpr u64 ROWS = 70, CHUNK = 32, PARTS = 3;
  constexpr int COLUMNS = 37;
  constexpr unsigned TILES = 2;
  const Floats z = numbers(ROWS * COLUMNS), row = numbers(COLUMNS);
  Floats dh = z, out(ROWS * COLUMNS), mean(2 * COLUMNS), var(COLUMNS);
  Doubles partial(2 * PARTS * COLUMNS), loss(1);
  std::vector<long long> labels(ROWS, 5), right(1);
  labels[0] = ROWS * COLUMNS;  // of no class
  const float *r = row.data();
  double *parts = partial.data();
  launch("column_moments_float", PARTS * TILES, ROWS, COLUMNS, CHUNK, z.data(), parts);
  launch("finish_moments_float", TILES, ROWS, COLUMNS, CHUNK, PARTS, parts, mean.data(),
         var.data());
  launch("scale_shift_relu_float", PARTS * TILES, ROWS, COLUMNS, CHUNK, z.data(),
         out.data(), r, r);
  launch("relu_backward_sums_float", PARTS * TILES, ROWS, COLUMNS, CHUNK, dh.data(),
         z.data(), r, r, r, parts);
  launch("finish_columns_float", 2 * TILES, 2ull, COLUMNS, PARTS, parts, mean.data());
  launch("relu_backward_float", PARTS * TILES, ROWS, COLUMNS, CHUNK, dh.data(),
         z.data(), r, r, r, r, r);
  launch("cross_entropy_float", 1, ROWS, COLUMNS, z.data(), labels.data(), out.data(),
         1.0, parts);
  launch("finish_cross_entropy_float", 1, 1ull, parts, loss.data(), right.data());
  const float *tangent = z.data(), *extra = z.data();
  Floats rz = z, rdh = z;
  Doubles more(4 * PARTS * COLUMNS);
  launch("tangent_sums_float", PARTS * TILES, ROWS, COLUMNS, CHUNK, z.data(), rz.data(),
         extra, r, parts);
  launch("tangent_relu_float", PARTS * TILES, ROWS, COLUMNS, CHUNK, z.data(), rz.data(),
         extra, out.data(), r, r, r, r, r);
  launch("reverse_sums_float", PARTS * TILES, ROWS, COLUMNS, CHUNK, tangent, rdh.data(),
         extra, z.data(), tangent, r, r, r, r, more.data());
  launch("reverse_float", PARTS * TILES, ROWS, COLUMNS, CHUNK, dh.data(), rdh.data(),
         z.data(), tangent, r, r, r, r, r, r, r, r, r);
  launch("softmax_hessian_float", 1, ROWS, COLUMNS, z.data(), tangent, out.data(), 1.0);
  launch("adam_float", 2, 200ull, out.data(), z.data(), dh.data(), dh.data() + 200, 0.9f,
         0.1f, 0.99f, 0.01f, 0.1f, 0.01f, 1e-3f, 1e-8f);
  launch("momentum_float", 2, 200ull, out.data(), z.data(), dh.data(), 0.1f, 0.9f);
}

}  // namespace

void simt::barrier(int) { pthread_barrier_wait(&own_barriers[turn ^= 1]); }

std::map<std::string, std::vector<simt::Kernel>> &simt::kernels() {
  static std::map<std::string, std::vector<Kernel>> all;
  return all;
}

int main(int count, char **arguments) {
  for (int i = 1; i < count; ++i)
    if (!dlopen(arguments[i], RTLD_NOW | RTLD_LOCAL)) {
      std::puts(dlerror());
      return 1;
    }
  for (pthread_barrier_t *everyone : {&begin, &end})
    pthread_barrier_init(everyone, nullptr, AT_ONCE * THREADS + 1);
  std::vector<std::thread> threads;
  for (unsigned copy = 0; copy < AT_ONCE; ++copy) {
    for (pthread_barrier_t &each : barriers[copy])
      pthread_barrier_init(&each, nullptr, THREADS);
    for (unsigned thread = 0; thread < THREADS; ++thread)
      threads.emplace_back(work, copy, thread);
  }
  sums();
  extremes();
  vectors();
  steps();
  current.copies = nullptr;
  pthread_barrier_wait(&begin);
  for (std::thread &thread : threads) thread.join();
  std::puts("all kernels have run");
  return wrong;
}
