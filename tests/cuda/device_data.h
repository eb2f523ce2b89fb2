#pragma once
/// Data on the device for tests: copies there and back, and memory that was poisoned.
#include <gtest/gtest.h>

#include <bit>
#include <span>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/sites.h"
#include "sparse/coords.h"

namespace rarefy::test {

/// Tests that need a device; skipped without one.
class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::devices().empty()) GTEST_SKIP() << "needs a GPU";
  }
};

/// Whoever reads what was not written shows it.
inline void poison(const cuda::DeviceBuffer& buffer) {
  cuda::fill_bytes(buffer.data(), 0xFF, buffer.capacity(), nullptr);
}

template <class T>
std::vector<T> download(const T* device, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  cuda::copy_to_host(values.data(), device, count * static_cast<std::int64_t>(sizeof(T)), nullptr);
  cuda::synchronize(nullptr);
  return values;
}

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::int64_t count) : count_(count) {
    buffer_.template reserve_for<T>(count > 0 ? count : 1);
    poison(buffer_);
  }
  explicit DeviceArray(std::span<const T> values) : DeviceArray(static_cast<std::int64_t>(values.size())) {
    cuda::copy_to_device(data(), values.data(), count_ * static_cast<std::int64_t>(sizeof(T)), nullptr);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}
  T* data() const { return buffer_.template as<T>(); }
  std::vector<T> host() const { return download<T>(data(), count_); }

 private:
  std::int64_t count_;
  cuda::DeviceBuffer buffer_;
};

/// Of floats, NaN included.
inline std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float v : values) bits.push_back(std::bit_cast<std::uint32_t>(v));
  return bits;
}

/// The same sites in the same order, and nothing behind them.
inline void expect_equal(const cuda::Sites& found, const Coords& expected) {
  Coords host;
  cuda::to_host(found, nullptr, host);
  EXPECT_EQ(host.dims, expected.dims);
  EXPECT_EQ(host.stride, expected.stride);
  ASSERT_EQ(host.keys, expected.keys);
  EXPECT_EQ(host.batch_begin, expected.batch_begin);
  const std::int64_t behind = found.capacity - expected.rows();
  ASSERT_GE(behind, 0);
  for (const std::uint64_t key : download(found.key() + expected.rows(), behind)) ASSERT_EQ(key, ~std::uint64_t{0});
  EXPECT_EQ(download(found.count.as<std::int32_t>(), 2),
            (std::vector<std::int32_t>{static_cast<std::int32_t>(expected.rows()), 0}));
}

inline void poison(const cuda::Sites& sites) {
  for (const cuda::DeviceBuffer* buffer : {&sites.keys, &sites.count, &sites.scratch, &sites.unsorted}) poison(*buffer);
}

/// The scan that other tests know too; empty without RAREFY_DATA. Rows of x, y, z, intensity.
std::vector<float> real_scan();

}  // namespace rarefy::test
