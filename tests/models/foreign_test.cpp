// Kernels of other libraries: what a network computes with the converted weights is what the library computes with its
// own, by the library's definition of its offsets.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "models/foreign_fixture.h"
#include "rarefy/builder.h"
#include "rarefy/session.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy::models::foreign {
namespace {

using rarefy::test::expect_error;
using rarefy::test::for_random_cases;
using test::Library;
using test::Offset;
using Site = std::array<std::int32_t, 3>;

struct Case {
  Offset size{3, 3, 3}, stride{1, 1, 1};
  std::int64_t in = 1, out = 1;
  std::vector<Site> sites;
  std::vector<float> x;

  explicit Case(Rng& rng) : in(rng.integer(1, 3)), out(rng.integer(6, 8)) {
    const bool strided = rng.chance(0.5);
    for (std::size_t a = 0; a < 3; ++a) {
      const bool halves = strided && rng.chance(0.8);
      size[a] = halves ? 2 : static_cast<int>(2 * rng.integer(0, 2) + 1);
      stride[a] = halves ? 2 : 1;
    }
    if (size == Offset{1, 1, 1}) size[1] = 3;  // one offset is a linear layer: tested apart
    std::map<Site, bool> taken;
    for (int i = 0; i < 60; ++i) {
      const auto c = [&] { return static_cast<std::int32_t>(rng.integer(-3, 4)); };
      taken[{c(), c(), c()}] = true;
    }
    for (const auto& [site, unused] : taken) {
      sites.push_back(site);
      // Whole numbers: sums are exact in any order.
      for (std::int64_t ci = 0; ci < in; ++ci) x.push_back(static_cast<float>(rng.integer(-8, 8)));
    }
  }
};

/// y at a site by the library's definition, from its stored kernel.
std::vector<double> by_definition(const Library& library, const Case& c, const Tensor& kernel, const float* bias,
                                  const Site& at) {
  const auto w = kernel.as<float>();
  const Offset theirs = library.reversed ? test::flipped(c.size) : c.size;
  const auto offsets = library.offsets(theirs);
  std::vector<double> y(static_cast<std::size_t>(c.out));
  for (std::size_t k = 0; k < offsets.size(); ++k) {
    const Offset offset = library.reversed ? test::flipped(offsets[k]) : offsets[k];
    const Site from{at[0] + offset[0], at[1] + offset[1], at[2] + offset[2]};
    const auto row = std::find(c.sites.begin(), c.sites.end(), from);
    if (row == c.sites.end()) continue;
    const float* x = c.x.data() + (row - c.sites.begin()) * c.in;
    for (std::int64_t ci = 0; ci < c.in; ++ci)
      for (std::int64_t co = 0; co < c.out; ++co) {
        const auto at_w = library.element(static_cast<std::int64_t>(offsets.size()), c.in, c.out,
                                          static_cast<std::int64_t>(k), ci, co);
        y[static_cast<std::size_t>(co)] += static_cast<double>(x[ci]) * w[static_cast<std::size_t>(at_w)];
      }
  }
  for (std::size_t co = 0; co < y.size(); ++co) y[co] += bias[co];
  return y;
}

TEST(ForeignKernel, computes_what_the_library_computes) {
  for (const Library& library : test::libraries()) {
    SCOPED_TRACE(library.source);
    for_random_cases(30, [&](Rng& rng) {
      const Case c(rng);
      Tensor kernel = test::stored_kernel(library, c.size, c.in, c.out, [&](const Offset&, auto, auto) {
        return static_cast<float>(rng.integer(-8, 8));
      });
      const bool row_bias = rng.chance(0.5);  // [1, C], as MinkowskiEngine has it
      Tensor bias(Dtype::f32, row_bias ? std::vector<std::int64_t>{1, c.out} : std::vector<std::int64_t>{c.out});
      for (float& b : bias.mutable_as<float>()) b = static_cast<float>(rng.integer(-8, 8));

      Builder b;
      const ValueId input = b.sparse_input(c.in, 3);
      const auto wide = [](const Offset& v) { return std::vector<std::int64_t>(v.begin(), v.end()); };
      b.output(
          "y",
          b.conv(input,
                 {.channels = c.out, .kernel = wide(c.size), .stride = wide(c.stride), .bias = true, .name = "conv"}));
      const Graph graph = b.build();
      const bool kernels = library.source == "minkowski" || library.source == "torchsparse";
      const StateDict dict{{{kernels ? "net.0.kernel" : "net.0.weight", kernel}, {"net.0.bias", bias}}, true};
      const Conversion conversion = convert(graph, dict, source(library.source));
      ASSERT_TRUE(conversion.complete());
      EXPECT_FALSE(conversion.matched.at(0).by_name);

      std::vector<std::int32_t> coords;
      for (const Site& site : c.sites) coords.insert(coords.end(), {0, site[0], site[1], site[2]});
      Session session(Model(graph, conversion.weights));
      const auto rows = static_cast<std::int64_t>(c.sites.size());
      const TensorView x{const_cast<float*>(c.x.data()), Dtype::f32, Device::cpu, rows, c.in, c.in};
      const Outputs& found = session.run({{"x", SparseView{coords.data(), x}}});
      const auto y = found["y"].matrix<float>();
      const auto at = found.coords("y").as<std::int32_t>();
      ASSERT_GT(y.rows, 0);
      for (std::int64_t r = 0; r < y.rows; ++r) {
        const auto* s = at.data() + 4 * r;
        const auto expected = by_definition(library, c, kernel, bias.as<float>().data(), {s[1], s[2], s[3]});
        for (std::int64_t co = 0; co < c.out; ++co)
          ASSERT_EQ(y(r, co), expected[static_cast<std::size_t>(co)]) << "row " << r << " channel " << co;
      }
    });
  }
}

TEST(ForeignKernel, one_offset_is_a_linear_layer) {
  Builder b;
  b.output("y", b.linear(b.sparse_input(2, 3), 3, false, "linear"));
  const Graph graph = b.build();
  const auto value = [](const Offset&, std::int64_t ci, std::int64_t co) { return static_cast<float>(10 * ci + co); };
  const std::vector<float> expected{0, 1, 2, 10, 11, 12};
  const auto check = [&](const std::string& from, const std::string& leaf, const Tensor& tensor) {
    SCOPED_TRACE(from + " " + leaf);
    const Conversion found = convert(graph, {{{"a." + leaf, tensor}}, true}, source(from));
    ASSERT_TRUE(found.complete());
    const auto w = found.weights.at("linear.weight").as<float>();
    EXPECT_EQ(std::vector<float>(w.begin(), w.end()), expected);
  };
  for (const Library& library : test::libraries()) {
    const bool kernels = library.source == "minkowski" || library.source == "torchsparse";
    check(library.source, kernels ? "kernel" : "weight", test::stored_kernel(library, {1, 1, 1}, 2, 3, value));
    Tensor torch_linear(Dtype::f32, {3, 2});
    auto w = torch_linear.mutable_as<float>();
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = expected[3 * (i % 2) + i / 2];
    check(library.source, "weight", torch_linear);
  }
}

TEST(ForeignKernel, torchsparse_kernels_of_extent_four_are_refused) {
  Builder b;
  b.output("y", b.conv(b.sparse_input(1, 3), {.channels = 1, .kernel = {4}, .stride = {4}}));
  const Graph graph = b.build();
  const StateDict dict{{{"a.kernel", Tensor(Dtype::f32, {64, 1, 1})}}, true};
  expect_error<UnsupportedError>([&] { (void)convert(graph, dict, source("torchsparse")); }, {"extent 4", "-1 to 2"});
  EXPECT_TRUE(convert(graph, dict, source("minkowski")).complete());
}

TEST(ForeignKernel, element_types_become_float) {
  Tensor half(Dtype::f16, {6}), brain(Dtype::bf16, {3}), twice(Dtype::f64, {2}), whole(Dtype::i64, {1});
  // 1, -2, the largest, the smallest subnormal, infinity, -0 (IEEE 754-2019, section 3.6)
  const std::uint16_t halves[] = {0x3C00, 0xC000, 0x7BFF, 0x0001, 0x7C00, 0x8000};
  std::memcpy(half.mutable_data(), halves, sizeof halves);
  const std::uint16_t brains[] = {0x3F80, 0xC040, 0x0000};
  std::memcpy(brain.mutable_data(), brains, sizeof brains);
  twice.mutable_as<double>()[0] = 0.1;
  const auto list = [](const Tensor& t) {
    const Tensor f = to_float(t);
    return std::vector<float>(f.as<float>().begin(), f.as<float>().end());
  };
  EXPECT_EQ(list(half), (std::vector<float>{1, -2, 65504, 0x1p-24f, INFINITY, -0.0f}));
  EXPECT_TRUE(std::signbit(list(half)[5]));
  EXPECT_EQ(list(brain), (std::vector<float>{1, -3, 0}));
  EXPECT_EQ(list(twice)[0], 0.1f);
  expect_error<UnsupportedError>([&] { (void)to_float(whole); }, {"i64"});
}

TEST(ForeignSource, unknown_importers_are_told) {
  expect_error<UsageError>([] { (void)source("spvnass"); }, {"'spvnass'", "spvnas"});
}

}  // namespace
}  // namespace rarefy::models::foreign
