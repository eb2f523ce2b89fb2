#include <algorithm>

#include "base/check.h"
#include "sparse/kernel_map.h"

namespace rarefy {

std::int64_t KernelShape::volume() const {
  if (!offsets.empty()) return static_cast<std::int64_t>(offsets.size()) / dims;
  std::int64_t product = 1;
  for (int a = 0; a < dims; ++a) product *= size[a];
  return product;
}

Extent KernelShape::offset(std::int64_t k) const {
  Extent result{0, 0, 0, 0};
  if (!offsets.empty()) {
    const std::int64_t* listed = offsets.data() + k * dims;
    for (int a = 0; a < dims; ++a)
      result[a] =
          static_cast<std::int32_t>(listed[a]) * dilation[a] - (rule == CoordinateRule::padded ? padding[a] : 0);
    return result;
  }
  for (int a = dims - 1; a >= 0; --a) {
    const auto step = static_cast<std::int32_t>(k % size[a]);
    k /= size[a];
    if (rule == CoordinateRule::padded) {
      result[a] = step * dilation[a] - padding[a];
    } else {
      const std::int32_t centre = size[a] % 2 == 1 ? (size[a] - 1) / 2 : 0;
      result[a] = (step - centre) * dilation[a];
    }
  }
  return result;
}

namespace {

/// Largest distance along an axis between an output site and what it reads. In 64 bits: the products of a careless
/// caller may not fit 32.
std::int64_t reach_along(const KernelShape& kernel, int a) {
  const std::int64_t size = kernel.size[a], dilation = kernel.dilation[a];
  const std::int64_t padding = kernel.rule == CoordinateRule::padded ? kernel.padding[a] : 0;
  std::int64_t low = 0, high = size - 1;
  if (!kernel.offsets.empty()) {
    low = high = kernel.offsets[static_cast<std::size_t>(a)];
    for (std::size_t i = static_cast<std::size_t>(a); i < kernel.offsets.size();
         i += static_cast<std::size_t>(kernel.dims)) {
      low = std::min(low, kernel.offsets[i]);
      high = std::max(high, kernel.offsets[i]);
    }
  } else if (kernel.rule == CoordinateRule::block && size % 2 == 1) {
    low = -(size - 1) / 2;
    high += low;
  }
  return std::max(padding - low * dilation, high * dilation - padding);
}

void check_offsets(const KernelShape& kernel) {
  const auto dims = static_cast<std::size_t>(kernel.dims);
  RAREFY_CHECK(kernel.offsets.size() % dims == 0, ShapeError,
               "a list of kernel offsets has {} numbers, which is no multiple of the {} dimensions",
               kernel.offsets.size(), kernel.dims);
  constexpr std::int64_t kMost = 4096;
  RAREFY_CHECK(kernel.volume() <= kMost, ShapeError, "a kernel has at most {} offsets, {} are listed", kMost,
               kernel.volume());
  for (const std::int64_t value : kernel.offsets)
    RAREFY_CHECK(value > -(1 << 20) && value < 1 << 20, ShapeError,
                 "the kernel offset {} is out of range: offsets count sites, not voxels of the finest grid", value);
}

}  // namespace

void check_kernel(const KernelShape& kernel, const Extent& in_stride) {
  RAREFY_CHECK(kernel.dims >= 1 && kernel.dims <= kMaxDims, ShapeError, "a kernel has 1 to {} dimensions, got {}",
               kMaxDims, kernel.dims);
  check_offsets(kernel);
  const KeyLayout layout = key_layout(kernel.dims);
  constexpr std::int64_t kLargest = std::int64_t{1} << 31;
  for (int a = 0; a < kernel.dims; ++a) {
    const char* axis = kAxisName[a];
    RAREFY_CHECK(kernel.size[a] >= 1 && kernel.size[a] <= 7, ShapeError, "kernel size along {} must be 1 to 7, got {}",
                 axis, kernel.size[a]);
    RAREFY_CHECK(kernel.stride[a] >= 1, ShapeError, "kernel stride along {} must be at least 1, got {}", axis,
                 kernel.stride[a]);
    RAREFY_CHECK(kernel.dilation[a] >= 1, ShapeError, "kernel dilation along {} must be at least 1, got {}", axis,
                 kernel.dilation[a]);
    RAREFY_CHECK(kernel.padding[a] >= 0, ShapeError, "kernel padding along {} must not be negative, got {}", axis,
                 kernel.padding[a]);
    RAREFY_CHECK(kernel.rule == CoordinateRule::padded || kernel.padding[a] == 0, ShapeError,
                 "padding along {} is {}, but the block rule has no padding: use the padded rule", axis,
                 kernel.padding[a]);
    RAREFY_CHECK(kernel.cells[a] >= 0, ShapeError, "the number of cells along {} must not be negative, got {}", axis,
                 kernel.cells[a]);
    RAREFY_CHECK(kernel.rule == CoordinateRule::padded || kernel.cells[a] == 0, ShapeError,
                 "the output has {} cells along {}, but under the block rule it has no end: use the padded rule",
                 kernel.cells[a], axis);
    RAREFY_CHECK(in_stride[a] >= 1, ShapeError, "the stride of the input along {} must be at least 1, got {}", axis,
                 in_stride[a]);
    RAREFY_CHECK(static_cast<std::int64_t>(in_stride[a]) * kernel.stride[a] < kLargest, ShapeError,
                 "the stride of the output along {} would be {} * {}, which does not fit 32 bits", axis, in_stride[a],
                 kernel.stride[a]);
    const std::int64_t reach = reach_along(kernel, a);
    RAREFY_CHECK(
        reach < kLargest && reach * in_stride[a] <= layout.guard, ShapeError,
        "the kernel reaches {} sites of stride {} along {}, more than {} finest voxels: reduce size, dilation, padding "
        "or stride",
        reach, in_stride[a], axis, layout.guard);
  }
}

}  // namespace rarefy
