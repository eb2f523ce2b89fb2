// Voxels that skip the blocks of a stage: exactly what the same block gives on the kept voxels alone.
#include "compress/drop_voxels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "compress/rewrite.h"
#include "compress/score_voxels.h"
#include "compress/small_network.h"
#include "oracle/graph.h"
#include "rarefy/builder.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy::compress {
namespace {

using testing::ElementsAre;

/// Sites in two dimensions, of two samples, with some channels each.
struct Sites {
  std::int64_t channels;
  std::vector<std::int32_t> coords;
  std::vector<float> values;

  std::int64_t rows() const { return static_cast<std::int64_t>(coords.size()) / 3; }
  SparseView view() const {
    auto* data = const_cast<float*>(values.data());
    return {coords.data(), {data, Dtype::f32, Device::cpu, rows(), channels, channels}, 2};
  }
};

Sites random_sites(std::int64_t channels, Rng& rng) {
  Sites sites{channels, {}, {}};
  for (std::int32_t sample = 0; sample < 2; ++sample)
    for (std::int32_t x = -6; x < 6; ++x)
      for (std::int32_t y = -6; y < 6; ++y) {
        if (rng.chance(0.5)) continue;
        sites.coords.insert(sites.coords.end(), {sample, x, y});
        for (std::int64_t c = 0; c < channels; ++c) sites.values.push_back(static_cast<float>(rng.uniform(0.0, 1.0)));
      }
  return sites;
}

ValueId residual(Builder& b, ValueId x, std::int64_t channels, const std::string& name) {
  const auto layer = [&](ValueId v, const ConvOptions& o) {
    return b.batch_norm(b.conv(v, o), 1e-5, 0.1, o.name + ".bn");
  };
  const ValueId first = b.relu(layer(x, {.channels = channels, .kernel = {3}, .name = name + ".conv1"}));
  const ValueId second = layer(first, {.channels = channels, .kernel = {3}, .name = name + ".conv2"});
  const ValueId shortcut =
      b.type(x).channels == channels ? x : layer(x, {.channels = channels, .kernel = {1}, .name = name + ".shortcut"});
  return b.relu(b.add_values(second, shortcut));
}

Weights lively(const Graph& graph, std::uint64_t seed) {
  Weights weights = initial_weights(graph, seed);
  Rng rng(seed, 1);
  for (const Node& node : graph.nodes())
    if (node.op == "batch_norm")
      for (int p = 0; p < 2; ++p)
        for (float& v : weights.mutable_at(node.parameters[static_cast<std::size_t>(p)].name).mutable_as<float>())
          v = static_cast<float>(0.3 + rng.uniform());
  return weights;
}

/// One block alone, with the weights of its part of a network.
Model block_alone(const Weights& all, const std::string& name, std::int64_t in, std::int64_t out, bool branch) {
  Builder b;
  const ValueId x = b.sparse_input(in, 2);
  if (branch) {
    b.output("y", residual(b, x, out, name));
  } else {  // what is left of the block for a voxel that skips it
    const ValueId short_way = b.conv(x, {.channels = out, .kernel = {1}, .name = name + ".shortcut"});
    b.output("y", b.relu(b.batch_norm(short_way, 1e-5, 0.1, name + ".shortcut.bn")));
  }
  return Model(b.build(), all);
}

/// The rows that a slow selection keeps: of each sample the share with the largest mean of |x|, at least one.
std::vector<char> slow_choice(const Sites& sites, double share) {
  std::vector<char> kept(static_cast<std::size_t>(sites.rows()), 0);
  for (std::int32_t sample = 0; sample < 2; ++sample) {
    std::vector<std::pair<float, std::int64_t>> order;
    for (std::int64_t r = 0; r < sites.rows(); ++r) {
      if (sites.coords[static_cast<std::size_t>(3 * r)] != sample) continue;
      float sum = 0;
      for (std::int64_t c = 0; c < sites.channels; ++c)
        sum += std::abs(sites.values[static_cast<std::size_t>(r * sites.channels + c)]);
      order.emplace_back(-sum, r);
    }
    std::sort(order.begin(), order.end());
    const auto count = std::max(1.0, std::ceil(share * static_cast<double>(order.size())));
    for (std::size_t i = 0; i < order.size() && static_cast<double>(i) < count; ++i)
      kept[static_cast<std::size_t>(order[i].second)] = 1;
  }
  return kept;
}

/// One block by hand: the kept rows run alone, the others take the shortcut.
Sites block_by_hand(const Weights& weights, const std::string& name, const Sites& in, const std::vector<char>& kept,
                    std::int64_t channels) {
  Sites inside{in.channels, {}, {}};
  for (std::int64_t r = 0; r < in.rows(); ++r) {
    if (kept[static_cast<std::size_t>(r)] == 0) continue;
    inside.coords.insert(inside.coords.end(), in.coords.begin() + 3 * r, in.coords.begin() + 3 * (r + 1));
    inside.values.insert(inside.values.end(), in.values.begin() + in.channels * r,
                         in.values.begin() + in.channels * (r + 1));
  }
  Sites out{channels, in.coords, {}};
  if (channels == in.channels) {
    out.values = in.values;
  } else {
    Session light(block_alone(weights, name, in.channels, channels, false));
    const auto y = light.run({{"x", in.view()}})["y"].as<float>();
    out.values.assign(y.begin(), y.end());
  }
  Session whole(block_alone(weights, name, in.channels, channels, true));
  const auto y = whole.run({{"x", inside.view()}})["y"].as<float>();
  std::int64_t next = 0;
  for (std::int64_t r = 0; r < in.rows(); ++r) {
    if (kept[static_cast<std::size_t>(r)] == 0) continue;
    std::copy_n(y.begin() + channels * next++, channels, out.values.begin() + channels * r);
  }
  return out;
}

TEST(DropVoxels, equals_the_blocks_run_on_the_kept_voxels_alone) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    Builder b;
    const ValueId x = b.sparse_input(4, 2);
    const ValueId one = residual(b, x, 4, "s.one"), two = residual(b, one, 4, "s.two");
    const ValueId three = residual(b, two, 4, "s.three"), four = residual(b, three, 6, "s.four");
    b.output("y", four);
    const Graph graph = b.build();
    const Model model(graph, lively(graph, seed));
    const std::map<std::string, double> ratios = {{"s.one", 0.3}, {"s.two", 0.3}, {"s.three", 0.5}, {"s.four", 0.75}};
    const Model dropped = drop_voxels(model, {.ratios = ratios});
    Rng rng(seed);
    const Sites start = random_sites(4, rng);
    Sites expected = start;
    for (const char* name : {"s.one", "s.two", "s.three", "s.four"}) {
      const auto kept = slow_choice(start, 1.0 - ratios.at(name));  // of the stage's input
      expected = block_by_hand(model.weights(), name, expected, kept, std::string(name) == "s.four" ? 6 : 4);
    }
    for (const bool fuse : {true, false}) {
      Session session(dropped, {.threads = 2, .plan = {.fuse = fuse, .share_memory = fuse}});
      const Outputs& found = session.run({{"x", start.view()}});
      const auto y = found["y"].matrix<const float>();
      ASSERT_EQ(y.rows, start.rows());
      for (std::int64_t r = 0; r < y.rows; ++r)
        for (std::int64_t c = 0; c < y.cols; ++c)
          ASSERT_NEAR(y(r, c), expected.values[static_cast<std::size_t>(r * 6 + c)], 1e-5) << r << " " << c;
    }
  }
}

std::vector<std::string> names_of(const std::vector<ResidualBlock>& blocks) {
  std::vector<std::string> names;
  for (const ResidualBlock& block : blocks) names.push_back(block.stage + "/" + block.name);
  return names;
}

TEST(DropVoxels, finds_the_blocks_of_the_networks) {
  const models::ModelOptions options{.width = 0.2, .pipeline = models::semantic_kitti_pipeline(0.2)};
  EXPECT_THAT(
      names_of(residual_blocks(models::build("minkunet", options))),
      ElementsAre("down1/down1.res1", "down1/down1.res2", "down2/down2.res1", "down2/down2.res2", "down3/down3.res1",
                  "down3/down3.res2", "down4/down4.res1", "down4/down4.res2", "up1/up1.res1", "up1/up1.res2",
                  "up2/up2.res1", "up2/up2.res2", "up3/up3.res1", "up3/up3.res2", "up4/up4.res1", "up4/up4.res2"));
  EXPECT_EQ(residual_blocks(models::build("spvcnn", options)).size(), 16u);
  EXPECT_TRUE(residual_blocks(models::build("minkunet_small", options)).empty());
}

/// The branch is one convolution, so that a kept voxel, which sees all voxels, gets what it gets without dropping; the
/// others get the mean over those kept in their cell, or nothing.
TEST(DropVoxels, cells_share_what_their_kept_voxels_get) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    Builder b;
    const ValueId x = b.sparse_input(4, 2);
    const ValueId branch = b.conv(x, {.channels = 4, .kernel = {3}, .name = "s.one.conv"});
    b.output("branch", branch);
    b.output("y", b.relu(b.add_values(branch, x)));
    Builder own;  // the same without the second output, which would be a reader of the branch
    const ValueId same = own.sparse_input(4, 2);
    own.output("y",
               own.relu(own.add_values(own.conv(same, {.channels = 4, .kernel = {3}, .name = "s.one.conv"}), same)));
    const Graph graph = own.build();
    const Weights weights = initial_weights(graph, seed);
    const Model dropped =
        drop_voxels(Model(graph, weights), {.ratios = {{"s", 0.6}}, .surroundings = Surroundings::cells, .cell = 3});
    Rng rng(seed);
    const Sites sites = random_sites(4, rng);
    Session dense(Model(b.build(), weights)), sparse(dropped);
    const auto full = dense.run({{"x", sites.view()}})["branch"].matrix<const float>();
    const auto found = sparse.run({{"x", sites.view()}})["y"].matrix<const float>();
    const auto kept = slow_choice(sites, 0.4);
    const auto cell = [&](std::int64_t r) {
      const auto at = [&](std::int64_t i) { return sites.coords[static_cast<std::size_t>(3 * r + i)]; };
      return std::array<int, 3>{at(0), (at(1) + 30) / 3, (at(2) + 30) / 3};
    };
    int shared = 0, lone = 0;
    for (std::int64_t r = 0; r < sites.rows(); ++r) {
      std::vector<std::int64_t> from;
      for (std::int64_t o = 0; o < sites.rows(); ++o)
        if (kept[static_cast<std::size_t>(o)] != 0 &&
            (kept[static_cast<std::size_t>(r)] != 0 ? o == r : cell(o) == cell(r)))
          from.push_back(o);
      (from.empty() ? lone : shared) += kept[static_cast<std::size_t>(r)] == 0 ? 1 : 0;
      for (std::int64_t c = 0; c < 4; ++c) {
        float added = 0;
        for (const std::int64_t o : from) added += full(o, c) / static_cast<float>(from.size());
        const float expected = std::max(0.0f, added + sites.values[static_cast<std::size_t>(4 * r + c)]);
        ASSERT_NEAR(found(r, c), expected, 1e-5) << r << " " << c;
      }
    }
    EXPECT_GT(shared, 5);
    EXPECT_GT(lone, 0);
  }
}

/// Whole networks against the oracle, which runs the changed graph in plain double precision.
TEST(DropVoxels, networks_equal_the_oracle_and_survive_the_file) {
  for (const char* builder : {"minkunet", "spvcnn"}) {
    for (const Scores sharing : {Scores::per_stage, Scores::per_space}) {
      const models::ModelOptions options{.width = 0.15, .classes = 4, .pipeline = models::semantic_kitti_pipeline(0.2)};
      const Graph graph = models::build(builder, options);
      const Model model(graph, lively(graph, 5), options.pipeline);
      DropVoxelsOptions how{.ratios = {{"down1", 0.5}, {"down2.res2", 0.6}, {"up3", 0.5}, {"up4", 0.25}},
                            .thresholds = {{"up4.res1", 0.2}, {"up4.res2", 0.2}},
                            .plain = sharing == Scores::per_stage ? PlainScore::spread : PlainScore::magnitude,
                            .sharing = sharing,
                            .surroundings = sharing == Scores::per_stage ? Surroundings::cells : Surroundings::kept};
      const Model dropped = drop_voxels(model, how);
      EXPECT_TRUE(drops_voxels(dropped.graph()));
      EXPECT_FALSE(drops_voxels(model.graph()));
      EXPECT_EQ(dropped.graph().parameters(), graph.parameters());
      OpExample::Data data{"points", {}, test::some_points(3, 400), 400, 4, {0, 150, 400}, -1};
      const auto expected = oracle::run(dropped.graph(), dropped.weights(), {data});
      const PointView view{data.values.data(), 400, 16, {0, 4, 8, 12}, data.sample_begin};
      Session session(dropped, {.threads = 2});
      test::expect_matches(session.run({{"points", view}}), "logits", expected.at("=logits"), 1e-4);
      const Model loaded = Model::parse(dropped.serialize(), "memory");
      Session again(loaded);
      EXPECT_EQ(test::bits_of(session.run({{"points", view}})["logits"]),
                test::bits_of(again.run({{"points", view}})["logits"]));
    }
  }
}

TEST(DropVoxels, computes_less) {
  const Model model = test::small_network(2);
  const Model half = drop_voxels(model, {.ratios = {{"up3", 0.5}, {"up4", 0.5}}});
  const Model most = drop_voxels(model, {.ratios = {{"up3", 0.9}, {"up4", 0.9}}});
  const std::vector<float> points = test::some_points(1, 4000);
  std::vector<std::int64_t> macs;
  for (const Model& m : {model, half, most}) {
    Session session(m);
    session.run({{"points", test::view_of(points)}});
    macs.push_back(session.statistics().macs);
  }
  EXPECT_LT(macs[1], macs[0] * 9 / 10);
  EXPECT_LT(macs[2], macs[1]);
}

/// A map for the encoder and one for the decoder, or one for both.
TEST(DropVoxels, shared_scores_share_maps) {
  const Model model = test::small_network(2);
  const auto maps = [&](Scores sharing) {
    const Model m = drop_voxels(model, {.ratios = {{"down1", 0.5}, {"up3", 0.5}}, .sharing = sharing});
    return std::count_if(m.graph().nodes().begin(), m.graph().nodes().end(),
                         [](const Node& node) { return node.op == "kernel_map"; });
  };
  EXPECT_EQ(maps(Scores::per_stage), maps(Scores::per_space) + 1);
}

/// A learned score takes the place of the magnitude; here it is the first channel alone.
TEST(DropVoxels, learned_scores) {
  Builder b;
  const ValueId x = b.sparse_input(3, 2);
  b.output("y", residual(b, x, 3, "s.one"));
  const Graph graph = b.build();
  const Model model(graph, lively(graph, 4));
  const Model dropped =
      drop_voxels(model, {.ratios = {{"s", 0.5}}, .scores = {{"s", {.weight = {1.0f, 0.0f, 0.0f}, .bias = -3.0f}}}});
  const std::vector<std::int32_t> coords{0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1};
  std::vector<float> values{0.1f, 9, 9, 0.2f, 1, 1, 0.3f, 0, 0, 0.05f, 5, 5};
  Session session(dropped);
  const auto y =
      session.run({{"x", SparseView{coords.data(), {values.data(), Dtype::f32, Device::cpu, 4, 3, 3}, 1}}})["y"]
          .as<float>();
  for (const int r : {0, 3})
    for (int c = 0; c < 3; ++c)
      EXPECT_EQ(y[static_cast<std::size_t>(3 * r + c)], values[static_cast<std::size_t>(3 * r + c)]);
  EXPECT_NE(y[3], values[3]);
  EXPECT_NE(y[6], values[6]);
}

/// Of a learned score and of the place, in the proportion asked for; by place alone, random and spread differ.
TEST(DropVoxels, place_counts_beside_a_learned_score) {
  const Model model = test::small_network(2);
  const std::vector<float> points = test::some_points(1, 2000);
  const std::vector<Inputs> scans{{{"points", test::view_of(points)}}};
  DropVoxelsOptions how{.ratios = {{"up4", 0.5}}};
  const auto kept_with = [&](const DropVoxelsOptions& options) {
    const Model dropped = drop_voxels(model, options);
    for (const Node& node : dropped.graph().nodes())
      if (node.op == "select_best") {
        Session session(with_outputs(dropped, {{"scores", node.inputs[0]}}));
        const auto scores = session.run(scans[0])["scores"].as<float>();
        return std::vector<float>(scores.begin(), scores.end());
      }
    return std::vector<float>();
  };
  const auto in_order = [](const std::vector<float>& a, const std::vector<float>& b) {  // share of pairs alike
    std::int64_t alike = 0, pairs = 0;
    for (std::size_t i = 0; i + 7 < a.size(); ++i, ++pairs) alike += (a[i] < a[i + 7]) == (b[i] < b[i + 7]) ? 1 : 0;
    return static_cast<double>(alike) / static_cast<double>(pairs);
  };
  how.scores = learn_scores(model, scans);
  const auto learned = kept_with(how);
  how.spread = 1e-3;
  EXPECT_GT(in_order(learned, kept_with(how)), 0.98);
  how.spread = 1e3;
  const auto by_place = kept_with(how);
  how.scores.clear();
  how.spread = 0;
  how.plain = PlainScore::spread;
  EXPECT_GT(in_order(by_place, kept_with(how)), 0.98);
  how.plain = PlainScore::random;
  (void)drop_voxels(model, {.ratios = {{"down1", 0.8}, {"up3", 0.2}}, .plain = PlainScore::random});  // need not nest
  EXPECT_LT(in_order(by_place, kept_with(how)), 0.9);
  EXPECT_GT(how.ratios.size(), 0u);
}

/// However high the threshold, one voxel of each scan stays; a scan without voxels is no trouble.
TEST(DropVoxels, one_voxel_always_stays) {
  const Model model = test::small_network(2);
  DropVoxelsOptions how;
  for (const ResidualBlock& block : residual_blocks(model.graph())) {
    how.ratios[block.name] = 0.5;
    how.thresholds[block.name] = 1e30;
  }
  Session session(drop_voxels(model, how));
  const std::vector<float> points = test::some_points(1, 500);
  EXPECT_EQ(session.run({{"points", test::view_of(points)}})["labels"].rows, 500);
  for (const StepProfile& p : session.profile()) {
    if (p.op == "select_best") {
      EXPECT_EQ(p.rows, 1) << p.name;
    }
  }
  EXPECT_EQ(session.run({{"points", PointView{points.data(), 0, 16, {0, 4, 8, 12}}}})["labels"].rows, 0);
}

TEST(DropVoxels, complains) {
  const Model model = test::small_network(2);
  const auto expect = [&](const DropVoxelsOptions& how, std::initializer_list<std::string> words) {
    test::expect_error<UsageError>([&] { (void)drop_voxels(model, how); }, words);
  };
  expect({.ratios = {{"up3", 1.0}}}, {"up3", "less than 1"});
  expect({.ratios = {{"up3", -0.1}}}, {"up3", "-0.1"});
  expect({.ratios = {{"up5", 0.5}}}, {"no block 'up5'", "down1.res1"});
  expect({.ratios = {{"up3.res1", 0.5}, {"up3.res2", 0.4}}}, {"up3.res2", "0.4", "must not fall"});
  expect({.ratios = {{"up3", 0.5}}, .scores = {{"up3", {.weight = {1.0f}}}}}, {"up3", "1 weights"});
  const Model dropped = drop_voxels(model, {.ratios = {{"up3", 0.5}}});
  test::expect_error<UnsupportedError>([&] { (void)drop_voxels(dropped, {.ratios = {{"up3", 0.5}}}); }, {"already"});
}

}  // namespace
}  // namespace rarefy::compress
