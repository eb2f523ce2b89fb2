#pragma once
/// Which sites hold or surround positions, on the device.
#include <array>
#include <cstdint>

#include "kernels/cuda/device.h"
#include "sparse/coords.h"

namespace rarefy::cuda::geometry {

/// Positions of sites (site_keys is set) or of points.
struct PositionInput {
  const std::uint64_t* site_keys = nullptr;
  const std::int32_t* site_count = nullptr;  ///< on the device
  const float* points = nullptr;
  std::int64_t row_stride = 0;
  const std::int32_t* sample_of_point = nullptr;  ///< null: all in sample 0
  std::array<float, kMaxDims> voxel_size{};
  std::int64_t rows = 0;  ///< at most
};
/// The sites that are searched.
struct TargetSites {
  const std::uint64_t* keys = nullptr;
  const std::int32_t* count = nullptr;  ///< on the device
  KeyLayout layout;
  Extent stride{};
};

void locate_rows(const PositionInput& from, const TargetSites& to, Stream stream, std::int32_t* rows);
enum class Scale : std::uint8_t { to_one, none };  ///< of the weights
void interpolation_rows(const PositionInput& at, const TargetSites& to, Scale scale, Stream stream, std::int32_t* row,
                        float* weight);

/// keys[p] = index[p], or `targets` for -1; rows[p] = p.
void index_keys(const std::int32_t* index, std::int64_t count, std::int64_t targets, Stream stream, std::uint32_t* keys,
                std::int32_t* rows);
/// begin[t] = first of the sorted keys that is not below t, for t in [0, targets].
void begins_of(const std::uint32_t* sorted, std::int64_t count, std::int64_t targets, Stream stream,
               std::int32_t* begin);

}  // namespace rarefy::cuda::geometry
