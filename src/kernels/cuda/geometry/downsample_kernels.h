#pragma once
/// The steps of downsampling and generation on the device.
#include <cstdint>
#include <span>

#include "kernels/cuda/device.h"
#include "sparse/coords.h"

namespace rarefy::cuda::geometry {

/// Sorted sites that are read.
struct SiteInput {
  const std::uint64_t* keys = nullptr;
  const std::int32_t* count = nullptr;  ///< on the device
  std::int64_t most_rows = 0;
};

/// Clears bit `bit` of sorted keys and sorts again: within keys that agree above the bit, those with and those without
/// it are two sorted lists, whose merge is found by one search per key. The keys are masked first.
void merge_bit(const SiteInput& in, std::uint64_t mask, int bit, Stream stream, std::uint64_t* keys);

/// Writes what the functions below make, all ones for what is no site. `bad` (int32 on the device) counts inputs whose
/// outputs leave the range of valid coordinates.
struct Emitted {
  std::uint64_t* keys = nullptr;  ///< [most_rows, outputs per input]
  std::int32_t* bad = nullptr;
};
/// Block rule: one output per input.
void emit_floored(const SiteInput& in, const KeyLayout& layout, const Extent& stride, Stream stream,
                  const Emitted& out);

/// Padded rule, along one axis: outputs o with position = o + (s * dilation - padding) * in_stride, o a multiple of
/// `stride`, for s below `size`.
struct PaddedAxis {
  std::int32_t size = 1;
  std::int32_t dilation = 1;
  std::int32_t padding = 0;
  std::int32_t in_stride = 1;
  std::int64_t stride = 1;
  std::int64_t end = 0;   ///< outputs lie in [0, end); 0: anywhere
  std::int32_t most = 1;  ///< outputs of one input, at most
};
struct PaddedBox {
  PaddedAxis axis[kMaxDims];
  std::int64_t outputs = 1;  ///< product of the axes' `most`
};
void emit_padded(const SiteInput& in, const KeyLayout& layout, const PaddedBox& box, Stream stream, const Emitted& out);

/// Listed offsets: output = position - offset when that is a multiple of the stride (downsample, padded rule), or
/// position + offset (generate).
enum class Direction : std::uint8_t { gather, spread };
/// @param offsets  in units of the finest voxel
/// @param stride, end  [kMaxDims] of the outputs, as in PaddedAxis
void emit_listed(const SiteInput& in, const KeyLayout& layout, Direction direction, std::span<const Extent> offsets,
                 const std::int64_t* stride, const std::int64_t* end, Stream stream, const Emitted& out);

}  // namespace rarefy::cuda::geometry
