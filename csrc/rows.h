// Blocks of rows, as the dot products see them. No standard headers: see products.inc.
#pragma once

#include <stddef.h>

namespace sharpkit {

// Rows of n numbers each, one after the other.
template <class T>
struct Rows {
  const T *data;
  size_t count, n;
};

// Columns begin to end - 1, in chunks that begin at multiples of `chunk`; begin is one.
// The products over chunk c are written to the c-th matrix of the result.
struct Range {
  size_t begin, end, chunk;
};

// The box: weights, epsilon, and a place in it.
template <class T>
struct Place {
  const T *w;
  T eps;
  const T *z;
};

// Rows are cut into pieces of so many columns, which stay in the second-level cache.
constexpr size_t PIECE = 2048;

// What one thread works with: sums, with three rows and columns to spare; four pointers
// for each row; and pieces of rows that are built.
template <class T>
struct Scratch {
  double *total;
  const T **pointers;
  T *rows;
};

}  // namespace sharpkit
