#include "random.h"

#include <algorithm>

#include "elementwise.h"

// One binary holds a version for each instruction set, chosen when it is loaded. Their
// bits agree: every operation is exact or correctly rounded, and none is fused.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    defined(__GLIBC__) && !defined(SHARPKIT_NO_CLONES)
#define SK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SK_CLONES
#endif

namespace sharpkit {
namespace {

// Blocks per tile: a tile of 512 normals stays in the first-level cache.
constexpr int kBlocks = 128;
constexpr int kNormals = 4 * kBlocks;
// A sign tile is small: each of its blocks gives 128 numbers.
constexpr int kSignBlocks = 16;
constexpr int kSigns = 128 * kSignBlocks;

SK_CLONES void normal_tile(float *out, std::uint64_t seed, std::uint64_t stream,
                           std::uint64_t first) {
  // Three plain loops, one array per word: the compiler vectorises each over blocks.
  sk_u32 word[4][kBlocks];
  for (int b = 0; b < kBlocks; ++b) {
    const sk_block r = sk_random_block(seed, stream, first + b);
    for (int i = 0; i < 4; ++i) word[i][b] = r.word[i];
  }
  float normal[4][kBlocks];
  for (int i = 0; i < 4; i += 2)
    for (int b = 0; b < kBlocks; ++b) {
      const sk_pair pair = sk_normal_pair(word[i][b], word[i + 1][b]);
      normal[i][b] = pair.first;
      normal[i + 1][b] = pair.second;
    }
  for (int b = 0; b < kBlocks; ++b)
    for (int i = 0; i < 4; ++i) out[4 * b + i] = normal[i][b];
}

SK_CLONES void sign_tile(float *out, std::uint64_t seed, std::uint64_t stream,
                         std::uint64_t first) {
  sk_u32 words[4 * kSignBlocks];
  for (int b = 0; b < kSignBlocks; ++b) {
    const sk_block r = sk_random_block(seed, stream, first + b);
    for (int i = 0; i < 4; ++i) words[4 * b + i] = r.word[i];
  }
  for (int i = 0; i < 4 * kSignBlocks; ++i)
    for (int bit = 0; bit < 32; ++bit)
      out[32 * i + bit] = static_cast<float>(sk_sign(words[i], bit));
}

// Copies to `out` what lies within [offset, offset + n) of a sequence that is made one
// tile at a time; `size` numbers per tile, `blocks` random blocks.
template <int size, int blocks, class Tile, class T>
void fill(Tile tile, T *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
          std::uint64_t offset) {
  constexpr std::uint64_t per_block = size / blocks;
  float numbers[size];
  std::uint64_t block = offset / per_block;
  std::size_t skip = offset % per_block;
  while (n > 0) {
    tile(numbers, seed, stream, block);
    const std::size_t count = std::min<std::size_t>(n, size - skip);
    std::copy_n(numbers + skip, count, out);
    out += count;
    n -= count;
    block += blocks;
    skip = 0;
  }
}

}  // namespace

void fill_normal(float *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
                 std::uint64_t offset) {
  fill<kNormals, kBlocks>(normal_tile, out, n, seed, stream, offset);
}

void fill_normal(double *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
                 std::uint64_t offset) {
  fill<kNormals, kBlocks>(normal_tile, out, n, seed, stream, offset);
}

void fill_signs(float *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
                std::uint64_t offset) {
  fill<kSigns, kSignBlocks>(sign_tile, out, n, seed, stream, offset);
}

void fill_signs(double *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
                std::uint64_t offset) {
  fill<kSigns, kSignBlocks>(sign_tile, out, n, seed, stream, offset);
}

}  // namespace sharpkit
