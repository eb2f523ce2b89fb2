/// Cascade token pruning (SpAtten) against plain loops: attention summed up over heads, queries and blocks decides.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "models/common/token_flow.h"
#include "rarefy/session.h"

namespace rarefy::models {
namespace {

TEST(CascadeShare, falls_evenly_after_the_first_blocks) {
  for (const std::int64_t block : {0, 1}) EXPECT_EQ(cascade_share(block, 12, 0.4), 1.0);
  EXPECT_NEAR(cascade_share(2, 12, 0.4), 0.94, 1e-12);
  EXPECT_NEAR(cascade_share(6, 12, 0.4), 0.70, 1e-12);
  EXPECT_NEAR(cascade_share(11, 12, 0.4), 0.40, 1e-12);
  EXPECT_EQ(cascade_share(0, 6, 0.5), 1.0);
  EXPECT_NEAR(cascade_share(5, 6, 0.5), 0.5, 1e-12);
  EXPECT_EQ(cascade_share(0, 1, 0.5), 0.5) << "a network of one block has nothing else to prune";
}

constexpr std::int64_t kChannels = 6, kHeads = 2, kBlocks = 5;
constexpr double kLast = 0.3;

using Rows = std::vector<std::vector<double>>;

/// x W + b of the layer `name`.
Rows layer(const Rows& x, const Weights& weights, const std::string& name) {
  const auto w = weights.at(name + ".weight").as<float>(), bias = weights.at(name + ".bias").as<float>();
  Rows y;
  for (const auto& row : x) {
    y.emplace_back(bias.begin(), bias.end());
    for (std::size_t i = 0; i < row.size(); ++i)
      for (std::size_t c = 0; c < y.back().size(); ++c) y.back()[c] += row[i] * w[i * y.back().size() + c];
  }
  return y;
}

/// Adds to each token what all of one sample attend to it, a mean over heads.
void receive(const Rows& q, const Rows& k, std::vector<double>& importance) {
  constexpr std::int64_t d = kChannels / kHeads;
  for (const auto& query : q)
    for (std::int64_t h = 0; h < kHeads; ++h) {
      std::vector<double> p;
      for (const auto& key : k)
        p.push_back(
            std::exp(std::inner_product(query.begin() + h * d, query.begin() + (h + 1) * d, key.begin() + h * d, 0.0) /
                     std::sqrt(static_cast<double>(d))));
      const double sum = std::accumulate(p.begin(), p.end(), 0.0);
      for (std::size_t j = 0; j < p.size(); ++j) importance[j] += p[j] / sum / kHeads;
    }
}

/// Rows of one sample that are left after each block; the first always stays.
std::vector<Rows> expected_rows(Rows x, const Weights& weights) {
  std::vector<Rows> result;
  std::vector<double> importance(x.size(), 0.0);
  for (std::int64_t b = 0; b < kBlocks; ++b) {
    const std::string name = std::to_string(b);
    receive(layer(x, weights, "q" + name), layer(x, weights, "k" + name), importance);
    const double before = b == 0 ? 1.0 : cascade_share(b - 1, kBlocks, kLast);
    const double share = cascade_share(b, kBlocks, kLast) / before;
    std::vector<std::size_t> order(x.size() - 1);
    std::iota(order.begin(), order.end(), std::size_t{1});
    std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return importance[i] > importance[j]; });
    order.resize(static_cast<std::size_t>(std::ceil(share * static_cast<double>(order.size()) - 1e-6)));
    order.push_back(0);
    std::sort(order.begin(), order.end());
    Rows kept;
    std::vector<double> left;
    for (const std::size_t i : order) {
      kept.push_back(x[i]);
      left.push_back(importance[i]);
    }
    x = kept;
    importance = left;
    result.push_back(x);
  }
  return result;
}

/// Tokens go through the blocks unchanged, so that what is left says which were kept.
TEST(Cascade, keeps_what_got_most_attention_in_all_blocks_so_far) {
  Builder b;
  TokenFlow flow(b, {.spatten = kLast}, kBlocks, 64);
  ValueId x = b.points(kChannels, "tokens");
  for (std::int64_t i = 0; i < kBlocks; ++i) {
    const std::string name = std::to_string(i);
    x = flow.reduce(x, b.linear(x, kChannels, true, "q" + name), b.linear(x, kChannels, true, "k" + name), kHeads, i);
    b.output("left" + name, x);
  }
  const Graph graph = b.build();
  for (const std::uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    Weights weights = initial_weights(graph, seed);
    Rng rng(seed);
    std::vector<float> tokens;
    const std::vector<std::int64_t> begin{0, 1, 24, 41};  // one sample has the class token only
    for (std::int64_t i = 0; i < begin.back() * kChannels; ++i) tokens.push_back(static_cast<float>(2 * rng.normal()));
    Session session(Model(graph, weights));
    const TensorView rows{tokens.data(), Dtype::f32, Device::cpu, begin.back(), kChannels, kChannels};
    const Outputs& found = session.run({{"tokens", RowsView{rows, begin}}});
    std::vector<Rows> expected(kBlocks);
    for (std::size_t s = 1; s < begin.size(); ++s) {
      Rows sample;
      for (std::int64_t r = begin[s - 1]; r < begin[s]; ++r)
        sample.emplace_back(tokens.begin() + r * kChannels, tokens.begin() + (r + 1) * kChannels);
      const auto left = expected_rows(sample, weights);
      for (std::size_t i = 0; i < kBlocks; ++i) expected[i].insert(expected[i].end(), left[i].begin(), left[i].end());
    }
    for (std::size_t i = 0; i < kBlocks; ++i) {
      const auto y = found["left" + std::to_string(i)].matrix<const float>();
      ASSERT_EQ(y.rows, static_cast<std::int64_t>(expected[i].size())) << "block " << i;
      for (std::int64_t r = 0; r < y.rows; ++r)
        EXPECT_EQ(y(r, 0), static_cast<float>(expected[i][static_cast<std::size_t>(r)][0])) << i << ", row " << r;
    }
    EXPECT_LT(expected.back().size(), expected.front().size());
  }
}

}  // namespace
}  // namespace rarefy::models
