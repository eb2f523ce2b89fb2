/// Depthwise and grouped convolution of every variant against double precision.
#include "kernels/depthwise.h"

#include "conv_fixture.h"
#include "kernels/grouped.h"
#include "rarefy/error.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy::test {
namespace {

/// Weights [K, C_in, C_out] that are zero between groups, from those [K, C_in / groups, C_out] of a grouped
/// convolution: a dense convolution with them is the judge.
std::vector<float> dense_weights(const std::vector<float>& grouped, std::int64_t volume, std::int64_t in,
                                 std::int64_t out, std::int64_t groups) {
  std::vector<float> dense(static_cast<std::size_t>(volume * in * out), 0.0f);
  const std::int64_t own = in / groups;
  for (std::int64_t k = 0; k < volume; ++k)
    for (std::int64_t j = 0; j < out; ++j)
      for (std::int64_t i = 0; i < own; ++i)
        dense[static_cast<std::size_t>((k * in + j / (out / groups) * own + i) * out + j)] =
            grouped[static_cast<std::size_t>((k * own + i) * out + j)];
  return dense;
}

/// The entries of a dense weight gradient that a grouped convolution has.
oracle::Values grouped_entries(const oracle::Values& dense, std::int64_t volume, std::int64_t in, std::int64_t out,
                               std::int64_t groups) {
  oracle::Values result;
  const std::int64_t own = in / groups;
  for (std::int64_t k = 0; k < volume; ++k)
    for (std::int64_t i = 0; i < own; ++i)
      for (std::int64_t j = 0; j < out; ++j) {
        const auto at = static_cast<std::size_t>((k * in + j / (out / groups) * own + i) * out + j);
        result.value.push_back(dense.value[at]);
        result.magnitude.push_back(dense.magnitude[at]);
      }
  return result;
}

/// y before the activation to y after it; magnitudes stay a bound.
void activate(oracle::Values& y, const ConvEpilogue& epilogue) {
  for (double& v : y.value)
    if (v < 0.0 && epilogue.activation != Activation::none)
      v *= epilogue.activation == Activation::relu ? 0.0 : static_cast<double>(epilogue.slope);
}

/// Some bias, residual and activation.
struct Ending {
  Guarded residual;
  std::vector<float> bias;
  ConvEpilogue epilogue;
  Ending(Rng& rng, std::int64_t rows, std::int64_t channels)
      : residual(rows, channels, rng.integer(0, 2)), bias(random_vector(rng, channels)) {
    residual.normal(rng);
    if (rng.chance(0.5)) epilogue.bias = bias.data();
    if (rng.chance(0.5)) epilogue.residual = residual.view();
    epilogue.activation = static_cast<Activation>(rng.integer(0, 2));
    epilogue.slope = 0.25f;
  }
};

class Depthwise : public ConvVariants {};

TEST_P(Depthwise, forward_equals_the_oracle_for_any_number_of_threads) {
  const auto pool = make_thread_pool(4);
  for_random_cases(40, [&](Rng& rng) {
    const KernelMap map = random_conv_map(rng);
    const std::int64_t channels = any_channels(rng);
    Guarded x(map.in_rows, channels, rng.integer(0, 3), rng.integer(0, 3)), y(map.out_rows, channels, 1, 2);
    x.normal(rng);
    const auto w = random_vector(rng, map.volume * channels);
    const Ending ending(rng, map.out_rows, channels);
    depthwise_forward(variant(), x.view(), w.data(), WeightOrder::forward, map, ending.epilogue, serial_executor(),
                      y.view());
    auto expected = oracle::conv(x.view(), dense_weights(w, map.volume, channels, channels, channels), &map, channels,
                                 ending.epilogue.bias, ending.epilogue.residual);
    activate(expected, ending.epilogue);
    expect_close(y.view(), expected, map.volume);
    EXPECT_TRUE(y.intact());
    Guarded threaded(map.out_rows, channels);
    depthwise_forward(variant(), x.view(), w.data(), WeightOrder::forward, map, ending.epilogue, *pool,
                      threaded.view());
    EXPECT_TRUE(same_bits(y.view(), threaded.view()));
  });
}

TEST_P(Depthwise, gradients_equal_the_oracle) {
  const auto pool = make_thread_pool(4);
  for_random_cases(40, [&](Rng& rng) {
    const bool submanifold = rng.chance(0.5);
    const KernelMap map = submanifold ? oracle::random_submanifold_map(rng, 900, 3)
                                      : oracle::random_map(rng, rng.integer(0, 500), rng.integer(0, 700), 8, 0.5);
    const std::int64_t channels = any_channels(rng);
    Guarded x(map.in_rows, channels, rng.integer(0, 3)), g(map.out_rows, channels, rng.integer(0, 3)),
        gx(map.in_rows, channels, 1);
    x.normal(rng);
    g.normal(rng);
    const auto w = random_vector(rng, map.volume * channels);
    const auto dense = dense_weights(w, map.volume, channels, channels, channels);
    const auto expected = oracle::conv_input_gradient(g.view(), dense, &map, map.in_rows, channels);
    depthwise_forward(variant(), g.view(), w.data(), WeightOrder::transposed, oracle::transposed(map), {},
                      serial_executor(), gx.view());
    expect_close(gx.view(), expected, map.volume);
    if (submanifold) {
      depthwise_forward(variant(), g.view(), w.data(), WeightOrder::transposed_flipped, map, {}, serial_executor(),
                        gx.view());
      expect_close(gx.view(), expected, map.volume);
    }
    EXPECT_TRUE(gx.intact());
    std::vector<float> gw(w.size()), threaded(w.size());
    AlignedBuffer scratch;
    depthwise_weight_gradient(variant(), x.view(), g.view(), map, serial_executor(), scratch, gw.data());
    const auto entries = grouped_entries(oracle::conv_weight_gradient(x.view(), g.view(), &map, map.volume), map.volume,
                                         channels, channels, channels);
    expect_close({gw.data(), map.volume, channels}, entries, map.out_rows);
    depthwise_weight_gradient(variant(), x.view(), g.view(), map, *pool, scratch, threaded.data());
    EXPECT_EQ(gw, threaded);
  });
}

TEST_P(Depthwise, names_what_does_not_fit) {
  Rng rng(1);
  const KernelMap map = oracle::random_map(rng, 5, 6, 8, 0.5);
  Guarded x(5, 3), y(6, 4), few(4, 3), fits(6, 3);
  const std::vector<float> w(24);
  const auto run = [&](Matrix<const float> in, Matrix<float> out, ConvEpilogue epilogue = {}) {
    depthwise_forward(variant(), in, w.data(), WeightOrder::forward, map, epilogue, serial_executor(), out);
  };
  expect_error<ShapeError>([&] { run(x.view(), y.view()); }, {"keeps its channels", "3", "4"});
  expect_error<ShapeError>([&] { run(few.view(), fits.view()); }, {"from 5 rows to 6", "from 4 to 6"});
  ConvEpilogue epilogue;
  epilogue.residual = y.view();
  expect_error<ShapeError>([&] { run(x.view(), fits.view(), epilogue); }, {"residual is [6, 4]", "[6, 3]"});
}

INSTANTIATE_TEST_SUITE_P(Variants, Depthwise, testing::ValuesIn(variant_names()),
                         [](const auto& info) { return info.param; });

class Grouped : public ConvVariants {};

TEST_P(Grouped, forward_and_gradients_equal_the_oracle) {
  const auto pool = make_thread_pool(4);
  for_random_cases(40, [&](Rng& rng) {
    const KernelMap map = random_conv_map(rng);
    const std::int64_t groups = rng.integer(1, 6), in = groups * rng.integer(1, 18), out = groups * rng.integer(1, 18);
    Guarded x(map.in_rows, in, rng.integer(0, 3)), y(map.out_rows, out, 1), g(map.out_rows, out, 2),
        gx(map.in_rows, in, 1);
    x.normal(rng);
    g.normal(rng);
    const auto w = random_vector(rng, map.volume * in / groups * out);
    const auto dense = dense_weights(w, map.volume, in, out, groups);
    const Ending ending(rng, map.out_rows, out);
    GroupedWeights packed;
    pack_grouped(variant(), w.data(), map.volume, in, out, groups, WeightOrder::forward, packed);
    grouped_forward(x.view(), packed, &map, ending.epilogue, serial_executor(), y.view());
    auto expected = oracle::conv(x.view(), dense, &map, out, ending.epilogue.bias, ending.epilogue.residual);
    activate(expected, ending.epilogue);
    expect_close(y.view(), expected, longest_sum(&map, in));
    EXPECT_TRUE(y.intact());

    pack_grouped(variant(), w.data(), map.volume, in, out, groups, WeightOrder::transposed, packed);
    const KernelMap back = oracle::transposed(map);
    grouped_forward(g.view(), packed, &back, {}, *pool, gx.view());
    expect_close(gx.view(), oracle::conv_input_gradient(g.view(), dense, &map, map.in_rows, in),
                 longest_sum(&map, out));
    std::vector<float> gw(w.size());
    grouped_weight_gradient(variant(), x.view(), g.view(), &map, map.volume, groups, *pool, gw.data());
    const auto entries = grouped_entries(oracle::conv_weight_gradient(x.view(), g.view(), &map, map.volume), map.volume,
                                         in, out, groups);
    expect_close({gw.data(), map.volume * in / groups, out}, entries, map.out_rows);
  });
}

TEST_P(Grouped, names_what_does_not_fit) {
  GroupedWeights packed;
  const std::vector<float> w(64);
  expect_error<ShapeError>([&] { pack_grouped(variant(), w.data(), 1, 4, 6, 4, WeightOrder::forward, packed); },
                           {"4 input", "6 output", "4 equal groups"});
  Guarded x(2, 6), y(2, 4);
  expect_error<UsageError>([&] { grouped_forward(x.view(), packed, nullptr, {}, serial_executor(), y.view()); },
                           {"never packed"});
  pack_grouped(variant(), w.data(), 1, 4, 4, 2, WeightOrder::forward, packed);
  expect_error<ShapeError>([&] { grouped_forward(x.view(), packed, nullptr, {}, serial_executor(), y.view()); },
                           {"from 4 channels to 4", "from 6 to 4"});
}

INSTANTIATE_TEST_SUITE_P(Variants, Grouped, testing::ValuesIn(variant_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace rarefy::test
