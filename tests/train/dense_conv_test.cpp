/// Sparse convolution against LibTorch's dense one, through the session and through the graph oracle: both coordinate
/// rules, strides, dilation, padding, transposed layers, boxes that reach into negative coordinates.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "oracle/graph.h"
#include "rarefy/builder.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

using Position = std::vector<std::int64_t>;

/// A sparse tensor inside the box [origin, origin + extent)^dims, and the same as a dense tensor [1, C, ...].
struct Scene {
  int dims;
  std::int64_t extent, origin, channels;
  OpExample::Data data;
  at::Tensor dense;
};

Scene random_scene(int dims, std::int64_t extent, std::int64_t origin, std::int64_t channels, double density, Rng rng) {
  Scene s{dims, extent, origin, channels, {}, {}};
  std::vector<std::int64_t> shape{1, channels};
  for (int a = 0; a < dims; ++a) shape.push_back(extent);
  s.dense = at::zeros(shape);
  s.data.name = "x";
  s.data.cols = channels;
  s.data.batches = 1;
  std::int64_t cells = 1;
  for (int a = 0; a < dims; ++a) cells *= extent;
  at::Tensor flat = s.dense.view({channels, cells});
  for (std::int64_t cell = 0; cell < cells; ++cell) {
    if (!rng.chance(density)) continue;
    Position p(static_cast<std::size_t>(dims));
    for (std::int64_t rest = cell, a = dims - 1; a >= 0; --a, rest /= extent)
      p[static_cast<std::size_t>(a)] = rest % extent + origin;
    s.data.coords.push_back(0);
    for (const std::int64_t v : p) s.data.coords.push_back(static_cast<std::int32_t>(v));
    for (std::int64_t c = 0; c < channels; ++c) {
      s.data.values.push_back(static_cast<float>(rng.uniform(-1, 1)));
      flat.data_ptr<float>()[c * cells + cell] = s.data.values.back();
    }
    ++s.data.rows;
  }
  return s;
}

/// [K, C_in, C_out] to LibTorch's [C_out, C_in, k, ...].
at::Tensor dense_weight(const Tensor& weight, int dims, std::int64_t kernel) {
  const auto& shape = weight.shape();
  at::Tensor w = at::empty({shape[0], shape[1], shape[2]});
  std::memcpy(w.data_ptr<float>(), weight.data(), static_cast<std::size_t>(weight.bytes()));
  std::vector<std::int64_t> sizes{shape[2], shape[1]};
  for (int a = 0; a < dims; ++a) sizes.push_back(kernel);
  return w.permute({2, 1, 0}).contiguous().view(sizes);
}

at::Tensor convolve(const at::Tensor& x, const at::Tensor& w, int dims, std::int64_t stride, std::int64_t padding,
                    std::int64_t dilation) {
  const std::vector<std::int64_t> s(static_cast<std::size_t>(dims), stride), p(static_cast<std::size_t>(dims), padding),
      d(static_cast<std::size_t>(dims), dilation);
  return dims == 1   ? at::conv1d(x, w, {}, s, p, d)
         : dims == 2 ? at::conv2d(x, w, {}, s, p, d)
                     : at::conv3d(x, w, {}, s, p, d);
}

/// Sites of the output whose dense counterpart exists: value must agree; `to_index` gives the dense index per axis.
template <class F>
void expect_dense(const oracle::Result& found, const at::Tensor& dense, int dims, F to_index) {
  const std::int64_t channels = dense.size(1), extent = dense.size(2);
  std::int64_t cells = 1, compared = 0;
  for (int a = 0; a < dims; ++a) cells *= extent;
  const at::Tensor flat = dense.contiguous().view({channels, cells});
  for (std::int64_t r = 0; r < found.rows; ++r) {
    std::int64_t cell = 0;
    bool inside = true;
    for (int a = 0; a < dims; ++a) {
      const std::int64_t i = to_index(found.coords[static_cast<std::size_t>(r * (1 + dims) + 1 + a)]);
      inside = inside && i >= 0 && i < extent;
      cell = cell * extent + i;
    }
    if (!inside) continue;
    ++compared;
    for (std::int64_t c = 0; c < channels; ++c)
      ASSERT_NEAR(found.values[static_cast<std::size_t>(r * channels + c)], flat.data_ptr<float>()[c * cells + cell],
                  2e-4)
          << "row " << r;
  }
  EXPECT_TRUE(compared > 0 || found.rows == 0);
}

oracle::Result result_of(const Outputs& outputs, const std::string& name) {
  oracle::Result result;
  const auto values = outputs[name].as<float>();
  const auto coords = outputs.coords(name).as<std::int32_t>();
  result.rows = outputs[name].rows;
  result.cols = outputs[name].cols;
  result.values.assign(values.begin(), values.end());
  result.coords.assign(coords.begin(), coords.end());
  return result;
}

/// Runs the graph both ways and hands each result to `check`.
template <class F>
void for_both(const Graph& graph, const Weights& weights, const Scene& scene, F check) {
  OpExample example{graph, weights, {scene.data}};
  Session session(Model(graph, weights));
  check(result_of(session.run(test::inputs_of(example)), "y"));
  check(oracle::run(graph, weights, example.inputs).at("=y"));
}

TEST(DenseConv, submanifold_layers_of_both_rules) {
  test::for_random_cases(30, [](Rng& rng) {
    const int dims = static_cast<int>(rng.integer(1, 3));
    const std::int64_t kernel = 2 * rng.integer(0, 2) + 1, dilation = rng.integer(1, 2), extent = 9;
    const Scene scene = random_scene(dims, extent, -4, rng.integer(1, 5), rng.uniform(0.2, 1.0), rng.fork(1));
    const bool padded = rng.chance(0.5);
    const std::int64_t reach = dilation * (kernel - 1) / 2;
    Builder b;
    const ValueId x = b.sparse_input(scene.channels, dims);
    ConvOptions options{.channels = 3, .kernel = {kernel}, .dilation = {dilation}, .name = "conv"};
    if (padded) options.rule = Rule::padded, options.padding = {reach};
    const ValueId map = b.add("kernel_map", {b.space_of(x), b.space_of(x)},
                              {{"kernel", options.kernel},
                               {"dilation", options.dilation},
                               {"padding", options.padding},
                               {"rule", std::string(padded ? "padded" : "block")}})[0];
    b.output("y", b.add("sparse_conv", {x, map}, {{"channels", std::int64_t{3}}}, "conv")[0]);
    const Graph graph = b.build();
    const Weights weights = initial_weights(graph, rng.bits());
    const at::Tensor dense =
        convolve(scene.dense, dense_weight(weights.at("conv.weight"), dims, kernel), dims, 1, reach, dilation);
    for_both(graph, weights, scene, [&](const oracle::Result& found) {
      expect_dense(found, dense, dims, [&](std::int64_t p) { return p - scene.origin; });
    });
  });
}

TEST(DenseConv, strided_layers_of_the_padded_rule) {
  test::for_random_cases(30, [](Rng& rng) {
    const int dims = static_cast<int>(rng.integer(1, 3));
    const std::int64_t kernel = rng.integer(1, 5), stride = rng.integer(2, 3), padding = rng.integer(0, kernel - 1);
    if (kernel == 1 && padding == 0) return;
    const Scene scene = random_scene(dims, 10, 0, rng.integer(1, 4), rng.uniform(0.1, 1.0), rng.fork(1));
    Builder b;
    const ValueId x = b.sparse_input(scene.channels, dims);
    b.output("y", b.conv(x, {.channels = 3,
                             .kernel = {kernel},
                             .stride = {stride},
                             .padding = {padding},
                             .rule = Rule::padded,
                             .name = "conv"}));
    const Graph graph = b.build();
    const Weights weights = initial_weights(graph, rng.bits());
    const at::Tensor dense =
        convolve(scene.dense, dense_weight(weights.at("conv.weight"), dims, kernel), dims, stride, padding, 1);
    for_both(graph, weights, scene, [&](const oracle::Result& found) {
      expect_dense(found, dense, dims, [&](std::int64_t p) { return p % stride == 0 ? p / stride : -1; });
    });
  });
}

/// The block rule equals dense convolution whose box starts at a multiple of the stride; odd kernels are centred on the
/// block's first site.
TEST(DenseConv, strided_layers_of_the_block_rule_with_negative_coordinates) {
  test::for_random_cases(30, [](Rng& rng) {
    const int dims = static_cast<int>(rng.integer(1, 3));
    const std::int64_t stride = rng.integer(2, 3), kernel = rng.integer(2, 4), origin = -2 * stride;
    const std::int64_t before = kernel % 2 == 1 ? (kernel - 1) / 2 : 0;
    const Scene scene = random_scene(dims, 4 * stride, origin, rng.integer(1, 4), rng.uniform(0.1, 1.0), rng.fork(1));
    Builder b;
    const ValueId x = b.sparse_input(scene.channels, dims);
    b.output("y", b.conv(x, {.channels = 3, .kernel = {kernel}, .stride = {stride}, .name = "conv"}));
    const Graph graph = b.build();
    const Weights weights = initial_weights(graph, rng.bits());
    // Padding by hand: `before` in front, enough behind.
    std::vector<std::int64_t> pad;
    for (int a = 0; a < dims; ++a) pad.insert(pad.end(), {before, kernel});
    const at::Tensor dense = convolve(at::constant_pad_nd(scene.dense, pad),
                                      dense_weight(weights.at("conv.weight"), dims, kernel), dims, stride, 0, 1);
    for_both(graph, weights, scene, [&](const oracle::Result& found) {
      expect_dense(found, dense, dims, [&](std::int64_t p) { return (p - origin) / stride; });
    });
  });
}

/// Down and up again over the same map: LibTorch's transposed convolution at the sites of the input.
TEST(DenseConv, inverse_layers) {
  test::for_random_cases(20, [](Rng& rng) {
    const std::int64_t channels = rng.integer(1, 4);
    const Scene scene = random_scene(3, 8, -4, channels, rng.uniform(0.1, 1.0), rng.fork(1));
    Builder b;
    const ValueId x = b.sparse_input(channels, 3);
    const ValueId coarse = b.conv(x, {.channels = 2, .kernel = {2}, .stride = {2}, .name = "down"});
    b.output("y", b.conv_transposed(coarse, x, {.channels = 3, .kernel = {2}, .stride = {2}, .name = "up"}));
    const Graph graph = b.build();
    const Weights weights = initial_weights(graph, rng.bits());
    const at::Tensor down = convolve(scene.dense, dense_weight(weights.at("down.weight"), 3, 2), 3, 2, 0, 1);
    const at::Tensor up = at::conv_transpose3d(
        down, dense_weight(weights.at("up.weight"), 3, 2).transpose(0, 1).contiguous(), {}, {2, 2, 2});
    for_both(graph, weights, scene, [&](const oracle::Result& found) {
      expect_dense(found, up, 3, [&](std::int64_t p) { return p - scene.origin; });
    });
  });
}

}  // namespace
}  // namespace rarefy
