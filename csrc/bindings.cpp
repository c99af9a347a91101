// The Python module sharpkit._native: checks, then C++ without the interpreter lock.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <string>

#include "elementwise.h"
#include "random.h"

namespace py = pybind11;

namespace {

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

py::tuple philox4x32(std::array<std::uint32_t, 4> counter,
                     std::array<std::uint32_t, 2> key) {
  const auto [a, b, c, d] = counter;
  const sk_block r = sk_philox(sk_block{{a, b, c, d}}, key[0], key[1]);
  return py::make_tuple(r.word[0], r.word[1], r.word[2], r.word[3]);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "sharpkit's C++ kernels; call them through sharpkit.kernels.cpu.";
  // noconvert: a list or another dtype must not be filled in a copy that is thrown away.
  const auto out = py::arg("out").noconvert();
  module.def("fill_normal", &fill_normal, out, py::arg("seed"), py::arg("stream"),
             py::arg("offset"),
             "Write the standard normals offset, offset + 1, ... of the stream to out.");
  module.def("fill_signs", &fill_signs, out, py::arg("seed"), py::arg("stream"),
             py::arg("offset"),
             "Write the random signs offset, offset + 1, ... of the stream to out.");
  module.def("philox4x32", &philox4x32, py::arg("counter"), py::arg("key"),
             "Return the four words that Philox4x32-10 makes of a counter and a key.");
}
