// The Python module sharpkit._native: checks, then C++ without the interpreter lock.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "elementwise.h"
#include "products.h"
#include "random.h"

namespace py = pybind11;

namespace {

using Sums = py::array_t<double, py::array::c_style>;

void check_layout(const py::array &out) {
  if (out.ndim() != 1)
    throw py::value_error("out has " + std::to_string(out.ndim()) +
                          " dimensions; give a vector");
  if (!(out.flags() & py::array::c_style))
    throw py::value_error("out is not contiguous; give a contiguous vector");
  if (reinterpret_cast<std::uintptr_t>(out.data()) %
      static_cast<std::uintptr_t>(out.itemsize()))
    throw py::value_error("out is not aligned to its numbers' size");
  if (!out.writeable()) throw py::value_error("out is read-only");
}

// Calls task(pointer, length) for a float32 or float64 vector.
template <class Task>
void with_vector(py::array &out, Task task) {
  const bool single = py::isinstance<py::array_t<float>>(out);
  if (!single && !py::isinstance<py::array_t<double>>(out))
    throw py::type_error("out has dtype " + py::str(out.dtype()).cast<std::string>() +
                         "; give float32 or float64");
  check_layout(out);
  const auto n = static_cast<std::size_t>(out.size());
  void *data = out.mutable_data();
  py::gil_scoped_release release;
  if (single)
    task(static_cast<float *>(data), n);
  else
    task(static_cast<double *>(data), n);
}

void fill_normal(py::array out, std::uint64_t seed, std::uint64_t stream,
                 std::uint64_t offset) {
  with_vector(out, [=](auto *data, std::size_t n) {
    sharpkit::fill_normal(data, n, seed, stream, offset);
  });
}

void fill_signs(py::array out, std::uint64_t seed, std::uint64_t stream,
                std::uint64_t offset) {
  with_vector(out, [=](auto *data, std::size_t n) {
    sharpkit::fill_signs(data, n, seed, stream, offset);
  });
}

// Calls task(number), a number of the array's type, without the interpreter lock.
template <class Task>
void with_type(const py::array &array, Task task) {
  const bool single = py::isinstance<py::array_t<float>>(array);
  if (!single && !py::isinstance<py::array_t<double>>(array))
    throw py::type_error("the arrays have dtype " +
                         py::str(array.dtype()).cast<std::string>() +
                         "; give float32 or float64");
  py::gil_scoped_release release;
  if (single)
    task(float());
  else
    task(double());
}

template <class T>
const T *numbers(const py::array &array) {
  return static_cast<const T *>(array.data());
}

template <class T>
sharpkit::Rows<T> rows(const py::array &block) {
  return {numbers<T>(block), static_cast<std::size_t>(block.shape(0)),
          static_cast<std::size_t>(block.shape(1))};
}

template <class T>
sharpkit::Place<T> place(const py::array &w, double eps, const py::array &z) {
  return {numbers<T>(w), static_cast<T>(eps), numbers<T>(z)};
}

// What the dot products take on trust is checked in sharpkit/_vectors/kernels/cpu.py.

void gram(const py::array &A, const py::array &B, bool same, std::size_t begin,
          std::size_t end, std::size_t chunk, Sums partial) {
  double *out = partial.mutable_data();
  with_type(A, [&](auto number) {
    using T = decltype(number);
    sharpkit::gram(rows<T>(A), rows<T>(B), same, {begin, end, chunk}, out);
  });
}

void path_gram(const py::array &A, const py::array &w, double eps, const py::array &z,
               const py::array &g, const Sums &ts, std::size_t begin, std::size_t end,
               std::size_t chunk, Sums partial) {
  double *out = partial.mutable_data();
  with_type(A, [&](auto number) {
    using T = decltype(number);
    const std::vector<T> steps(ts.data(), ts.data() + ts.size());
    sharpkit::path_gram<T>(rows<T>(A), place<T>(w, eps, z), numbers<T>(g),
                           steps.data(), steps.size(), {begin, end, chunk}, out);
  });
}

void free_gram(const py::array &A, const py::array &w, double eps, const py::array &z,
               std::size_t begin, std::size_t end, std::size_t chunk, Sums partial) {
  double *out = partial.mutable_data();
  with_type(A, [&](auto number) {
    using T = decltype(number);
    sharpkit::free_gram<T>(rows<T>(A), place<T>(w, eps, z), {begin, end, chunk}, out);
  });
}

py::tuple philox4x32(std::array<std::uint32_t, 4> counter,
                     std::array<std::uint32_t, 2> key) {
  const auto [a, b, c, d] = counter;
  const sk_block r = sk_philox(sk_block{{a, b, c, d}}, key[0], key[1]);
  return py::make_tuple(r.word[0], r.word[1], r.word[2], r.word[3]);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "sharpkit's C++ kernels; call them through sharpkit._vectors.kernels.cpu.";
  // noconvert: a list or another dtype must not be filled in a copy that is thrown away.
  const auto out = py::arg("out").noconvert();
  module.def("fill_normal", &fill_normal, out, py::arg("seed"), py::arg("stream"),
             py::arg("offset"),
             "Write the standard normals offset, offset + 1, ... of the stream to out.");
  module.def("fill_signs", &fill_signs, out, py::arg("seed"), py::arg("stream"),
             py::arg("offset"),
             "Write the random signs offset, offset + 1, ... of the stream to out.");
  const auto range = "over columns begin to end, in chunks; see cpu.py.";
  module.def("gram", &gram, py::arg("A"), py::arg("B"), py::arg("same"),
             py::arg("begin"), py::arg("end"), py::arg("chunk"),
             py::arg("partial").noconvert(), range);
  module.def("path_gram", &path_gram, py::arg("A"), py::arg("w"), py::arg("eps"),
             py::arg("z"), py::arg("g"), py::arg("ts"), py::arg("begin"),
             py::arg("end"), py::arg("chunk"), py::arg("partial").noconvert(), range);
  module.def("free_gram", &free_gram, py::arg("A"), py::arg("w"), py::arg("eps"),
             py::arg("z"), py::arg("begin"), py::arg("end"), py::arg("chunk"),
             py::arg("partial").noconvert(), range);
  module.def("instruction_sets", &sharpkit::instruction_sets,
             "Return the instruction sets of the dot products, the best one last.");
  module.def("use_instruction_set", &sharpkit::use_instruction_set, py::arg("name"),
             "Use another one from now on; for tests.");
  module.def("philox4x32", &philox4x32, py::arg("counter"), py::arg("key"),
             "Return the four words that Philox4x32-10 makes of a counter and a key.");
}
