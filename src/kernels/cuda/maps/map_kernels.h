#pragma once
/// The steps of kernel maps on the device.
#include <cstdint>

#include "kernels/cuda/device.h"
#include "kernels/cuda/maps/batch.h"

namespace rarefy::cuda::geometry {

inline constexpr int kColumns = 128;  ///< threads of a block, which have a column each; divides the columns of tables

/// Some offsets of one map. Consecutive ones along the last axis form a run: their sites are neighbours in the keys, so
/// that one search finds them all.
struct MapPart {
  static constexpr int kMostRuns = 9;  ///< those of 3 x 3 x 3
  const std::uint64_t* in_keys = nullptr;
  const std::uint64_t* out_keys = nullptr;
  std::int32_t* in_row = nullptr;  ///< [runs * length, ld] of the map: filled, all columns
  std::int64_t* pairs = nullptr;   ///< those found are added
  std::int64_t ld = 0;
  std::uint64_t step = 0;               ///< between the keys of a run's sites
  std::uint64_t delta[kMostRuns] = {};  ///< from an output key to the input key of the run's first offset
  std::int32_t in_rows = 0;
  std::int32_t out_rows = 0;
  std::int32_t runs = 0;
  std::int32_t length = 1;  ///< offsets of each run
  std::int32_t first_block = 0;
};
/// One block per kColumns columns.
void find_rows(const Batch<MapPart>& parts, Stream stream);

/// Numbers all over the device's memory.
struct Counters {
  static constexpr int kMost = 256;
  int count = 0;
  std::int64_t* counter[kMost];
};
void clear_counters(const Counters& counters, Stream stream);
/// host: page-locked memory
void gather_counters(const Counters& counters, Stream stream, std::int64_t* host);

/// to[k, from[k, o]] = o, -1 elsewhere, and the number of pairs.
struct Transposition {
  const std::int32_t* from = nullptr;  ///< [volume, from_ld]
  std::int32_t* to = nullptr;          ///< [volume, to_ld]
  const std::int64_t* from_pairs = nullptr;
  std::int64_t* to_pairs = nullptr;
  std::int64_t from_ld = 0;
  std::int64_t to_ld = 0;
  std::int32_t from_rows = 0;  ///< columns that are used
  std::int32_t volume = 0;
  std::int32_t first_block = 0;
};
/// Blocks of a transposition in each of the two batches: of the filling with -1, and of the rest.
std::int64_t fill_blocks(const Transposition& t);
std::int64_t scatter_blocks(const Transposition& t);
void fill_transposed(const Batch<Transposition>& parts, Stream stream);
void scatter_rows(const Batch<Transposition>& parts, Stream stream);

/// One range of offsets of one map, whose output rows are sorted by their masks. Keys of ranges that are sorted
/// together follow each other, so that each range keeps its entries.
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
  std::int32_t first_block = 0;
};
/// One block per kColumns columns. keys: masks complemented, so that the fullest come first; index: the output rows.
void make_masks(const Batch<MaskRange>& ranges, Stream stream, std::uint32_t* keys, std::int32_t* index);
/// Writes all of the sorted form from the sorted keys and rows.
void apply_order(const Batch<MaskRange>& ranges, const std::uint32_t* keys, const std::int32_t* index, Stream stream);

}  // namespace rarefy::cuda::geometry
