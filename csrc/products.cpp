#include "products.h"

#include <algorithm>
#include <stdexcept>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SK_X86
#endif

namespace sharpkit {

// Each is a file of its own, products_<isa>.cpp, compiled from products.inc.
#define SK_DECLARE(isa)                                                       \
  namespace isa {                                                             \
  template <class T>                                                          \
  void gram(Rows<T>, Rows<T>, bool, Range, double *, Scratch<T>);             \
  template <class T>                                                          \
  void path_gram(Rows<T>, Place<T>, const T *, const T *, size_t, Range,      \
                 double *, Scratch<T>);                                       \
  template <class T>                                                          \
  void free_gram(Rows<T>, Place<T>, Range, double *, Scratch<T>);             \
  }
SK_DECLARE(base)
#ifdef SK_X86
SK_DECLARE(avx2)
SK_DECLARE(avx512)
#define SK_BEST(call)                    \
  if (used == "avx512")                  \
    avx512::call;                        \
  else if (used == "avx2")               \
    avx2::call;                          \
  else                                   \
    base::call
#else
#define SK_BEST(call) base::call
#endif

std::vector<std::string> instruction_sets() {
  std::vector<std::string> found{"base"};
#ifdef SK_X86
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    found.push_back("avx2");
    if (__builtin_cpu_supports("avx512f")) found.push_back("avx512");
  }
#endif
  return found;
}

namespace {

std::string used = instruction_sets().back();

template <class T>
struct Buffers {
  std::vector<double> total;
  std::vector<const T *> pointers;
  std::vector<T> rows;

  Buffers(size_t ka, size_t kb, size_t built)
      : total((ka + 3) * (kb + 3)), pointers(2 * (ka + kb)), rows(built * PIECE) {}

  Scratch<T> scratch() { return {total.data(), pointers.data(), rows.data()}; }
};

}  // namespace

void use_instruction_set(const std::string &name) {
  const std::vector<std::string> known = instruction_sets();
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw std::invalid_argument("this processor or library has no " + name);
  used = name;
}

template <class T>
void gram(Rows<T> A, Rows<T> B, bool same, Range range, double *partial) {
  Buffers<T> own(A.count, B.count, 0);
  SK_BEST(gram(A, B, same, range, partial, own.scratch()));
}

template <class T>
void path_gram(Rows<T> A, Place<T> place, const T *g, const T *ts, size_t steps,
               Range range, double *partial) {
  Buffers<T> own(A.count + 1, 2 * steps, 2 * steps);
  SK_BEST(path_gram(A, place, g, ts, steps, range, partial, own.scratch()));
}

template <class T>
void free_gram(Rows<T> A, Place<T> place, Range range, double *partial) {
  Buffers<T> own(A.count, A.count, A.count + 1);  // and a row for what is free
  SK_BEST(free_gram(A, place, range, partial, own.scratch()));
}

#define SK_INSTANTIATE(T)                                                     \
  template void gram(Rows<T>, Rows<T>, bool, Range, double *);                \
  template void path_gram(Rows<T>, Place<T>, const T *, const T *, size_t,    \
                          Range, double *);                                   \
  template void free_gram(Rows<T>, Place<T>, Range, double *);
SK_INSTANTIATE(float)
SK_INSTANTIATE(double)

}  // namespace sharpkit
