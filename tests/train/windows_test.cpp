/// Windows in training against LibTorch's dense operators: Swin's block with torch.roll and its mask, interpolation.
#include <gtest/gtest.h>

#include "rarefy/builder.h"
#include "support/random_cases.h"
#include "train/graph_module.h"

namespace rarefy::train {
namespace {

at::Tensor random_tensor(std::vector<std::int64_t> shape, Rng& rng) {
  at::Tensor t = at::empty(shape, at::kFloat);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data_ptr<float>()[i] = static_cast<float>(rng.normal());
  return t;
}

/// Images whose rows are line by line.
struct Images {
  std::int64_t count, height, width, channels;
  at::Tensor pixels;  ///< [count * height * width, channels]
  std::vector<std::int64_t> begin{0};

  Images(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, Rng& rng)
      : count(n), height(h), width(w), channels(c), pixels(random_tensor({n * h * w, c}, rng)) {
    for (std::int64_t i = 0; i < n; ++i) begin.push_back(begin.back() + h * w);
  }
  Inputs inputs() {
    return {{"image",
             RowsView{{pixels.data_ptr<float>(), Dtype::f32, Device::cpu, begin.back(), channels, channels}, begin}}};
  }
};

/// Output "y" of a graph, and its parameters with gradients of sum(y * g).
std::map<std::string, at::Tensor> parameters_after(const Graph& graph, const Weights& weights, Images& images,
                                                   const at::Tensor& g, at::Tensor& y) {
  GraphModule module(graph, weights, serial_executor());
  auto batch = std::make_shared<Prepared>();
  const Inputs inputs = images.inputs();
  module.preparer().prepare(inputs, serial_executor(), *batch);
  y = module.forward(batch, {"y"}, Mode::training)[0];
  y.backward(g.reshape(y.sizes()));
  std::map<std::string, at::Tensor> parameters;
  for (auto& p : module.parameters()) parameters[p.name] = p.value;
  return parameters;
}

/// [images, h, w, c] to [windows, window * window, c].
at::Tensor partition(const at::Tensor& x, std::int64_t w) {
  const auto s = x.sizes();
  return x.reshape({s[0], s[1] / w, w, s[2] / w, w, s[3]}).permute({0, 1, 3, 2, 4, 5}).reshape({-1, w * w, s[3]});
}
at::Tensor reverse(const at::Tensor& x, std::int64_t w, std::int64_t n, std::int64_t height, std::int64_t width) {
  return x.reshape({n, height / w, width / w, w, w, x.size(2)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({n, height, width, x.size(2)});
}

/// Row of the table for every pair of places, as Swin counts them.
at::Tensor relative_index(std::int64_t w) {
  at::Tensor index = at::empty({w * w, w * w}, at::kLong);
  for (std::int64_t i = 0; i < w * w; ++i)
    for (std::int64_t j = 0; j < w * w; ++j)
      index.data_ptr<std::int64_t>()[i * w * w + j] = (i / w - j / w + w - 1) * (2 * w - 1) + i % w - j % w + w - 1;
  return index;
}

/// 0 where two tokens of a rolled window belong together, -infinity elsewhere: [windows of an image, w * w, w * w].
at::Tensor region_mask(std::int64_t height, std::int64_t width, std::int64_t w, std::int64_t shift) {
  at::Tensor region = at::zeros({1, height, width, 1}, at::kFloat);
  const auto part = [&](std::int64_t at, std::int64_t length) {
    return at < length - w ? 0 : at < length - shift ? 1 : 2;
  };
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      region.data_ptr<float>()[y * width + x] = static_cast<float>(3 * part(y, height) + part(x, width));
  const at::Tensor windows = partition(region, w).squeeze(2);
  const at::Tensor differ = windows.unsqueeze(1).ne(windows.unsqueeze(2));
  return at::zeros(differ.sizes(), at::kFloat).masked_fill(differ, -std::numeric_limits<float>::infinity());
}

struct Block {
  std::int64_t window, shift, heads;
};

Graph block_graph(const Images& images, const Block& block, std::int64_t channels) {
  Builder b;
  const ValueId x = b.points(images.channels, "image");
  const WindowOptions o{images.height, images.width, block.window, block.shift};
  const auto windows = b.windows(b.space_of(x), o);
  const auto rows = b.window_rows(b.space_of(x), windows.space, o);
  const ValueId t = b.gather(x, rows.token_of_row);
  const ValueId y = b.window_attention(b.linear(t, channels, true, "q"), b.linear(t, channels, true, "k"),
                                       b.linear(t, channels, true, "v"), rows.token_of_row, block.heads, o, "attn");
  b.output("y", b.gather(b.linear(y, channels, true, "proj"), rows.row_of_token));
  return b.build();
}

/// The same with dense operators. `p` holds the parameters by name.
at::Tensor dense_block(const Images& images, const Block& o, std::map<std::string, at::Tensor>& p) {
  const std::int64_t w = o.window, n = w * w;
  const at::Tensor grid = images.pixels.reshape({images.count, images.height, images.width, images.channels});
  const at::Tensor windows = partition(at::roll(grid, {-o.shift, -o.shift}, {1, 2}), w);
  const auto heads_of = [&](const std::string& name) {
    const at::Tensor made = at::matmul(windows, p.at(name + ".weight")) + p.at(name + ".bias");
    return made.reshape({windows.size(0), n, o.heads, -1}).transpose(1, 2);
  };
  const at::Tensor q = heads_of("q"), k = heads_of("k"), v = heads_of("v");
  at::Tensor scores = at::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(3)));
  scores = scores + p.at("attn.relative_position_bias_table")
                        .index_select(0, relative_index(w).reshape({-1}))
                        .reshape({n, n, o.heads})
                        .permute({2, 0, 1});
  if (o.shift > 0)
    scores = scores + region_mask(images.height, images.width, w, o.shift).repeat({images.count, 1, 1}).unsqueeze(1);
  const at::Tensor y = at::matmul(at::softmax(scores, 3), v).transpose(1, 2).reshape({windows.size(0), n, -1});
  const at::Tensor made = at::matmul(y, p.at("proj.weight")) + p.at("proj.bias");
  return at::roll(reverse(made, w, images.count, images.height, images.width), {o.shift, o.shift}, {1, 2});
}

TEST(WindowsInTraining, equal_cyclic_shift_and_mask_of_dense_operators) {
  test::for_random_cases(10, [](Rng& rng) {
    const std::int64_t w = rng.integer(2, 4);
    const Block block{w, rng.chance(0.7) ? rng.integer(1, w - 1) : 0, rng.integer(1, 3)};
    Images images(rng.integer(1, 2), w * rng.integer(2, 3), w * rng.integer(2, 3), rng.integer(2, 9), rng);
    const std::int64_t channels = block.heads * rng.integer(2, 20);
    const Graph graph = block_graph(images, block, channels);
    const at::Tensor g = random_tensor({images.begin.back(), channels}, rng);
    at::Tensor y;
    auto ours = parameters_after(graph, initial_weights(graph, rng.bits()), images, g, y);
    std::map<std::string, at::Tensor> theirs;
    for (auto& [name, value] : ours) theirs[name] = value.detach().clone().set_requires_grad(true);
    const at::Tensor expected = dense_block(images, block, theirs).reshape(y.sizes());
    EXPECT_TRUE(at::allclose(y, expected, 1e-4, 1e-5)) << (y - expected).abs().max().item<float>();
    expected.backward(g);
    for (auto& [name, value] : ours) {
      const at::Tensor want = theirs.at(name).grad(), difference = (value.grad() - want).abs().max();
      EXPECT_LE(difference.item<double>(), 1e-4 * (1.0 + want.abs().max().item<double>())) << name;
    }
  });
}

TEST(WindowsInTraining, interpolation_equals_libtorch) {
  test::for_random_cases(10, [](Rng& rng) {
    Images images(rng.integer(1, 2), rng.integer(2, 9), rng.integer(2, 9), 4, rng);
    const std::int64_t patch = rng.integer(2, 3), lines = (images.height + patch - 1) / patch,
                       columns = (images.width + patch - 1) / patch;
    Builder b;
    const ValueId x = b.points(4, "image");
    const ValueId coarse = b.linear(
        b.patches(x, {.height = images.height, .width = images.width, .patch = patch, .pad = true}), 5, true, "embed");
    b.output("y", b.resize_grid(coarse, b.space_of(x), {lines, columns}, {images.height, images.width}));
    b.output("coarse", coarse);
    const Graph graph = b.build();
    const at::Tensor g = random_tensor({images.begin.back(), 5}, rng);
    at::Tensor y;
    auto ours = parameters_after(graph, initial_weights(graph, rng.bits()), images, g, y);
    // Patches of the padded image, channels first as patches have them.
    const auto patches =
        at::constant_pad_nd(images.pixels.reshape({images.count, images.height, images.width, 4}).permute({0, 3, 1, 2}),
                            {0, columns * patch - images.width, 0, lines * patch - images.height});
    const at::Tensor rows = patches.reshape({images.count, 4, lines, patch, columns, patch})
                                .permute({0, 2, 4, 1, 3, 5})
                                .reshape({images.count, lines, columns, -1});
    const at::Tensor weight = ours.at("embed.weight").detach().clone().set_requires_grad(true);
    const at::Tensor made = (at::matmul(rows, weight) + ours.at("embed.bias").detach()).permute({0, 3, 1, 2});
    const at::Tensor expected =
        at::upsample_bilinear2d(made, {images.height, images.width}, false).permute({0, 2, 3, 1}).reshape({-1, 5});
    EXPECT_TRUE(at::allclose(y, expected, 1e-4, 1e-5)) << (y - expected).abs().max().item<float>();
    expected.backward(g);
    EXPECT_TRUE(at::allclose(ours.at("embed.weight").grad(), weight.grad(), 1e-3, 1e-4));
  });
}

}  // namespace
}  // namespace rarefy::train
