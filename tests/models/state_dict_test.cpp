// State dicts of whole networks under the names of their projects: every layer finds its place, and what does not is
// told. The dicts are synthetic, made by the projects' definitions of names and layouts.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "models/foreign_fixture.h"
#include "rarefy/models.h"
#include "support/expect_error.h"
#include "support/safetensors.h"

namespace rarefy::models::foreign {
namespace {

using rarefy::test::expect_error;
using test::Library;
using test::Offset;

const Library& library(const std::string& source, bool reversed = false) {
  for (const Library& l : test::libraries())
    if (l.source == source && l.reversed == reversed) return l;
  throw std::logic_error("no such library");
}

/// Names of a convolution and its norm: ours, theirs, the norm's.
struct Names {
  std::string ours, conv, norm;
};

std::string text(const std::string& format, int a, int b = 0) {
  std::string result = format;
  const auto put = [&](const std::string& what, int value) {
    const std::size_t at = result.find(what);
    if (at != std::string::npos) result.replace(at, what.size(), std::to_string(value));
  };
  put("{A}", a);
  put("{B}", b);
  return result;
}

/// A residual block: `chain` has "{B}" for the position in the project's sequence, or conv1/bn1 style names.
void add_block(std::vector<Names>& all, const std::string& ours, const std::string& theirs, bool shortcut,
               const std::array<std::string, 4>& chain, const std::array<std::string, 2>& down) {
  all.push_back({ours + ".conv1", theirs + chain[0], theirs + chain[1]});
  all.push_back({ours + ".conv2", theirs + chain[2], theirs + chain[3]});
  if (shortcut) all.push_back({ours + ".shortcut", theirs + down[0], theirs + down[1]});
}

const std::array<std::string, 4> kSequence = {".net.0", ".net.1", ".net.3", ".net.4"};
const std::array<std::string, 2> kDownsample = {".downsample.0", ".downsample.1"};

/// In the order in which the project registers its modules. Stage 1 keeps its channels: no shortcut in its first block.
std::vector<Names> spvnas() {
  std::vector<Names> all = {{"stem.conv1", "stem.0", "stem.1"}, {"stem.conv2", "stem.3", "stem.4"}};
  for (int s = 1; s <= 4; ++s) {
    all.push_back({text("down{A}.conv", s), text("stage{A}.0.net.0", s), text("stage{A}.0.net.1", s)});
    for (int r = 1; r <= 2; ++r)
      add_block(all, text("down{A}.res{B}", s, r), text("stage{A}.{B}", s, r), r == 1 && s > 1, kSequence, kDownsample);
  }
  for (int s = 1; s <= 4; ++s) {
    all.push_back({text("up{A}.conv", s), text("up{A}.0.net.0", s), text("up{A}.0.net.1", s)});
    for (int r = 1; r <= 2; ++r)
      add_block(all, text("up{A}.res{B}", s, r), text("up{A}.1.{B}", s, r - 1), r == 1, kSequence, kDownsample);
  }
  return all;
}

/// @param unit   of a convolution with its norm: {".net.0", ".net.1"}
std::vector<Names> mmdet3d(const std::array<std::string, 2>& unit, const std::array<std::string, 4>& chain,
                           const std::array<std::string, 2>& down) {
  std::vector<Names> all;
  const auto add = [&](const std::string& ours, const std::string& at) {
    all.push_back({ours, at + unit[0], at + unit[1]});
  };
  add("stem.conv1", "backbone.conv_input.0");
  add("stem.conv2", "backbone.conv_input.1");
  for (int s = 1; s <= 4; ++s) {
    add(text("down{A}.conv", s), text("backbone.encoder.{A}.0", s - 1));
    for (int r = 1; r <= 2; ++r)
      add_block(all, text("down{A}.res{B}", s, r), text("backbone.encoder.{A}.{B}", s - 1, r), r == 1 && s > 1, chain,
                down);
  }
  for (int s = 1; s <= 4; ++s) {
    add(text("up{A}.conv", s), text("backbone.decoder.{A}.0", s - 1));
    for (int r = 1; r <= 2; ++r)
      add_block(all, text("up{A}.res{B}", s, r), text("backbone.decoder.{A}.1.{B}", s - 1, r - 1), r == 1, chain, down);
  }
  return all;
}

/// Our kernel of a graph with block rule: extents 3 are centred, 2 start at 0; lexicographic.
float our_element(const Tensor& ours, const Offset& size, const Offset& offset, std::int64_t ci, std::int64_t co) {
  std::int64_t k = 0;
  for (std::size_t a = 0; a < 3; ++a) k = k * size[a] + offset[a] + (size[a] == 3 ? 1 : 0);
  const auto& shape = ours.shape();
  const std::int64_t in = shape[shape.size() - 2], out = shape.back();
  return ours.as<float>()[static_cast<std::size_t>((k * in + ci) * out + co)];
}

/// The dict that a project would have saved for a network with our weights.
StateDict make_dict(const Weights& weights, const std::vector<Names>& names, const Library& lib,
                    const std::string& classifier) {
  StateDict dict;
  dict.ordered = true;
  const std::string leaf = lib.source == "torchsparse" || lib.source == "minkowski" ? ".kernel" : ".weight";
  for (const Names& n : names) {
    const Tensor& ours = weights.at(n.ours + ".weight");
    const auto& shape = ours.shape();
    const int extent = shape.size() == 2 ? 1 : shape[0] == 27 ? 3 : 2;
    const Offset size{extent, extent, extent};
    dict.tensors.emplace_back(n.conv + leaf,
                              test::stored_kernel(lib, size, shape[shape.size() - 2], shape.back(),
                                                  [&](const Offset& offset, std::int64_t ci, std::int64_t co) {
                                                    return our_element(ours, size, offset, ci, co);
                                                  }));
    for (const char* part : {"weight", "bias", "running_mean", "running_var"})
      dict.tensors.emplace_back(n.norm + "." + part, weights.at(n.ours + ".bn." + part));
    dict.tensors.emplace_back(n.norm + ".num_batches_tracked", Tensor(Dtype::i64, {}));
  }
  dict.tensors.emplace_back(classifier + ".weight", transposed(weights.at("classifier.weight")));
  dict.tensors.emplace_back(classifier + ".bias", weights.at("classifier.bias"));
  return dict;
}

Graph build(double width = 0.1) {
  return at("minkunet").build({.width = width, .classes = 7, .pipeline = semantic_kitti_pipeline()});
}

/// Different values everywhere, norms included.
Weights random_weights(const Graph& graph) {
  const Weights initial = initial_weights(graph, 11);
  Weights weights = initial;
  Rng rng(12);
  for (const auto& [name, unused] : initial.all())
    for (float& v : weights.mutable_at(name).mutable_as<float>()) v = static_cast<float>(rng.uniform(-1, 1));
  return weights;
}

void expect_equal(const Weights& found, const Weights& expected) {
  ASSERT_EQ(found.all().size(), expected.all().size());
  for (const auto& [name, tensor] : expected.all()) {
    ASSERT_EQ(found.at(name).shape(), tensor.shape()) << name;
    const auto a = found.at(name).as<float>(), b = tensor.as<float>();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin())) << name;
  }
}

struct Project {
  std::string source;
  std::vector<Names> names;
  std::string library, classifier;
};

std::vector<Project> projects() {
  return {{"spvnas", spvnas(), "torchsparse", "classifier.0"},
          {"mmdet3d", mmdet3d({".net.0", ".net.1"}, kSequence, kDownsample), "torchsparse", "decode_head.conv_seg"},
          {"mmdet3d", mmdet3d({".0", ".1"}, {".conv1", ".bn1", ".conv2", ".bn2"}, kDownsample), "spconv",
           "decode_head.conv_seg"},
          {"mmdet3d",
           mmdet3d({".net.0", ".net.1.bn"}, {".conv1", ".norm1.bn", ".conv2", ".norm2.bn"},
                   {".downsample.net.0", ".downsample.net.1.bn"}),
           "minkowski", "decode_head.conv_seg"}};
}

TEST(StateDict, of_projects_is_found_by_name_in_any_order) {
  const Graph graph = build();
  const Weights weights = random_weights(graph);
  for (const Project& project : projects()) {
    SCOPED_TRACE(project.source + " with " + project.library);
    StateDict dict = make_dict(weights, project.names, library(project.library), project.classifier);
    dict.tensors.emplace_back("point_transforms.0.0.weight", Tensor(Dtype::f32, {3, 4}));
    std::reverse(dict.tensors.begin(), dict.tensors.end());
    const Conversion found = convert(graph, dict, source(project.source));
    EXPECT_TRUE(found.complete());
    for (const Match& match : found.matched) EXPECT_TRUE(match.by_name) << match.ours << " <- " << match.theirs;
    ASSERT_EQ(found.unexpected.size(), 1u);
    EXPECT_EQ(found.unexpected[0], "point_transforms.0.0 (weight [3, 4])");
    expect_equal(found.weights, weights);
  }
}

TEST(StateDict, of_a_user_is_found_by_shape_and_order) {
  const Graph graph = build();
  const Weights weights = random_weights(graph);
  for (const auto& [from, reversed] : {std::pair{"torchsparse", false}, {"minkowski", false}, {"openpcdet", true}}) {
    SCOPED_TRACE(from);
    std::vector<Names> names = spvnas();
    int number = 0;
    for (Names& n : names) {
      n.conv = "my.layer" + std::to_string(number++);
      n.norm = "my.layer" + std::to_string(number++);
    }
    const StateDict dict = make_dict(weights, names, library(from, reversed), "my.head");
    const Conversion found = convert(graph, dict, source(from));
    EXPECT_TRUE(found.complete());
    EXPECT_TRUE(found.unexpected.empty());
    for (const Match& match : found.matched) EXPECT_FALSE(match.by_name);
    expect_equal(found.weights, weights);
  }
}

TEST(StateDict, what_does_not_match_is_listed) {
  const Graph graph = build();
  const Weights weights = random_weights(graph);
  StateDict dict = make_dict(weights, spvnas(), library("torchsparse"), "classifier.0");
  const auto drop = [&](const std::string& prefix) {
    std::erase_if(dict.tensors, [&](const auto& t) { return t.first.rfind(prefix, 0) == 0; });
  };
  drop("stage3.1.downsample.0");
  drop("up2.0.net.1.running_var");
  for (auto& [name, tensor] : dict.tensors)
    if (name == "classifier.0.weight") tensor = Tensor(Dtype::f32, {20, 9});
  const Conversion found = convert(graph, dict, source("spvnas"));
  EXPECT_FALSE(found.complete());
  ASSERT_EQ(found.missing.size(), 1u);
  EXPECT_EQ(found.missing[0].rfind("down3.res1.shortcut (weight [", 0), 0u) << found.missing[0];
  ASSERT_EQ(found.differs.size(), 2u);
  EXPECT_EQ(found.differs[0].ours, "up2.conv.bn");
  EXPECT_EQ(found.differs[0].found.find("running_var"), std::string::npos);
  EXPECT_EQ(found.differs[1].theirs, "classifier.0");
  EXPECT_EQ(found.differs[1].wanted, "weight [9, 7], bias [7]");
  EXPECT_EQ(found.differs[1].found, "bias [7], weight [20, 9]");
}

TEST(StateDict, another_width_differs_and_a_bias_without_a_place_is_no_match) {
  const Graph narrow = build(0.1), wide = build(0.2);
  const StateDict dict = make_dict(random_weights(wide), spvnas(), library("torchsparse"), "classifier.0");
  const Conversion found = convert(narrow, dict, source("spvnas"));
  EXPECT_GT(found.differs.size(), 80u);
  StateDict with_bias = make_dict(random_weights(narrow), spvnas(), library("torchsparse"), "classifier.0");
  with_bias.tensors.emplace_back("stem.0.bias", Tensor(Dtype::f32, {3}));
  const Conversion biased = convert(narrow, with_bias, source("spvnas"));
  ASSERT_EQ(biased.differs.size(), 1u);
  EXPECT_EQ(biased.differs[0].theirs, "stem.0");
}

class StateDictFile : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() / ("rarefy_state_dict_" + std::to_string(getpid()))).string();
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : load_state_dict(path_).tensors) all.push_back(name);
    return all;
  }
  std::string path_;
};

TEST_F(StateDictFile, keeps_the_order_where_the_file_does_and_sorts_otherwise) {
  const Tensor one(Dtype::f32, {1});
  const std::vector<std::pair<std::string, Tensor>> tensors = {
      {"module.b.10.w", one}, {"module.b.9.w", one}, {"module.a.w", one}};
  write(rarefy::test::safetensors(tensors, {{"order", "state_dict"}}));
  EXPECT_TRUE(load_state_dict(path_).ordered);
  EXPECT_EQ(names(), (std::vector<std::string>{"b.10.w", "b.9.w", "a.w"}));
  write(rarefy::test::safetensors(tensors));
  EXPECT_FALSE(load_state_dict(path_).ordered);
  EXPECT_EQ(names(), (std::vector<std::string>{"a.w", "b.9.w", "b.10.w"}));
  write(rarefy::test::safetensors({{"module.a.w", one}, {"step", one}}));
  EXPECT_EQ(names(), (std::vector<std::string>{"module.a.w", "step"}));
}

TEST_F(StateDictFile, damage_is_an_error) {
  const std::string whole = rarefy::test::safetensors({{"a.w", Tensor(Dtype::f32, {5})}});
  write(whole.substr(0, whole.size() - 3));
  expect_error<InputError>([&] { (void)load_state_dict(path_); }, {path_, "a.w"});
  write("no");
  expect_error<InputError>([&] { (void)load_state_dict(path_); }, {path_, "too few"});
  expect_error<IoError>([&] { (void)load_state_dict(path_ + ".missing"); }, {".missing"});
}

}  // namespace
}  // namespace rarefy::models::foreign
