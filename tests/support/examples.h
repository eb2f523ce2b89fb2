#pragma once
/// OpExamples as inputs of a session, and comparisons with the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "oracle/graph.h"
#include "rarefy/session.h"

namespace rarefy::test {

/// Views of the example's data; the example must outlive them.
inline Inputs inputs_of(const OpExample& example) {
  Inputs inputs;
  for (const OpExample::Data& data : example.inputs) {
    auto* values = const_cast<float*>(data.values.data());
    const TensorView view{values, Dtype::f32, Device::cpu, data.rows, data.cols, data.cols};
    if (data.sample_begin.empty()) {
      inputs.emplace_back(data.name, SparseView{data.coords.data(), view, data.batches});
    } else if (data.cols == 4) {
      inputs.emplace_back(data.name, PointView{values, data.rows, data.cols * 4, {0, 4, 8, 12}, data.sample_begin});
    } else {
      inputs.emplace_back(data.name, RowsView{view, data.sample_begin});
    }
  }
  return inputs;
}

/// Every element within `relative` of the largest magnitude; coordinates equal.
inline void expect_matches(const Outputs& found, const std::string& output, const oracle::Result& expected,
                           double relative = 1e-5) {
  const TensorView& view = found[output];
  ASSERT_EQ(view.rows, expected.rows) << output;
  ASSERT_EQ(view.cols, expected.cols) << output;
  double scale = 1.0;
  for (const double v : expected.values) scale = std::max(scale, std::abs(v));
  for (std::int64_t r = 0; r < view.rows; ++r)
    for (std::int64_t c = 0; c < view.cols; ++c) {
      const double value = view.dtype == Dtype::u8 ? view.matrix<std::uint8_t>()(r, c) : view.matrix<float>()(r, c);
      ASSERT_NEAR(value, expected.values[static_cast<std::size_t>(r * view.cols + c)], relative * scale)
          << output << " row " << r << " column " << c;
    }
  if (!expected.coords.empty()) {
    const auto coords = found.coords(output).as<std::int32_t>();
    EXPECT_TRUE(std::equal(coords.begin(), coords.end(), expected.coords.begin(), expected.coords.end()))
        << output << ": coordinates differ";
  }
}

/// The bytes of an output, row by row.
inline std::vector<std::uint8_t> bits_of(const TensorView& view) {
  std::vector<std::uint8_t> bytes;
  const std::int64_t item = size_of(view.dtype);
  for (std::int64_t r = 0; r < view.rows; ++r) {
    const auto* row = static_cast<const std::uint8_t*>(view.data) + r * view.row_stride * item;
    bytes.insert(bytes.end(), row, row + view.cols * item);
  }
  return bytes;
}

}  // namespace rarefy::test
