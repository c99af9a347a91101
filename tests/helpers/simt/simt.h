// CUDA's language for g++: kernels become functions that one thread of a block runs.
//
// The C++ side of a kernel launch is here; who runs the threads, and how they wait for
// one another, is in fibers.cpp (one after the other, in a given order) or threads.cpp
// (all at once, for the sanitizers).
#pragma once

#include <math.h>  // with the overloads that CUDA has

#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace simt {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

// Comes back when all threads of the block have reached a barrier of this line.
void barrier(int line);

// One argument of a launch. The code is the type: ptr, i4, u8, f4 or f8.
struct Argument {
  char code[8];
  unsigned char bytes[8];
};

template <class T> constexpr const char *code = nullptr;
template <class T> constexpr const char *code<T *> = "ptr";
template <> constexpr const char *code<int> = "i4";
template <> constexpr const char *code<unsigned long long> = "u8";
template <> constexpr const char *code<float> = "f4";
template <> constexpr const char *code<double> = "f8";

template <class T> Argument argument(T value) {
  static_assert(code<T> != nullptr, "a type that no kernel takes");
  Argument made{};
  std::strcpy(made.code, code<T>);
  std::memcpy(made.bytes, &value, sizeof value);
  return made;
}

struct Kernel {
  std::vector<std::string> codes;
  std::function<void(const Argument *)> run;  // as one thread

  // The driver takes a launch's arguments on trust; nothing is taken on trust here.
  void check(const Argument *arguments, std::size_t count) const {
    if (count != codes.size())
      throw std::invalid_argument("got " + std::to_string(count) + " arguments; give " +
                                  std::to_string(codes.size()));
    for (std::size_t i = 0; i < count; ++i)
      if (codes[i] != arguments[i].code)
        throw std::invalid_argument("argument " + std::to_string(i) + " is " +
                                    arguments[i].code + "; give " + codes[i]);
  }
};

// A program that loads the kernels twice has two of each, with two shared memories.
std::map<std::string, std::vector<Kernel>> &kernels();

template <class T> T value(const Argument &argument) {
  T made;
  std::memcpy(&made, argument.bytes, sizeof made);
  return made;
}

template <class... P, std::size_t... I>
Kernel wrap(void (*function)(P...), std::index_sequence<I...>) {
  return Kernel{{code<P>...},
                [=](const Argument *a) { function(value<P>(a[I])...); }};
}

struct Registered {
  template <class... P> Registered(const char *name, void (*function)(P...)) {
    kernels()[name].push_back(wrap(function, std::index_sequence_for<P...>{}));
  }
};

}  // namespace simt

extern thread_local simt::Index threadIdx, blockIdx, blockDim, gridDim;

// Shared memory lies together, so that it can be poisoned. It must be declared in the
// kernels themselves: g++ ignores the section of a variable in a template.
#define __shared__ static __attribute__((section("simt_shared"), used))
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(threads)
#define __syncthreads() simt::barrier(__LINE__)
#define __CUDACC__ 13
#define __CUDA_ARCH__ 900

inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline unsigned __float_as_uint(float x) {
  return simt::value<unsigned>(simt::argument(x));
}
inline float __uint_as_float(unsigned x) {
  float value;
  std::memcpy(&value, &x, sizeof value);
  return value;
}
