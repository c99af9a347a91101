// Random numbers as a hash of (seed, stream, global index), at the processor's speed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sharpkit {

// out[i] = the (offset + i)-th standard normal of the stream, a float32 number for every
// type, so that float32 and float64 weights see the same random subspace.
void fill_normal(float *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
                 std::uint64_t offset);
void fill_normal(double *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
                 std::uint64_t offset);

// out[i] = the (offset + i)-th random sign of the stream, +1 or -1.
void fill_signs(float *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
                std::uint64_t offset);
void fill_signs(double *out, std::size_t n, std::uint64_t seed, std::uint64_t stream,
                std::uint64_t offset);

}  // namespace sharpkit
