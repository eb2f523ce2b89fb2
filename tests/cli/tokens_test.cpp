// Models of tokens on the command line: inputs as arrays, fewer bits, fewer heads.
#include <cmath>

#include "base/rng.h"
#include "data/formats/npy_array.h"
#include "program.h"
#include "rarefy/models.h"

namespace rarefy::test {
namespace {

using testing::HasSubstr;

class Tokens : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    const Graph graph = models::build(
        "bert",
        {.settings = {{"dim", 24}, {"heads", 4}, {"hidden", 48}, {"depth", 4}, {"words", 50}, {"positions", 40}}});
    Model(graph, initial_weights(graph, 1)).save(path("encoder.safetensors"));
    Rng rng(2);
    std::vector<float> rows;
    for (int i = 0; i < 50; ++i) rows.insert(rows.end(), {static_cast<float>(rng.integer(0, 49)), 0.0f});
    NpzFile texts;
    texts.set("tokens", NpyArray::of<float>({50, 2}, rows));
    texts.set("tokens.begin", NpyArray::of<std::int64_t>({4}, std::vector<std::int64_t>{0, 20, 21, 50}));
    texts.write(path("texts.npz"));
  }

  std::vector<float> sentences(const std::string& model) const {
    const Result result = run("run " + model + " --input texts.npz --output out.npz");
    EXPECT_EQ(result.code, 0) << result.err;
    const NpzFile out = NpzFile::read(path("out.npz"));
    EXPECT_EQ(out.at("sentence").shape(), (std::vector<std::int64_t>{3, 24})) << "one row per sample";
    return out.at("sentence").to_floats();
  }
};

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

TEST_F(Tokens, samples_of_an_array_that_makes_no_sense_are_named) {
  NpzFile wrong = NpzFile::read(path("texts.npz"));
  wrong.set("tokens.begin", NpyArray::of<std::int64_t>({2}, std::vector<std::int64_t>{0, 49}));
  wrong.write(path("wrong.npz"));
  expect_error("run encoder.safetensors --input wrong.npz --output never.npz", 2, {"tokens", "sample_begin"});
}

TEST_F(Tokens, integers_are_calibrated_on_arrays) {
  const Result result = run("quantize --model encoder.safetensors --inputs texts.npz --out q.safetensors --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json()["inputs"], 1);
  EXPECT_EQ(result.json()["layers"], 24);
  EXPECT_EQ(result.json()["layers_in_all"], 24);
  const auto exact = sentences("encoder.safetensors"), rounded = sentences("q.safetensors");
  EXPECT_GT(cosine(exact, rounded), 0.99);
  EXPECT_NE(exact, rounded);
  expect_error("quantize --model encoder.safetensors --inputs texts.npz --data . --out x.safetensors", 2,
               {"either --data or --inputs"});
  expect_error("quantize --model encoder.safetensors --inputs texts.npz --bits auto --out x.safetensors", 2,
               {"--bits auto", "--inputs"});
  expect_error("quantize --model encoder.safetensors --inputs texts.npz --bits 16 --out x.safetensors", 2, {"16 bits"});
}

TEST_F(Tokens, heads_that_matter_least_go) {
  const Result result =
      run("compress --what heads --model encoder.safetensors --inputs texts.npz --ratio 0.5 --threads 1 --out "
          "h.safetensors "
          "--json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = result.json();
  EXPECT_EQ(json["heads"], 16);
  EXPECT_EQ(json["heads_kept"], 4 + 4 + 3 + 2);
  EXPECT_EQ(json["blocks"][3]["kept"].size(), 2u);
  EXPECT_NEAR(json["cosine"].get<double>(), cosine(sentences("encoder.safetensors"), sentences("h.safetensors")), 0.01);
  EXPECT_THAT(run("compress --what heads --model encoder.safetensors --inputs texts.npz --ratio 0.5 --by-block --out "
                  "b.safetensors")
                  .out,
              HasSubstr("13 of 16 heads stay"));
  expect_error("compress --what heads --inputs texts.npz --ratio 0.5 --out x.safetensors", 2, {"--model"});
  expect_error("compress --what heads --model encoder.safetensors --inputs texts.npz --ratio 1 --out x.safetensors", 2,
               {"--ratio '1'", "less than 1"});
  expect_error("compress --what voxels --inputs texts.npz --ratio 0.5 --out x.safetensors", 2, {"--data is missing"});
}

}  // namespace
}  // namespace rarefy::test
