#include <numeric>

#include "base/check.h"
#include "graph/images/image.h"
#include "runtime/op.h"
#include "sparse/row_sets.h"

namespace rarefy::runtime::ops {
namespace {

/// All sites of `images` grids, in the order of their keys.
void fill_grid(std::int64_t images, const ImageExtent& extent, Coords& coords) {
  coords.dims = 2;
  coords.stride = {1, 1, 1, 1};
  coords.keys.resize(static_cast<std::size_t>(images * extent.pixels()));
  coords.batch_begin.resize(static_cast<std::size_t>(images) + 1);
  const KeyLayout layout = key_layout(2);
  RAREFY_CHECK(images <= layout.max_batch(), InputError, "{} images in one run, expected at most {}", images,
               layout.max_batch());
  std::size_t row = 0;
  for (std::int64_t image = 0; image < images; ++image) {
    coords.batch_begin[static_cast<std::size_t>(image)] = static_cast<std::int64_t>(row);
    for (std::int32_t y = 0; y < extent.height; ++y)
      for (std::int32_t x = 0; x < extent.width; ++x) {
        const std::int32_t position[] = {y, x};
        coords.keys[row++] = pack_key(layout, image, position);
      }
  }
  coords.batch_begin[static_cast<std::size_t>(images)] = static_cast<std::int64_t>(row);
}

std::int64_t images_of(const Node& node, const SpaceValue& pixels, const ImageExtent& extent) {
  const auto& begin = pixels.sample_begin;
  if (pixels.rows == 0) return 0;
  for (std::size_t s = 1; s < begin.size(); ++s)
    RAREFY_CHECK(begin[s] - begin[s - 1] == extent.pixels(), InputError,
                 "node '{}' (image_sites): image {} has {} pixels, expected {} lines of {}: {}", node.name, s - 1,
                 begin[s] - begin[s - 1], extent.height, extent.width, extent.pixels());
  return static_cast<std::int64_t>(begin.size()) - 1;
}

void run(const RunArgs& args) {
  const ImageExtent extent = image_extent(*args.node);
  const SpaceValue& pixels = args.space(args.node->inputs[0]);
  const std::int64_t images = images_of(*args.node, pixels, extent);
  SpaceValue& sites = args.space(args.node->outputs[0]);
  RowIndex& index = args.index(args.node->outputs[1]);
  sites.coords = &sites.own;
  sites.rows = images * extent.pixels();
  // Images of one size make the same grid in every run: it is kept.
  if (sites.own.dims == 2 && sites.own.rows() == sites.rows && sites.own.batches() == images && images > 0) return;
  fill_grid(images, extent, sites.own);
  sites.sample_begin.assign(sites.own.batch_begin.begin(), sites.own.batch_begin.end());
  index.voxel_of_point.resize(static_cast<std::size_t>(sites.rows));
  std::iota(index.voxel_of_point.begin(), index.voxel_of_point.end(), 0);
  invert_any_index(pixels.rows, index);
}

}  // namespace

RuntimeOp image_sites() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = run;
  return op;
}

}  // namespace rarefy::runtime::ops
