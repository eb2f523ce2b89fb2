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

/// One range of offsets of one map, whose output rows are sorted by their masks.
struct MaskRange {
  const std::int32_t* in_row = nullptr;  ///< [count, ld] of the map, from the first offset of the range
  std::int32_t* sorted_in_row = nullptr;
  std::int32_t* order = nullptr;   ///< [ld]
  std::uint32_t* masks = nullptr;  ///< [ld / 32]
  std::int64_t ld = 0;             ///< a multiple of 128
  std::int32_t rows = 0;           ///< of the output
  std::int32_t count = 0;          ///< offsets, at most 32
  std::uint32_t first_key = 0;     ///< keys of the range are first_key + [0, 2^count)
  std::int32_t first_entry = 0;    ///< where its rows begin among those of all ranges
  std::int32_t first_columns = 0;  ///< the same for blocks of 128 columns
};
/// Ranges, of any maps, that one sort puts in order. Their keys follow each other, so that each keeps its entries.
struct MaskRanges {
  static constexpr int kMost = 48;  ///< an argument of a launch holds 4 KiB
  static constexpr int kColumns = 128;
  int count = 0;
  std::int32_t columns = 0;  ///< blocks of columns of all ranges
  MaskRange range[kMost];
};
/// keys: masks complemented, so that the fullest come first; index: the output rows.
void make_masks(const MaskRanges& ranges, Stream stream, std::uint32_t* keys, std::int32_t* index);
/// Writes all of the sorted form from the sorted keys and rows.
void apply_order(const MaskRanges& ranges, const std::uint32_t* keys, const std::int32_t* index, Stream stream);

}  // namespace rarefy::cuda::geometry
