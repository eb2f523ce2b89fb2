#include <limits>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/geometry/make_sites_kernels.h"
#include "kernels/cuda/geometry/radix_sort.h"
#include "kernels/cuda/geometry/sites_impl.h"
#include "kernels/cuda/geometry/slices.h"
#include "kernels/cuda/geometry/unique.h"
#include "kernels/cuda/sites.h"

namespace rarefy::cuda {
namespace {

/// The CPU says what is wrong with the rows, in its words.
[[noreturn]] void fail_as_on_cpu(const std::int32_t* rows, std::int64_t count, int dims, const Extent& stride,
                                 std::int64_t batches, Stream stream) {
  std::vector<std::int32_t> host(static_cast<std::size_t>(count * (dims + 1)));
  copy_to_host(host.data(), rows, static_cast<std::int64_t>(host.size() * sizeof(std::int32_t)), stream);
  synchronize(stream);
  Coords coords;
  make_coords(host, dims, stride, batches, coords);
  fail<InputError>("the coordinates changed while they were read");
}

}  // namespace

void make_sites(const std::int32_t* rows, std::int64_t count, int dims, const Extent& stride, std::int64_t batches,
                Stream stream, Sites& out, std::int32_t* order) {
  using namespace geometry;  // NOLINT(google-build-using-namespace): its own part
  Coords none;
  make_coords({}, dims, stride, batches, none);  // checks all but the rows
  RAREFY_CHECK(count <= std::numeric_limits<std::int32_t>::max(), UsageError,
               "{} rows exceed the range of row indices (2^31 - 1)", count);
  const KeyLayout layout = key_layout(dims);
  const std::int64_t most_batches = batches < 0 ? layout.max_batch() : batches;
  const int bits = key_bits(layout, most_batches);
  start(dims, stride, batches, count, out);
  Slices slices;
  const std::int64_t temp = slices.add<std::byte>(sort_bytes(SortKind::sites_with_rows, count, bits));
  const std::int64_t check_at = slices.add<RowCheck>(1);
  const std::int64_t index_at = slices.add<std::int32_t>(count);
  const std::int64_t order_at = slices.add<std::int32_t>(count);
  slices.reserve(out.scratch);
  auto* keys = out.unsorted.reserve_for<std::uint64_t>(count > 0 ? count : 1);
  auto* check = slices.at<RowCheck>(check_at);
  if (order == nullptr) order = slices.at<std::int32_t>(order_at);

  fill_bytes(check, 0, sizeof(RowCheck), stream);
  pack_rows(rows, count, layout, stride, most_batches, stream, keys, slices.at<std::int32_t>(index_at), check);
  sort(keys, slices.at<std::int32_t>(index_at), count, bits, slices.at<std::byte>(temp), stream,
       out.keys.as<std::uint64_t>(), order);
  find_duplicates(out.key(), count, stream, check);
  store_count(out.count.as<std::int32_t>(), static_cast<std::int32_t>(count), stream);
  RowCheck found;
  copy_to_host(&found, check, sizeof found, stream);
  synchronize(stream);
  if (found.wrong != 0) fail_as_on_cpu(rows, count, dims, stride, batches, stream);
  out.rows = count;
  if (batches < 0) out.batches = found.batches;
}

}  // namespace rarefy::cuda
