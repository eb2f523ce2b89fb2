// Weight gradients on the GPU against sums in double.
#include <gtest/gtest.h>

#include "conv_fixture.h"
#include "kernels/cuda/conv.h"
#include "kernels/cuda/conv/tune.h"
#include "support/expect_error.h"

namespace rarefy::test {
namespace {

enum class Values : std::uint8_t { normal, integers };

struct Case {
  Arithmetic arithmetic;
  bool linear;
  TestMap map;
  std::unique_ptr<TestRows> x, g;

  Case(Rng& rng, Arithmetic a, Values kind) : arithmetic(a), linear(rng.chance(0.25)) {
    constexpr std::array<std::int64_t, 11> kUsual{1, 3, 4, 7, 16, 20, 32, 64, 81, 96, 130};
    const auto channels = [&] { return kUsual[static_cast<std::size_t>(rng.integer(0, 10))]; };
    const std::int64_t in = channels(), out = channels();
    const int volume = linear ? 1 : static_cast<int>(rng.chance(0.5) ? 27 : rng.integer(1, 8));
    const double density = linear ? 1.0 : rng.uniform(0.02, 0.5);
    const std::int64_t most =
        static_cast<std::int64_t>(quick_or(300'000, 4'000'000) / (density * static_cast<double>(volume * in * out)));
    const std::int64_t rows = rng.integer(0, std::clamp<std::int64_t>(most, 30, quick_or(3000, 6000)));
    if (linear)
      map.in_rows = map.out_rows = rows;
    else
      map = random_test_map(rng, rng.integer(1, rows + 9), rows, volume, density);
    const auto value = [&] {
      return kind == Values::integers ? static_cast<float>(rng.integer(-3, 3))
                                      : nearest(arithmetic, static_cast<float>(rng.normal()));
    };
    x = std::make_unique<TestRows>(rng, a, map.in_rows, in, rng.chance(0.6) ? Layout::aligned : Layout::any);
    g = std::make_unique<TestRows>(rng, a, map.out_rows, out, rng.chance(0.6) ? Layout::aligned : Layout::any);
    x->fill(value);
    g->fill(value);
  }
  std::int64_t size() const { return map.volume * x->cols() * g->cols(); }
  std::vector<Sum> sums() const {
    std::vector<Sum> result(static_cast<std::size_t>(size()));
    for (int k = 0; k < map.volume; ++k) {
      for (std::int64_t o = 0; o < map.out_rows; ++o) {
        const std::int64_t i = linear ? o : map.at(k, o);
        if (i < 0) continue;
        for (std::int64_t a = 0; a < x->cols(); ++a) {
          Sum* to = result.data() + (k * x->cols() + a) * g->cols();
          for (std::int64_t b = 0; b < g->cols(); ++b) to[b].add(static_cast<double>((*x)(i, a)) * (*g)(o, b));
        }
      }
    }
    return result;
  }
  std::string text() const {
    return std::string(cuda::name(arithmetic)) + ", " + std::to_string(x->cols()) + " by " + std::to_string(g->cols()) +
           " channels, " + std::to_string(map.volume) + " offsets, " + std::to_string(map.out_rows) + " rows" +
           (linear ? ", linear" : "");
  }
  /// @param before  what the gradient is added to; NaN: nothing
  std::vector<float> run(float before, int tile, int ranges) const {
    DeviceBuffer to = on_device(std::vector<float>(static_cast<std::size_t>(size()), before)), workspace;
    const cuda::MapView v = map.plain();
    cuda::conv_weight_gradient(x->view(), g->view(), linear ? nullptr : &v, arithmetic, !std::isnan(before), nullptr,
                               workspace, to.as<float>(), tile, ranges);
    return floats_of(to.as<float>(), size());
  }
};

constexpr float kNothing = std::numeric_limits<float>::quiet_NaN();

class CudaConvGradient : public testing::TestWithParam<Arithmetic> {
 protected:
  void SetUp() override {
    if (cuda::devices().empty()) GTEST_SKIP() << "there is no GPU";
  }
};

TEST_P(CudaConvGradient, matches_sums_in_double_and_repeats_its_bits) {
  for_random_cases(24, [&](Rng& rng) {
    const Case c(rng, GetParam(), Values::normal);
    const std::vector<float> found = c.run(kNothing, 0, 0);
    const std::vector<Sum> wanted = c.sums();
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double bound = 0x1p-22 * static_cast<double>(c.map.out_rows + 2) * wanted[i].magnitude + 1e-30;
      ASSERT_NEAR(found[i], wanted[i].value, bound) << "element " << i << " of " << c.text();
    }
    const std::vector<float> again = c.run(kNothing, 0, 0);
    EXPECT_EQ(std::memcmp(found.data(), again.data(), found.size() * 4), 0) << c.text();
  });
}

TEST_P(CudaConvGradient, sums_of_integers_are_exact_by_every_tile_and_range) {
  for_random_cases(12, [&](Rng& rng) {
    const Case c(rng, GetParam(), Values::integers);
    const std::vector<Sum> wanted = c.sums();
    for (const int tile : {0, 64, 128}) {
      for (const int ranges : {0, 1, 5}) {
        for (const float before : {kNothing, 2.0f}) {
          const std::vector<float> found = c.run(before, tile, ranges);
          for (std::size_t i = 0; i < found.size(); ++i)
            ASSERT_EQ(found[i], wanted[i].value + (std::isnan(before) ? 0.0 : before))
                << "element " << i << " of " << c.text() << ", tile " << tile << ", ranges " << ranges;
        }
      }
    }
  });
}

std::string arithmetic_name(const testing::TestParamInfo<Arithmetic>& info) {
  return std::string(cuda::name(info.param));
}
INSTANTIATE_TEST_SUITE_P(Arithmetics, CudaConvGradient, testing::ValuesIn(kArithmetics), arithmetic_name);

TEST(CudaConvGradientErrors, name_what_does_not_fit) {
  if (cuda::devices().empty()) GTEST_SKIP() << "there is no GPU";
  Rng rng(1);
  const Case c(rng, Arithmetic::f16, Values::integers);
  TestMap map = random_test_map(rng, 5, 6, 8, 0.5);
  TestRows x(rng, Arithmetic::f16, 5, 4, Layout::aligned), g(rng, Arithmetic::f16, 6, 3, Layout::aligned);
  DeviceBuffer workspace, to;
  to.reserve(8 * 4 * 3 * 4);
  const auto run = [&](const cuda::MapView* v) {
    cuda::conv_weight_gradient(x.view(), g.view(), v, Arithmetic::f16, false, nullptr, workspace, to.as<float>());
  };
  expect_error<ShapeError>([&] { run(nullptr); }, {"input has 5, output gradient 6"});
  const cuda::MapView sorted = map.sorted();
  expect_error<UsageError>([&] { run(&sorted); }, {"plain form"});
}

}  // namespace
}  // namespace rarefy::test
