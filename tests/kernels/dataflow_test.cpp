/// Every dataflow of every variant against the oracle, and against each other.
#include <algorithm>

#include "conv_fixture.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy::test {
namespace {

class Dataflows : public ConvVariants {
 protected:
  Dataflow run(Dataflow dataflow, Matrix<const float> x, const std::vector<float>& w, const KernelMap& map,
               const ConvEpilogue& epilogue, Matrix<float> y, Executor& executor = serial_executor()) const {
    PackedWeights packed;
    pack_weights(variant(), w.data(), map.volume, x.cols, y.cols, WeightOrder::forward, packed);
    return conv_forward(x, packed, &map, epilogue, executor, y, dataflow);
  }
};

/// Equal as numbers: the sign of a zero may differ.
bool same_numbers(Matrix<const float> a, Matrix<const float> b) {
  for (std::int64_t r = 0; r < a.rows; ++r)
    if (!std::equal(a.row(r), a.row(r) + a.cols, b.row(r))) return false;
  return a.rows == b.rows && a.cols == b.cols;
}

TEST_P(Dataflows, match_oracle_and_give_the_same_numbers) {
  const auto pool = make_thread_pool(3);
  for_random_cases(40, [&](Rng& rng) {
    KernelMap map = rng.chance(0.2) ? oracle::random_map(rng, 300, rng.integer(0, 5000), 27, 0.2 * rng.uniform())
                                    : random_conv_map(rng);
    sort_tiles(map, serial_executor());
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded x(map.in_rows, in, rng.integer(0, 5), rng.integer(0, 3));
    Guarded residual(map.out_rows, out, rng.integer(0, 5), rng.integer(0, 3));
    x.normal(rng);
    residual.normal(rng);
    const auto w = random_vector(rng, map.volume * in * out);
    const auto bias = random_vector(rng, out);
    ConvEpilogue epilogue;
    if (rng.chance(0.5)) epilogue.bias = bias.data();
    if (rng.chance(0.5)) epilogue.residual = residual.view();
    if (rng.chance(0.5)) epilogue.activation = rng.chance(0.5) ? Activation::relu : Activation::leaky_relu;
    epilogue.slope = 0.25f;
    auto expected = oracle::conv(x.view(), w, &map, out, epilogue.bias, epilogue.residual);
    for (double& v : expected.value)
      if (v < 0 && epilogue.activation != Activation::none) v *= epilogue.activation == Activation::relu ? 0 : 0.25;
    Guarded first(map.out_rows, out);
    run(Dataflow::blocked, x.view(), w, map, epilogue, first.view());
    for (const Dataflow dataflow : dataflows()) {
      Guarded y(map.out_rows, out, rng.integer(0, 5), rng.integer(0, 3)), threaded(map.out_rows, out);
      const Dataflow ran = run(dataflow, x.view(), w, map, epilogue, y.view());
      EXPECT_TRUE(ran == dataflow || map.out_rows == 0) << name(dataflow) << " ran as " << name(ran);
      EXPECT_TRUE(y.intact()) << name(dataflow);
      expect_close(y.view(), expected, longest_sum(&map, in) + 2);
      EXPECT_TRUE(same_numbers(first.view(), y.view())) << name(dataflow);
      run(dataflow, x.view(), w, map, epilogue, threaded.view(), *pool);
      EXPECT_TRUE(same_bits(y.view(), threaded.view())) << name(dataflow) << " depends on the threads";
    }
  });
}

TEST_P(Dataflows, stationary_runs_blocked_where_it_cannot_be) {
  Rng rng(5);
  KernelMap map = oracle::random_map(rng, 60, 70, 5, 0.4);
  Guarded x(60, 3), y(70, 4), z(70, 4);
  x.normal(rng);
  auto w = random_vector(rng, 5 * 3 * 4);
  EXPECT_EQ(run(Dataflow::stationary, x.view(), w, map, {}, y.view()), Dataflow::blocked) << "no sorted tiles";
  sort_tiles(map, serial_executor());
  EXPECT_EQ(run(Dataflow::stationary, x.view(), w, map, {}, y.view()), Dataflow::stationary);
  // A missing pair times infinity would be NaN.
  w[7] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(run(Dataflow::stationary, x.view(), w, map, {}, y.view()), Dataflow::blocked) << "infinite weights";
  run(Dataflow::on_demand, x.view(), w, map, {}, z.view());
  EXPECT_TRUE(same_bits(y.view(), z.view()));
  Guarded linear(60, 4);
  PackedWeights packed;
  pack_weights(variant(), w.data(), 1, 3, 4, WeightOrder::forward, packed);
  EXPECT_EQ(conv_forward(x.view(), packed, nullptr, {}, serial_executor(), linear.view(), Dataflow::on_demand),
            Dataflow::blocked)
      << "a linear layer has one dataflow";
}

TEST_P(Dataflows, not_a_number_passes_through_every_one) {
  Rng rng(6);
  KernelMap map = oracle::random_map(rng, 40, 50, 6, 0.3);
  sort_tiles(map, serial_executor());
  Guarded x(40, 5);
  x.normal(rng);
  x.view()(7, 2) = std::numeric_limits<float>::quiet_NaN();
  const auto w = random_vector(rng, 6 * 5 * 9);
  std::vector<bool> touched(50, false);
  for (std::size_t p = 0; p < map.in_row.size(); ++p)
    if (map.in_row[p] == 7) touched[static_cast<std::size_t>(map.out_row[p])] = true;
  for (const Dataflow dataflow : dataflows()) {
    Guarded y(50, 9);
    run(dataflow, x.view(), w, map, {}, y.view());
    for (std::int64_t r = 0; r < 50; ++r)
      EXPECT_EQ(std::isnan(y.view()(r, 8)), touched[static_cast<std::size_t>(r)]) << name(dataflow) << " row " << r;
  }
}

TEST_P(Dataflows, of_the_weight_gradient_agree) {
  for_random_cases(20, [&](Rng& rng) {
    const KernelMap map = random_conv_map(rng);
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded x(map.in_rows, in, rng.integer(0, 3)), gy(map.out_rows, out, rng.integer(0, 3));
    x.normal(rng);
    gy.normal(rng);
    const auto expected = oracle::conv_weight_gradient(x.view(), gy.view(), &map, map.volume);
    for (const Dataflow dataflow : {Dataflow::blocked, Dataflow::on_demand}) {
      std::vector<float> gw(static_cast<std::size_t>(map.volume * in * out), kGuard);
      AlignedBuffer scratch;
      EXPECT_EQ(conv_weight_gradient(variant(), x.view(), gy.view(), &map, map.volume, serial_executor(), scratch,
                                     gw.data(), dataflow),
                dataflow);
      expect_close({gw.data(), map.volume * in, out}, expected, map.out_rows);
    }
  });
  Rng rng(9);
  const KernelMap map = oracle::random_map(rng, 4, 4, 2, 0.5);
  std::vector<float> x(8), gw(8);
  AlignedBuffer scratch;
  expect_error<UsageError>(
      [&] {
        conv_weight_gradient(variant(), {x.data(), 4, 2}, {x.data(), 4, 2}, &map, 2, serial_executor(), scratch,
                             gw.data(), Dataflow::stationary);
      },
      {"stationary", "blocked", "on_demand"});
}

TEST_P(Dataflows, cost_model_follows_the_density) {
  Rng rng(10);
  const KernelMap street = oracle::random_map(rng, 20000, 20000, 27, 0.13),
                  lone = oracle::random_map(rng, 20000, 20000, 125, 0.004);
  const auto cost = [&](Dataflow dataflow, const KernelMap& map) {
    return expected_cost(dataflow, variant(), map, 64, 64);
  };
  EXPECT_LT(cost(Dataflow::blocked, street), cost(Dataflow::stationary, street));
  EXPECT_LT(cost(Dataflow::on_demand, lone), cost(Dataflow::blocked, lone));
  EXPECT_GT(sorting_cost(street), 0);
  for (const Dataflow dataflow : dataflows()) EXPECT_EQ(dataflow_named(name(dataflow)), dataflow);
  expect_error<UsageError>([] { (void)dataflow_named("sideways"); }, {"sideways", "on_demand"});
}

INSTANTIATE_TEST_SUITE_P(All, Dataflows, testing::ValuesIn(variant_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace rarefy::test
