// rarefy convert: from a state dict to a model file that labels scans. The dicts are synthetic.
#include <fstream>

#include "cli/program.h"
#include "models/foreign/layout.h"
#include "rarefy/models.h"
#include "support/safetensors.h"

namespace rarefy::test {
namespace {

using testing::HasSubstr;

/// The network of the fixture as a PyTorch user would have saved it, layers named by their number.
std::vector<std::pair<std::string, Tensor>> state_dict_of(const std::string& path) {
  const Model model = Model::load(path);
  std::vector<std::pair<std::string, Tensor>> tensors;
  int number = 0;
  for (const Node& node : model.graph().nodes()) {
    if (node.parameters.empty()) continue;
    for (const ParameterRef& p : node.parameters) {
      Tensor tensor = model.weights().at(p.name);
      if (node.op == "linear" && tensor.shape().size() == 2) tensor = models::foreign::transposed(tensor);
      const std::string leaf = p.name.substr(p.name.find_last_of('.') + 1);
      tensors.emplace_back("net." + std::to_string(number) + "." + (node.op == "sparse_conv" ? "kernel" : leaf),
                           tensor);
    }
    ++number;
  }
  return tensors;
}

void save(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

TEST_F(Program, convert_makes_a_model_that_labels) {
  // MinkowskiEngine's first axis runs fastest: read with the axes reversed, its order is ours.
  save(path("ckpt.safetensors"), safetensors(state_dict_of(path("net.safetensors")), {{"order", "state_dict"}}));
  const Result result =
      run("convert ckpt.safetensors --from minkowski --axes zyx --like net.safetensors --out new.safetensors --json");
  ASSERT_EQ(result.code, 0) << result.err << result.out;
  EXPECT_EQ(result.err, "");
  const auto json = result.json();
  EXPECT_EQ(json["by_name"], 0);
  EXPECT_EQ(json["by_order"], json["matched"].size());
  EXPECT_TRUE(json["missing"].empty() && json["differs"].empty() && json["unexpected"].empty());
  const Model before = Model::load(path("net.safetensors")), after = Model::load(path("new.safetensors"));
  EXPECT_EQ(after.notes.at("converted_from"), "ckpt.safetensors (minkowski)");
  for (const auto& [name, tensor] : before.weights().all()) {
    const auto a = tensor.as<float>(), b = after.weights().at(name).as<float>();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << name;
  }
  write_street("a.bin");
  EXPECT_EQ(run("segment a.bin --model new.safetensors").code, 0);
}

TEST_F(Program, convert_says_when_the_order_is_not_known) {
  save(path("ckpt.safetensors"), safetensors(state_dict_of(path("net.safetensors"))));
  const Result result = run("convert ckpt.safetensors --from minkowski --like net.safetensors --out new.safetensors");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("does not keep the order"));
  EXPECT_THAT(result.out, HasSubstr("<- net.0"));
}

TEST_F(Program, convert_writes_nothing_when_something_is_missing) {
  auto tensors = state_dict_of(path("net.safetensors"));
  tensors.erase(tensors.begin());
  tensors.emplace_back("extra.kernel", Tensor(Dtype::f32, {125, 2, 2}));
  save(path("ckpt.safetensors"), safetensors(tensors, {{"order", "state_dict"}}));
  const auto before = listing();
  const Result result = run("convert ckpt.safetensors --from minkowski --like net.safetensors --out new.safetensors");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(listing(), before);
  EXPECT_THAT(result.out, HasSubstr("differs     stem wants weight [27, 4, 16]; extra has kernel [125, 2, 2]"));
  EXPECT_THAT(result.err, HasSubstr("nothing was written"));
}

TEST_F(Program, convert_takes_the_pipeline_of_the_project) {
  ASSERT_EQ(run("inspect --builder minkunet --width 0.05 --save wide.safetensors").code, 0);
  save(path("ckpt.safetensors"), safetensors(state_dict_of(path("wide.safetensors")), {{"order", "state_dict"}}));
  const Result result =
      run("convert ckpt.safetensors --from spvnas --builder minkunet --width 0.05 --out new.safetensors");
  ASSERT_EQ(result.code, 0) << result.err << result.out;
  const auto pipeline = Model::load(path("new.safetensors")).pipeline();
  EXPECT_EQ(pipeline->rounding, "round_minus_min");
  EXPECT_EQ(pipeline->reduction, "first");
  EXPECT_EQ(pipeline->label_map, "spvnas");
}

TEST_F(Program, convert_lists_every_layer_of_which_nothing_was_found) {
  save(path("empty.safetensors"), safetensors({{"step", Tensor(Dtype::i64, {})}}));
  const Result result =
      run("convert empty.safetensors --from spvnas --builder minkunet --width 0.1 --out new.safetensors --json");
  EXPECT_EQ(result.code, 1);
  EXPECT_GT(result.json()["missing"].size(), 90u);
  EXPECT_FALSE(result.json().contains("out"));
}

TEST_F(Program, convert_makes_an_encoder_of_hugging_faces_state_dict) {
  const std::map<std::string, std::int64_t> settings{
      {"dim", 6}, {"depth", 1}, {"heads", 2}, {"hidden", 8}, {"words", 9}};
  const Graph graph = models::build("bert", {.settings = settings});
  const Weights weights = initial_weights(graph, 3);
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const auto& [name, tensor] : weights.all()) {
    const bool linear = tensor.shape().size() == 2 && name.find("embeddings") == std::string::npos;
    tensors.emplace_back("bert." + name, linear ? models::foreign::transposed(tensor) : tensor);
  }
  tensors.emplace_back("bert.pooler.dense.bias", Tensor(Dtype::f32, {6}));
  tensors.emplace_back("bert.embeddings.position_ids", Tensor(Dtype::i64, {1, 512}));
  save(path("ckpt.safetensors"), safetensors(tensors));
  const std::string set = " --set dim=6 --set depth=1 --set heads=2 --set hidden=8 --set words=9";
  const Result result =
      run("convert ckpt.safetensors --from huggingface --builder bert --out encoder.safetensors --json" + set);
  ASSERT_EQ(result.code, 0) << result.err << result.out;
  EXPECT_EQ(result.json()["by_order"], 0);
  EXPECT_TRUE(result.json()["unexpected"].empty());
  const Model encoder = Model::load(path("encoder.safetensors"));
  EXPECT_FALSE(encoder.pipeline().has_value());
  for (const auto& [name, tensor] : weights.all()) {
    const auto a = tensor.as<float>(), b = encoder.weights().at(name).as<float>();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << name;
  }
  expect_error("inspect --builder bert", 2, {"'bert' takes tokens", "minkunet"});
  expect_error("convert ckpt.safetensors --from huggingface --builder bert --set dimm=6 --out x", 2, {"dimm", "dim"});
  EXPECT_THAT(run("info --builders").out, HasSubstr("vit (takes an image)"));
  EXPECT_GE(run("info --builders --json").json().size(), 6u);
}

TEST_F(Program, convert_refuses_what_makes_no_sense) {
  save(path("ckpt.safetensors"), safetensors({{"a.weight", Tensor(Dtype::f32, {1})}}));
  expect_error("convert ckpt.safetensors --from spvnas --out x.safetensors", 2, {"--like", "--builder"});
  expect_error("convert ckpt.safetensors --from torchspars --like net.safetensors --out x", 2,
               {"'torchspars'", "torchsparse"});
  expect_error("convert ckpt.safetensors --like net.safetensors --out x", 2, {"--from"});
  expect_error("convert missing.safetensors --from spvnas --like net.safetensors --out x", 1, {"missing.safetensors"});
  expect_error("convert scans.bin --from spvnas --builder nothing --out x", 2, {"'nothing'", "minkunet"});
}

}  // namespace
}  // namespace rarefy::test
