#pragma once
/// The steps of kernel maps on the device.
#include <cstdint>

#include "kernels/cuda/device.h"

namespace rarefy::cuda::geometry {

/// Consecutive offsets along the last axis: their sites are neighbours in the keys, so that one search finds them all.
struct Runs {
  static constexpr int kMost = 64;
  int count = 0;
  int length = 1;              ///< offsets of each run
  int first_offset = 0;        ///< of the first run; the others follow
  std::uint64_t step = 0;      ///< between the keys of a run's sites
  std::uint64_t delta[kMost];  ///< from an output key to the input key of the run's first offset
};

struct MapInput {
  const std::uint64_t* in_keys = nullptr;
  std::int32_t in_rows = 0;
  const std::uint64_t* out_keys = nullptr;
  std::int32_t out_rows = 0;
  std::int64_t ld = 0;  ///< columns of the table; a multiple of 128
};
/// Fills the rows of the runs' offsets in in_row [K, ld], all columns, and adds the pairs to *pairs.
void find_rows(const MapInput& input, const Runs& runs, Stream stream, std::int32_t* in_row, std::int64_t* pairs);

/// out[k, in_row[k, o]] = o. `out` is filled with -1 before.
void scatter_rows(const std::int32_t* in_row, std::int64_t out_rows, std::int64_t ld, int volume, std::int64_t out_ld,
                  Stream stream, std::int32_t* out);

/// Offsets of one map in ranges.
struct Ranges {
  int volume = 0;
  int splits = 1;
  int bits = 0;           ///< of the masks: the longest range
  std::int64_t rows = 0;  ///< of the output
  std::int64_t ld = 0;
  bool numbered = true;  ///< whether the number of the range lies above the mask in a key: one sort for all ranges
};
/// keys [splits, rows]: masks complemented, so that the fullest come first; index: the output rows.
void make_masks(const std::int32_t* in_row, const Ranges& ranges, Stream stream, std::uint32_t* keys,
                std::int32_t* index);
struct SortedMap {
  std::int32_t* in_row = nullptr;  ///< [K, ld]
  std::int32_t* order = nullptr;   ///< [splits, ld]
  std::uint32_t* masks = nullptr;  ///< [splits, ld / 32]
};
/// Writes all of the sorted form from the sorted keys and rows.
void apply_order(const std::int32_t* in_row, const Ranges& ranges, const std::uint32_t* keys, const std::int32_t* index,
                 Stream stream, const SortedMap& to);

}  // namespace rarefy::cuda::geometry
