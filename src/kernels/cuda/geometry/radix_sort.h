#pragma once
/// Stable radix sorts of the lowest `bits` of unsigned keys. They compile slowly: all that are needed are instantiated
/// in one file.
#include <cstdint>

#include "kernels/cuda/device.h"

namespace rarefy::cuda::geometry {

enum class SortKind : std::uint8_t {
  sites,            ///< 64-bit keys
  sites_with_rows,  ///< 64-bit keys, 32-bit payload
  masks_with_rows,  ///< 32-bit keys, 32-bit payload
};

/// Bytes of working memory. @param bits  at least 1
std::int64_t sort_bytes(SortKind kind, std::int64_t count, int bits);

/// Inputs stay as they are; none of the ranges may overlap. Nothing is done when there is nothing to sort.
void sort(const std::uint64_t* keys, std::int64_t count, int bits, void* temp, Stream stream, std::uint64_t* sorted);
void sort(const std::uint64_t* keys, const std::int32_t* rows, std::int64_t count, int bits, void* temp, Stream stream,
          std::uint64_t* sorted, std::int32_t* sorted_rows);
void sort(const std::uint32_t* keys, const std::int32_t* rows, std::int64_t count, int bits, void* temp, Stream stream,
          std::uint32_t* sorted, std::int32_t* sorted_rows);

}  // namespace rarefy::cuda::geometry
