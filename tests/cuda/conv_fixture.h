#pragma once
/// What the GPU convolution tests share: rows of any element type, stride and alignment, with poison around them;
/// random maps in plain and sorted form; the sums in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "kernels/cuda/conv.h"
#include "rarefy/error.h"
#include "support/random_cases.h"

namespace rarefy::test {

using cuda::Arithmetic;
using cuda::DeviceBuffer;
using cuda::Flow;

constexpr std::array<Arithmetic, 4> kArithmetics{Arithmetic::f16, Arithmetic::bf16, Arithmetic::tf32, Arithmetic::f32};

inline std::uint16_t narrow_bf16(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}
/// The nearest value that the arithmetic multiplies without loss.
inline float nearest(Arithmetic a, float v) {
  if (a == Arithmetic::f32) return v;
  if (a == Arithmetic::bf16) return std::bit_cast<float>(static_cast<std::uint32_t>(narrow_bf16(v)) << 16);
  const float half = widen(narrow(v));  // tf32 has as many bits
  return std::abs(half) < 0x1p-14f ? 0.0f : half;
}
/// Half the distance of neighbouring numbers near 1, as stored.
inline double unit(Arithmetic a) {
  if (a == Arithmetic::f16) return 0x1p-11;
  return a == Arithmetic::bf16 ? 0x1p-8 : 0x1p-24;
}

/// Device memory with the contents of a vector.
template <class T>
DeviceBuffer on_device(const std::vector<T>& values) {
  DeviceBuffer buffer;
  const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(T));
  buffer.reserve(std::max<std::int64_t>(bytes, 1));
  cuda::copy_to_device(buffer.data(), values.data(), bytes, nullptr);
  return buffer;
}
inline std::vector<float> floats_of(const float* device, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  cuda::copy_to_host(values.data(), device, count * 4, nullptr);
  cuda::synchronize(nullptr);
  return values;
}

enum class Layout : std::uint8_t { aligned, any };

/// Rows on the device; what lies around them is NaN, and so are they until filled.
class TestRows {
 public:
  TestRows(Rng& rng, Arithmetic arithmetic, std::int64_t rows, std::int64_t cols, Layout layout)
      : arithmetic_(arithmetic), rows_(rows), cols_(cols), element_(cuda::size_of(arithmetic)) {
    const std::int64_t vector = 16 / element_;
    stride_ = layout == Layout::aligned ? (cols + vector - 1) / vector * vector + vector * rng.integer(0, 1)
                                        : cols + rng.integer(0, 5);
    shift_ = layout == Layout::aligned ? vector * rng.integer(0, 1) : rng.integer(0, 4);
    bytes_.assign(static_cast<std::size_t>((rows * stride_ + shift_ + 16) * element_), 0xFF);
    device_ = on_device(bytes_);
  }
  template <class F>
  void fill(F&& value) {
    values_.resize(static_cast<std::size_t>(rows_ * cols_));
    for (std::int64_t i = 0; i < rows_ * cols_; ++i) {
      const float v = static_cast<float>(value());
      values_[static_cast<std::size_t>(i)] = v;
      unsigned char* at = bytes_.data() + (shift_ + i / cols_ * stride_ + i % cols_) * element_;
      if (element_ == 4) {
        std::memcpy(at, &v, 4);
      } else {
        const std::uint16_t bits = arithmetic_ == Arithmetic::f16 ? narrow(v).bits : narrow_bf16(v);
        std::memcpy(at, &bits, 2);
      }
    }
    device_ = on_device(bytes_);
  }
  cuda::Rows view() const { return {device_.as<unsigned char>() + shift_ * element_, rows_, cols_, stride_}; }
  /// What was filled in, or fetched.
  float operator()(std::int64_t row, std::int64_t col) const {
    return values_[static_cast<std::size_t>(row * cols_ + col)];
  }
  const float* row(std::int64_t r) const { return values_.data() + r * cols_; }
  /// Reads the rows back. @return whether what lies around them is as it was
  bool fetch() {
    std::vector<unsigned char> now(bytes_.size());
    cuda::copy_to_host(now.data(), device_.data(), static_cast<std::int64_t>(now.size()), nullptr);
    cuda::synchronize(nullptr);
    bool intact = true;
    values_.assign(static_cast<std::size_t>(rows_ * cols_), 0.0f);
    for (std::int64_t e = 0; e < static_cast<std::int64_t>(now.size()) / element_; ++e) {
      const std::int64_t at = e - shift_;
      const unsigned char* from = now.data() + e * element_;
      if (at < 0 || at >= rows_ * stride_ || at % stride_ >= cols_) {
        for (std::int64_t b = 0; b < element_; ++b) intact &= from[b] == 0xFF;
        continue;
      }
      float v = 0;
      if (element_ == 4) {
        std::memcpy(&v, from, 4);
      } else {
        std::uint16_t bits = 0;
        std::memcpy(&bits, from, 2);
        v = arithmetic_ == Arithmetic::f16 ? widen(Half{bits})
                                           : std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
      }
      values_[static_cast<std::size_t>(at / stride_ * cols_ + at % stride_)] = v;
    }
    fetched_ = std::move(now);
    return intact;
  }
  const std::vector<unsigned char>& fetched() const { return fetched_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }

 private:
  Arithmetic arithmetic_;
  std::int64_t rows_, cols_, stride_ = 0, shift_ = 0, element_;
  std::vector<unsigned char> bytes_, fetched_;
  std::vector<float> values_;
  DeviceBuffer device_;
};

/// A map on both sides. An offset joins a row with at most one other, in both directions.
struct TestMap {
  std::int64_t in_rows = 0, out_rows = 0, ld = 0;
  int volume = 1, splits = 1;
  std::vector<std::int32_t> in_row;  // [volume, ld], plain
  DeviceBuffer plain_table, sorted_table, order, masks;

  std::int32_t at(int k, std::int64_t out) const { return in_row[static_cast<std::size_t>(k * ld + out)]; }
  std::int64_t pairs() const {
    return std::count_if(in_row.begin(), in_row.end(), [](std::int32_t row) { return row >= 0; });
  }
  cuda::MapView view() const {
    cuda::MapView v;
    v.in_rows = in_rows;
    v.out_rows = out_rows;
    v.ld = ld;
    v.volume = volume;
    return v;
  }
  cuda::MapView plain() const {
    cuda::MapView v = view();
    v.in_row = plain_table.as<std::int32_t>();
    return v;
  }
  cuda::MapView sorted() const {
    cuda::MapView v = view();
    v.splits = splits;
    v.in_row = sorted_table.as<std::int32_t>();
    v.order = order.as<std::int32_t>();
    v.masks = masks.as<std::uint32_t>();
    return v;
  }
  /// Makes the device's tables, the sorted form in `wanted` ranges.
  void upload(int wanted) {
    splits = wanted;
    const cuda::MapView v = [&] {
      cuda::MapView s = view();
      s.splits = splits;
      return s;
    }();
    std::vector<std::int32_t> table(in_row.size(), -1), rows(static_cast<std::size_t>(splits * ld), -1);
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(splits * ld / 32), 0);
    for (int s = 0; s < splits; ++s) {
      std::vector<std::uint32_t> mask(static_cast<std::size_t>(out_rows), 0);
      for (std::int64_t o = 0; o < out_rows; ++o)
        for (int k = v.first(s); k < v.first(s + 1); ++k)
          if (at(k, o) >= 0) mask[static_cast<std::size_t>(o)] |= 1U << (k - v.first(s));
      std::vector<std::int32_t> sequence(static_cast<std::size_t>(out_rows));
      std::iota(sequence.begin(), sequence.end(), 0);
      std::stable_sort(sequence.begin(), sequence.end(), [&](std::int32_t a, std::int32_t b) {
        return mask[static_cast<std::size_t>(a)] > mask[static_cast<std::size_t>(b)];
      });
      for (std::int64_t i = 0; i < out_rows; ++i) {
        const std::int32_t o = sequence[static_cast<std::size_t>(i)];
        rows[static_cast<std::size_t>(s * ld + i)] = o;
        bits[static_cast<std::size_t>((s * ld + i) / 32)] |= mask[static_cast<std::size_t>(o)];
        for (int k = v.first(s); k < v.first(s + 1); ++k) table[static_cast<std::size_t>(k * ld + i)] = at(k, o);
      }
    }
    plain_table = on_device(in_row);
    sorted_table = on_device(table);
    order = on_device(rows);
    masks = on_device(bits);
  }
  TestMap transposed() const {
    TestMap t;
    t.in_rows = out_rows;
    t.out_rows = in_rows;
    t.volume = volume;
    t.ld = (in_rows + 127) / 128 * 128;
    t.in_row.assign(static_cast<std::size_t>(t.ld * volume), -1);
    for (int k = 0; k < volume; ++k)
      for (std::int64_t o = 0; o < out_rows; ++o)
        if (at(k, o) >= 0) t.in_row[static_cast<std::size_t>(k * t.ld + at(k, o))] = static_cast<std::int32_t>(o);
    return t;
  }
};

/// Offsets differ in density: some have no pair, some all; some rows have none.
inline TestMap random_test_map(Rng& rng, std::int64_t in_rows, std::int64_t out_rows, int volume, double density) {
  TestMap map;
  map.in_rows = in_rows;
  map.out_rows = out_rows;
  map.volume = volume;
  map.ld = (out_rows + 127) / 128 * 128;
  map.in_row.assign(static_cast<std::size_t>(map.ld * volume), -1);
  std::vector<std::int32_t> partner(static_cast<std::size_t>(std::max(in_rows, out_rows)));
  std::iota(partner.begin(), partner.end(), 0);
  for (int k = 0; k < volume; ++k) {
    for (std::size_t i = partner.size(); i > 1; --i)
      std::swap(partner[i - 1], partner[static_cast<std::size_t>(rng.integer(0, static_cast<std::int64_t>(i) - 1))]);
    const double share = rng.chance(0.15) ? 0.0 : rng.chance(0.1) ? 1.0 : density * 2 * rng.uniform();
    const std::int64_t from = rng.chance(0.3) ? rng.integer(0, out_rows) : 0;
    for (std::int64_t o = from; o < out_rows; ++o) {
      const std::int32_t in = partner[static_cast<std::size_t>(o)];
      if (in < in_rows && rng.chance(share)) map.in_row[static_cast<std::size_t>(k * map.ld + o)] = in;
    }
  }
  const int fewest = (volume + 31) / 32;
  map.upload(std::min(volume, static_cast<int>(rng.integer(fewest, fewest + 2))));
  return map;
}

/// A sum in double, with the sum of the absolute values of its terms.
struct Sum {
  double value = 0, magnitude = 0;
  void add(double term) {
    value += term;
    magnitude += std::abs(term);
  }
};

}  // namespace rarefy::test
