// Dot products of rows on the CPU, in float64: gram, path_gram and free_gram of
// sharpkit/_vectors/kernels/reference.py. T is float or double.
#pragma once

#include <string>
#include <vector>

#include "rows.h"

namespace sharpkit {

template <class T>
void gram(Rows<T> A, Rows<T> B, bool same, Range range, double *partial);

template <class T>
void path_gram(Rows<T> A, Place<T> place, const T *g, const T *ts, size_t steps,
               Range range, double *partial);

template <class T>
void free_gram(Rows<T> A, Place<T> place, Range range, double *partial);

// The instruction sets that this library was made for and this processor has, the best
// one last: it is used unless another one is asked for. Each sums in an order of its
// own, so that the last bits differ between them.
std::vector<std::string> instruction_sets();
void use_instruction_set(const std::string &name);

}  // namespace sharpkit
