#pragma once
/// One buffer cut into parts.
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device.h"

namespace rarefy::cuda::geometry {

/// Adds up parts first, then reserves the buffer once: a buffer that grew between two parts would have lost the first.
class Slices {
 public:
  /// @return where the part begins, aligned for any type and for wide loads
  template <class T>
  std::int64_t add(std::int64_t count) {
    constexpr std::int64_t kAlignment = 256;
    const std::int64_t at = bytes_;
    bytes_ += (count * static_cast<std::int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  void reserve(DeviceBuffer& buffer) { base_ = buffer.reserve_for<std::byte>(bytes_ > 0 ? bytes_ : 1); }
  template <class T>
  T* at(std::int64_t begin) const {
    return reinterpret_cast<T*>(base_ + begin);
  }

 private:
  std::int64_t bytes_ = 0;
  std::byte* base_ = nullptr;
};

}  // namespace rarefy::cuda::geometry
