#pragma once
/// State dicts of other libraries, made here: offsets as those libraries define them, straight from the definitions.
#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "models/foreign/convert.h"

namespace rarefy::models::foreign::test {

using Offset = std::array<int, 3>;

/// Offsets of MinkowskiEngine's hyper-cube in the order of its kernel indices: the first axis runs fastest; even
/// extents start at 0, odd ones are centred.
inline std::vector<Offset> minkowski_offsets(const Offset& size) {
  std::vector<Offset> all;
  for (int k = 0; k < size[0] * size[1] * size[2]; ++k) {
    int rest = k;
    Offset offset{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const int index = rest % size[axis];
      offset[axis] = size[axis] % 2 == 0 ? index : index - size[axis] / 2;
      rest /= size[axis];
    }
    all.push_back(offset);
  }
  return all;
}

/// Offsets of torchsparse: per axis from floor(-size / 2) + 1 to size / 2; the loop over x is innermost when the volume
/// is odd, the loop over z when it is even.
inline std::vector<Offset> torchsparse_offsets(const Offset& size) {
  const auto first = [&](std::size_t axis) { return (size[axis] % 2 == 0 ? -size[axis] : -size[axis] - 1) / 2 + 1; };
  const auto last = [&](std::size_t axis) { return size[axis] / 2; };
  std::vector<Offset> all;
  if (size[0] * size[1] * size[2] % 2 == 1) {
    for (int z = first(2); z <= last(2); ++z)
      for (int y = first(1); y <= last(1); ++y)
        for (int x = first(0); x <= last(0); ++x) all.push_back({x, y, z});
  } else {
    for (int x = first(0); x <= last(0); ++x)
      for (int y = first(1); y <= last(1); ++y)
        for (int z = first(2); z <= last(2); ++z) all.push_back({x, y, z});
  }
  return all;
}

/// Offsets of spconv and of dense convolutions by kernel position: position minus padding, the last axis fastest. Odd
/// extents are padded by half, even ones not.
inline std::vector<Offset> dense_offsets(const Offset& size) {
  std::vector<Offset> all;
  for (int i = 0; i < size[0]; ++i)
    for (int j = 0; j < size[1]; ++j)
      for (int l = 0; l < size[2]; ++l) {
        const auto minus_padding = [&](int position, std::size_t axis) {
          return size[axis] % 2 == 1 ? position - size[axis] / 2 : position;
        };
        all.push_back({minus_padding(i, 0), minus_padding(j, 1), minus_padding(l, 2)});
      }
  return all;
}

/// A library as the tests know it.
struct Library {
  std::string source;
  std::vector<Offset> (*offsets)(const Offset& size);
  /// Shape and element of a kernel; `number` is the position in offsets().
  std::vector<std::int64_t> (*shape)(const Offset& size, std::int64_t in, std::int64_t out);
  std::int64_t (*element)(std::int64_t volume, std::int64_t in, std::int64_t out, std::int64_t number, std::int64_t ci,
                          std::int64_t co);
  bool reversed = false;  ///< its first axis is our last
};

inline const std::vector<Library>& libraries() {
  using I = std::int64_t;
  const auto rows_shape = [](const Offset& s, I in, I out) -> std::vector<I> {
    if (s[0] * s[1] * s[2] == 1) return {in, out};
    return {I{s[0]} * s[1] * s[2], in, out};
  };
  const auto rows_element = [](I, I in, I out, I k, I ci, I co) { return (k * in + ci) * out + co; };
  const auto krsc_shape = [](const Offset& s, I in, I out) -> std::vector<I> { return {out, s[0], s[1], s[2], in}; };
  const auto krsc_element = [](I volume, I in, I, I k, I ci, I co) { return (co * volume + k) * in + ci; };
  const auto rsck_shape = [](const Offset& s, I in, I out) -> std::vector<I> { return {s[0], s[1], s[2], in, out}; };
  const auto dense_shape = [](const Offset& s, I in, I out) -> std::vector<I> { return {out, in, s[0], s[1], s[2]}; };
  const auto dense_element = [](I volume, I in, I, I k, I ci, I co) { return (co * in + ci) * volume + k; };
  static const std::vector<Library> all = {
      {"minkowski", minkowski_offsets, rows_shape, rows_element, false},
      {"torchsparse", torchsparse_offsets, rows_shape, rows_element, false},
      {"spconv", dense_offsets, krsc_shape, krsc_element, false},
      {"spconv", dense_offsets, rsck_shape, rows_element, false},    // version 1
      {"openpcdet", dense_offsets, krsc_shape, krsc_element, true},  // (z, y, x)
      {"openpcdet", dense_offsets, rsck_shape, rows_element, true},  // version 1
      {"pytorch", dense_offsets, dense_shape, dense_element, false},
  };
  return all;
}

inline Offset flipped(const Offset& v) { return {v[2], v[1], v[0]}; }

/// A kernel in a library's layout whose element for an offset (in our axes) and channels is `value`.
inline Tensor stored_kernel(const Library& library, const Offset& size, std::int64_t in, std::int64_t out,
                            const std::function<float(const Offset&, std::int64_t, std::int64_t)>& value) {
  const Offset theirs = library.reversed ? flipped(size) : size;
  Tensor kernel(Dtype::f32, library.shape(theirs, in, out));
  auto data = kernel.mutable_as<float>();
  const auto offsets = library.offsets(theirs);
  for (std::size_t k = 0; k < offsets.size(); ++k)
    for (std::int64_t ci = 0; ci < in; ++ci)
      for (std::int64_t co = 0; co < out; ++co) {
        const auto at =
            library.element(static_cast<std::int64_t>(offsets.size()), in, out, static_cast<std::int64_t>(k), ci, co);
        data[static_cast<std::size_t>(at)] = value(library.reversed ? flipped(offsets[k]) : offsets[k], ci, co);
      }
  return kernel;
}

}  // namespace rarefy::models::foreign::test
