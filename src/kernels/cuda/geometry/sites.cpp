#include "kernels/cuda/sites.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/geometry/sites_impl.h"
#include "kernels/cuda/geometry/unique.h"
#include "sparse/key_sort.h"

namespace rarefy::cuda {

void read_rows(std::span<Sites* const> sites, PinnedBuffer& buffer, Stream stream) {
  if (sites.empty()) return;
  auto* counts = buffer.reserve_for<std::int32_t>(2 * static_cast<std::int64_t>(sites.size()));
  for (std::size_t first = 0; first < sites.size(); first += geometry::kMostCounts) {
    const std::int32_t* part[geometry::kMostCounts];
    const std::size_t size = std::min(geometry::kMostCounts, sites.size() - first);
    for (std::size_t i = 0; i < size; ++i) part[i] = sites[first + i]->count.as<std::int32_t>();
    geometry::gather_counts({part, size}, stream, counts + 2 * first);
  }
  synchronize(stream);
  for (std::size_t i = 0; i < sites.size(); ++i) sites[i]->rows = counts[2 * i];
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const KeyLayout layout = key_layout(sites[i]->dims);
    RAREFY_CHECK(counts[2 * i + 1] == 0, InputError,
                 "{} sites have outputs with a coordinate outside [{}, {}), the range of {}-dimensional coordinates: "
                 "crop or shift the input",
                 counts[2 * i + 1], -layout.limit, layout.limit, layout.dims);
  }
}

void to_host(const Sites& sites, Stream stream, Coords& out) {
  std::int64_t rows = sites.rows;
  if (rows < 0) {
    std::int32_t count = 0;
    copy_to_host(&count, sites.count.data(), sizeof count, stream);
    synchronize(stream);
    rows = count;
  }
  out.dims = sites.dims;
  out.stride = sites.stride;
  out.keys.resize(static_cast<std::size_t>(rows));
  copy_to_host(out.keys.data(), sites.keys.data(), rows * std::int64_t{sizeof(std::uint64_t)}, stream);
  synchronize(stream);
  set_batches(key_layout(sites.dims), sites.batches, out);
}

void to_device(const Coords& from, Stream stream, Sites& out) {
  geometry::start(from.dims, from.stride, from.batches(), from.rows(), out);
  copy_to_device(out.keys.data(), from.keys.data(), from.rows() * std::int64_t{sizeof(std::uint64_t)}, stream);
  geometry::store_count(out.count.as<std::int32_t>(), static_cast<std::int32_t>(from.rows()), stream);
  out.rows = from.rows();
}

}  // namespace rarefy::cuda
