#include "bench_cuda.h"
#include "data/formats/formats.h"
#include "kernels/cuda/conv.h"
#include "kernels/cuda/conv/tune.h"
#include "kernels/cuda/kernel_map.h"
#include "measure/input.h"
#include "sparse/voxelize.h"

namespace rarefy::bench_cuda {
namespace {

using cuda::Arithmetic;
using cuda::Flow;

/// Channels of MinkUNet 1.0x per level: those that its convolutions of kernel 3 have.
struct Layer {
  int level, in, out;
};
constexpr Layer kLayers[] = {{0, 4, 32},    {0, 32, 32},   {0, 128, 96},  {0, 96, 96},   {1, 32, 32},   {1, 128, 96},
                             {1, 96, 96},   {2, 32, 64},   {2, 64, 64},   {2, 192, 128}, {2, 128, 128}, {3, 64, 128},
                             {3, 128, 128}, {3, 384, 256}, {3, 256, 256}, {4, 128, 256}, {4, 256, 256}};

struct Level {
  cuda::Sites sites;
  cuda::DeviceMap map;
};

std::vector<Level> levels_of(const std::string& path, cuda::Stream stream) {
  Coords coords = cli::bench::voxels_of(load_scan(path, {}), 0.05, serial_executor());
  std::vector<Level> levels(5);
  for (std::size_t l = 0; l < levels.size(); ++l) {
    const Coords here = cli::bench::halved(coords, static_cast<int>(l), serial_executor());
    cuda::to_device(here, stream, levels[l].sites);
    cuda::build_kernel_map(levels[l].sites, levels[l].sites, {}, stream, levels[l].map);
  }
  cuda::synchronize(stream);
  return levels;
}

/// Random values in the arithmetic's type: half the precision does not matter here, zeros would.
void random_rows(std::int64_t count, Arithmetic arithmetic, cuda::Stream stream, cuda::DeviceBuffer& out) {
  const std::int64_t elements = (count + 15) / 16 * 16;
  const std::vector<float> values = cli::bench::random_floats(elements, 7);
  cuda::DeviceBuffer on_device;
  cuda::copy_to_device(on_device.reserve(elements * 4), values.data(), elements * 4, stream);
  cuda::DeviceWeights packed;  // packing converts; sixteen columns keep it exact
  cuda::pack_weights(on_device.as<float>(), 1, elements / 16, 16, WeightOrder::forward, arithmetic, stream, packed);
  cuda::synchronize(stream);
  std::swap(out, packed.data);
}

struct Case {
  const Layer& layer;
  Level& level;
  Arithmetic arithmetic;
  cuda::Stream stream;
  int repetitions;
  double gmacs = 0;
  cuda::DeviceBuffer x, y, g, gradient, workspace;
  cuda::DeviceWeights weights;

  Case(const Layer& l, Level& at, Arithmetic a, cuda::Stream s, int r)
      : layer(l), level(at), arithmetic(a), stream(s), repetitions(r) {
    const std::int64_t rows = level.sites.rows;
    std::int64_t pairs = 0;
    cuda::copy_to_host(&pairs, level.map.pairs.data(), 8, stream);
    cuda::synchronize(stream);
    gmacs = 1e-9 * static_cast<double>(pairs) * layer.in * layer.out;
    random_rows(rows * layer.in, arithmetic, stream, x);
    random_rows(rows * layer.out, arithmetic, stream, g);
    y.reserve(rows * layer.out * 4);
    const std::vector<float> w = cli::bench::random_floats(std::int64_t{27} * layer.in * layer.out, 3);
    const auto bytes = static_cast<std::int64_t>(w.size() * 4);
    cuda::copy_to_device(gradient.reserve(bytes), w.data(), bytes, stream);
    cuda::pack_weights(gradient.as<float>(), 27, layer.in, layer.out, WeightOrder::forward, arithmetic, stream,
                       weights);
  }

  Json row(const std::string& what, double ms) const {
    return {{"level", layer.level}, {"in", layer.in}, {"out", layer.out},
            {"what", what},         {"ms", ms},       {"tflops", 2 * gmacs / ms}};
  }

  Json forward(Flow flow, int splits) {
    cuda::MapView map = level.map.plain();
    if (splits > 0) {
      cuda::sort_map(level.map, splits, stream);
      map = level.map.by_mask();
    }
    const std::int64_t rows = level.sites.rows;
    const double ms = device_ms(
        [&] {
          cuda::conv({x.data(), rows, layer.in, layer.in}, weights, &map, {}, flow, stream, workspace,
                     {y.data(), rows, layer.out, layer.out});
        },
        repetitions, stream);
    const std::string form = splits == 0 ? " unsorted" : " splits " + std::to_string(splits);
    return row(std::string(cuda::name(flow)) + form, ms);
  }

  /// Every tile and cut of implicit GEMM, over the sorted map.
  void sweep(int splits, Json& rows_out) {
    cuda::sort_map(level.map, splits, stream);
    const cuda::MapView map = level.map.by_mask();
    const std::int64_t rows = level.sites.rows;
    const cuda::conv_gpu::Cut chosen =
        cuda::choose_cut(rows, layer.in, layer.out, map.volume, map.splits, arithmetic, cuda::products_of(arithmetic));
    for (int tile = 0; tile < cuda::tile_choices(); ++tile)
      for (const int slices : {1, 2, 4}) {
        const double ms = device_ms(
            [&] {
              cuda::conv_implicit({x.data(), rows, layer.in, layer.in}, weights, &map, {}, stream, workspace,
                                  {y.data(), rows, layer.out, layer.out}, tile, slices);
            },
            repetitions, stream);
        const auto shape = cuda::tile_shape(tile);
        Json entry = row(std::string(shape.warpgroups ? "warpgroup tile " : "tile ") + std::to_string(shape.rows) +
                             "x" + std::to_string(shape.cols) + " splits " + std::to_string(splits) + " slices " +
                             std::to_string(slices),
                         ms);
        entry["chosen"] = tile == chosen.tile && slices == chosen.slices;
        rows_out.push_back(std::move(entry));
      }
  }

  /// @param tile, ranges  0: the cost model's
  Json weight_gradient(int tile = 0, int ranges = 0) {
    const cuda::MapView map = level.map.plain();
    const std::int64_t rows = level.sites.rows;
    const double ms = device_ms(
        [&] {
          cuda::conv_weight_gradient({x.data(), rows, layer.in, layer.in}, {g.data(), rows, layer.out, layer.out}, &map,
                                     arithmetic, false, stream, workspace, gradient.as<float>(), tile, ranges);
        },
        repetitions, stream);
    return row(tile == 0 && ranges == 0
                   ? std::string("weight gradient")
                   : "weight gradient tile " + std::to_string(tile) + " ranges " + std::to_string(ranges),
               ms);
  }
};

}  // namespace

Json bench_layers(const Options& options, const std::string& scan) {
  const cuda::OwnStream own;
  const cuda::Stream stream = own.get();
  std::vector<Level> levels = levels_of(scan, stream);
  Json result = Json::object();
  for (const Arithmetic arithmetic : {Arithmetic::f16, Arithmetic::tf32}) {
    Json rows = Json::array();
    for (const Layer& layer : kLayers) {
      if (arithmetic == Arithmetic::tf32 && layer.level % 3 != 0) continue;
      Case c(layer, levels[static_cast<std::size_t>(layer.level)], arithmetic, stream, options.repetitions);
      for (const int splits : {0, 1, 2, 3}) rows.push_back(c.forward(Flow::implicit_gemm, splits));
      rows.push_back(c.forward(Flow::on_demand, 0));
      rows.push_back(c.forward(Flow::gather_scatter, 0));
      rows.push_back(c.weight_gradient());
      if (!options.sweep || arithmetic != Arithmetic::f16) continue;
      for (const int splits : {1, 2}) c.sweep(splits, rows);
      for (const int tile : cuda::conv_gpu::kGradientTiles)
        for (const int ranges : {0, 4, 16, 64}) rows.push_back(c.weight_gradient(tile, ranges));
    }
    result[std::string(cuda::name(arithmetic))] = std::move(rows);
  }
  return result;
}

}  // namespace rarefy::bench_cuda
