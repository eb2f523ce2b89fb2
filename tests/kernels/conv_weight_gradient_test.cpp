#include <array>

#include "conv_fixture.h"
#include "support/random_cases.h"

namespace rarefy::test {
namespace {

class ConvWeightGradient : public ConvVariants {};

constexpr std::array<std::int64_t, 12> kChannels{1, 3, 4, 7, 8, 9, 16, 17, 19, 33, 64, 67};
std::int64_t any_channels(Rng& rng) {
  return kChannels[static_cast<std::size_t>(rng.integer(0, kChannels.size() - 1))];
}

TEST_P(ConvWeightGradient, matches_oracle) {
  for_random_cases(30, [&](Rng& rng) {
    const KernelMap map = rng.chance(0.5)
                              ? oracle::random_submanifold_map(rng, 900, 3)
                              : oracle::random_map(rng, rng.integer(0, 900), rng.integer(0, 2500), 3, rng.uniform());
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded x(map.in_rows, in, rng.integer(0, 5), rng.integer(0, 3));
    Guarded gy(map.out_rows, out, rng.integer(0, 5), rng.integer(0, 3));
    x.normal(rng);
    gy.normal(rng);
    Guarded gw(map.volume * in, out, 0, rng.integer(0, 3));
    AlignedBuffer scratch;
    conv_weight_gradient(variant(), x.view(), gy.view(), &map, map.volume, serial_executor(), scratch, gw.view().data);
    expect_close(gw.view(), oracle::conv_weight_gradient(x.view(), gy.view(), &map, map.volume), map.pairs());
    EXPECT_TRUE(gw.intact());
  });
}

INSTANTIATE_TEST_SUITE_P(All, ConvWeightGradient, testing::ValuesIn(variant_names()),
                         [](const auto& i) { return i.param; });

}  // namespace
}  // namespace rarefy::test
