#include <array>

#include "conv_fixture.h"
#include "support/random_cases.h"

namespace rarefy::test {
namespace {

constexpr std::array<std::int64_t, 14> kChannels{1, 3, 4, 7, 8, 9, 15, 16, 17, 19, 31, 33, 64, 67};
std::int64_t any_channels(Rng& rng) {
  return kChannels[static_cast<std::size_t>(rng.integer(0, kChannels.size() - 1))];
}

TEST_P(ConvVariants, matches_oracle) {
  for_random_cases(40, [&](Rng& rng) {
    const KernelMap map = rng.chance(0.5)
                              ? oracle::random_submanifold_map(rng, 900, 3)
                              : oracle::random_map(rng, rng.integer(0, 500), rng.integer(0, 700), 8, rng.uniform());
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded x(map.in_rows, in, rng.integer(0, 5), rng.integer(0, 3));
    Guarded y(map.out_rows, out, rng.integer(0, 5), rng.integer(0, 3));
    Guarded residual(map.out_rows, out, rng.integer(0, 5), rng.integer(0, 3));
    x.normal(rng);
    residual.normal(rng);
    const auto w = random_vector(rng, map.volume * in * out);
    const auto bias = random_vector(rng, out);
    ConvEpilogue epilogue;
    if (rng.chance(0.5)) epilogue.bias = bias.data();
    if (rng.chance(0.5)) epilogue.residual = residual.view();
    forward(x.view(), w, &map, epilogue, y.view());
    const auto expected = oracle::conv(x.view(), w, &map, out, epilogue.bias, epilogue.residual);
    expect_close(y.view(), expected, longest_sum(&map, in) + 2);
    EXPECT_TRUE(y.intact());
  });
}

INSTANTIATE_TEST_SUITE_P(All, ConvVariants, testing::ValuesIn(variant_names()), [](const auto& i) { return i.param; });

}  // namespace
}  // namespace rarefy::test
