#pragma once
/// What the convolution tests share: matrices with guarded rows, the variants of this machine, comparison with a bound.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/conv.h"
#include "oracle/conv.h"
#include "rarefy/error.h"

namespace rarefy::test {

/// Values that kernels must neither read nor write lie before, between and after the rows.
constexpr float kGuard = -7.0e33f;

/// A matrix with any row stride and alignment, surrounded by guards.
class Guarded {
 public:
  Guarded(std::int64_t rows, std::int64_t cols, std::int64_t padding = 0, std::int64_t shift = 0)
      : rows_(rows), cols_(cols), stride_(cols + padding), shift_(shift) {
    data_.assign(static_cast<std::size_t>(rows * stride_ + shift + 16), kGuard);
  }
  Matrix<float> view() { return {data_.data() + shift_, rows_, cols_, stride_}; }
  /// Every element from f(row, col).
  template <class F>
  Guarded& fill(F&& f) {
    auto m = view();
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < cols_; ++c) m(r, c) = static_cast<float>(f(r, c));
    }
    return *this;
  }
  Guarded& normal(Rng& rng) {
    return fill([&](auto, auto) { return rng.normal(); });
  }
  Guarded& integers(Rng& rng) {
    return fill([&](auto, auto) { return static_cast<double>(rng.integer(-4, 4)); });
  }
  /// True when no guard was overwritten.
  bool intact() const {
    for (std::size_t i = 0; i < data_.size(); ++i) {
      const std::int64_t at = static_cast<std::int64_t>(i) - shift_;
      const bool inside = at >= 0 && at < rows_ * stride_ && at % stride_ < cols_;
      if (!inside && data_[i] != kGuard) return false;
    }
    return true;
  }

 private:
  std::int64_t rows_, cols_, stride_, shift_;
  std::vector<float> data_;
};

inline std::vector<float> random_vector(Rng& rng, std::int64_t size) {
  std::vector<float> v(static_cast<std::size_t>(size));
  for (float& f : v) f = static_cast<float>(rng.normal());
  return v;
}

/// |actual - expected| <= eps * (terms + 2) * sum of |terms|: the bound of a sum in any order.
inline void expect_close(Matrix<const float> actual, const oracle::Values& expected, std::int64_t terms) {
  const double eps = std::numeric_limits<float>::epsilon() * static_cast<double>(terms + 2);
  for (std::int64_t r = 0; r < actual.rows; ++r) {
    for (std::int64_t c = 0; c < actual.cols; ++c) {
      const auto i = static_cast<std::size_t>(r * actual.cols + c);
      ASSERT_NEAR(actual(r, c), expected.value[i], eps * expected.magnitude[i] + 1e-30)
          << "row " << r << ", column " << c;
    }
  }
}

inline bool same_bits(Matrix<const float> a, Matrix<const float> b) {
  if (a.rows != b.rows || a.cols != b.cols) return false;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    if (std::memcmp(a.row(r), b.row(r), static_cast<std::size_t>(a.cols) * sizeof(float)) != 0) return false;
  }
  return true;
}

/// One below, at and above the lanes of every variant, odd counts, class counts, and counts of several panels.
constexpr std::array<std::int64_t, 14> kChannels{1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 20, 33, 64, 67};
inline std::int64_t any_channels(Rng& rng) {
  return kChannels[static_cast<std::size_t>(rng.integer(0, static_cast<std::int64_t>(kChannels.size()) - 1))];
}

/// Submanifold maps of any density, or maps between two sets of rows; now and then empty.
inline KernelMap random_conv_map(Rng& rng) {
  if (rng.chance(0.5)) return oracle::random_submanifold_map(rng, 900, 3);
  const std::int64_t in_rows = rng.integer(0, 500), out_rows = rng.integer(0, 700);
  return oracle::random_map(rng, in_rows, out_rows, 8, rng.uniform());
}

/// Longest sum of one output row: pairs of a row times input channels.
inline std::int64_t longest_sum(const KernelMap* map, std::int64_t in_channels) {
  return (map == nullptr ? 1 : map->volume) * in_channels;
}

/// Runs once per variant of the table; skips by name what this CPU lacks.
class ConvVariants : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const ConvVariant& v : conv_variants()) {
      if (name(v) == GetParam()) variant_ = &v;
    }
    ASSERT_NE(variant_, nullptr);
    if (!runs_here(*variant_)) GTEST_SKIP() << "this CPU (" << cpu::model_name() << ") lacks " << GetParam();
  }
  const ConvVariant& variant() const { return *variant_; }

  /// Packs and runs.
  void forward(Matrix<const float> x, const std::vector<float>& weights, const KernelMap* map,
               const ConvEpilogue& epilogue, Matrix<float> y, Executor& executor = serial_executor()) const {
    PackedWeights packed;
    pack_weights(variant(), weights.data(), map == nullptr ? 1 : map->volume, x.cols, y.cols, WeightOrder::forward,
                 packed);
    conv_forward(x, packed, map, epilogue, executor, y);
  }

 private:
  const ConvVariant* variant_ = nullptr;
};

inline std::vector<std::string> variant_names() {
  std::vector<std::string> names;
  for (const ConvVariant& v : conv_variants()) names.emplace_back(name(v));
  return names;
}

}  // namespace rarefy::test
