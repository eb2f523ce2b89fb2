// rarefy tune, and the programs that take its file.
#include <fstream>

#include "cli/program.h"

namespace rarefy::test {
namespace {

using testing::HasSubstr;

TEST_F(Program, tune_writes_a_file_that_changes_times_but_no_label) {
  write_street("a.bin", true);
  write_street("b.bin");
  const Result tuned =
      run("tune net.safetensors a.bin b.bin --out net.tuning --threads 2 --repetitions 1 --training --json");
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  const auto json = tuned.json();
  EXPECT_EQ(json["scans"], 2);
  EXPECT_LE(json["largest_error"].get<double>(), 1.0);
  EXPECT_GT(json["default_ms"].get<double>(), 0);
  EXPECT_GT(json["tuned_ms"].get<double>(), 0);
  ASSERT_GT(json["layers"].size(), 3u);
  for (const auto& layer : json["layers"]) {
    for (const char* dataflow : {"blocked", "stationary", "on_demand"})
      EXPECT_GE(layer["forward_ms"][dataflow].get<double>(), 0) << layer;
    EXPECT_EQ(layer["weight_gradient_ms"].size(), 2u);
    EXPECT_EQ(layer["forward"] == "automatic", !json["pays"].get<bool>()) << layer;
  }
  ASSERT_EQ(run("segment a.bin --threads 2 --labels-out plain.label").code, 0);
  ASSERT_EQ(run("segment a.bin --threads 2 --labels-out tuned.label --tuning net.tuning").code, 0);
  EXPECT_EQ(shell("cmp plain.label tuned.label").code, 0);
  const Result text = run("tune net.safetensors a.bin --out again.tuning --threads 1 --repetitions 1");
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("tuned"));
  EXPECT_EQ(run("bench model --model net.safetensors --scan a.bin --repetitions 1 --tuning again.tuning").code, 0);
  EXPECT_EQ(run("stream a.bin --rate 0 --frames 2 --tuning again.tuning").code, 0);
  // Every layer in one dataflow, written by hand.
  std::ifstream in(path("again.tuning"));
  auto file = nlohmann::json::parse(in);
  for (auto& [name, layer] : file["layers"].items()) layer["forward"] = "on_demand";
  std::ofstream(path("hand.tuning")) << file;
  const auto profile =
      run("bench model --model net.safetensors --scan a.bin --repetitions 1 --profile --json --tuning hand.tuning")
          .json();
  int seen = 0;
  for (const auto& step : profile["profile"]) {
    if (step["dataflow"] == "") continue;
    EXPECT_EQ(step["dataflow"], "on_demand") << step["name"];
    ++seen;
  }
  EXPECT_GT(seen, 3);
}

TEST_F(Program, tune_says_what_is_wrong) {
  write_street("a.bin");
  expect_error("tune net.safetensors --out x.tuning", 2, {"scans", "net.safetensors"});
  expect_error("tune net.safetensors missing.bin --out x.tuning", 1, {"missing.bin"});
  expect_error("tune a.bin a.bin --out x.tuning", 1, {"a.bin"});
  expect_error("segment a.bin --tuning missing.tuning", 1, {"missing.tuning"});
  std::ofstream(path("bad.tuning")) << "{\"format\": \"rarefy tuning\", \"version\": 1";
  expect_error("segment a.bin --tuning bad.tuning", 1, {"bad.tuning", "JSON"});
  std::ofstream(path("other.tuning")) << R"({"format": "rarefy tuning", "version": 1, "cpu": "Babbage", "isa": "cogs",
    "threads": 1, "model": "00000000", "scan": {}, "layers": {}})";
  expect_error("segment a.bin --tuning other.tuning", 2, {"Babbage", "rarefy tune"});
}

TEST_F(Program, bench_dataflows_compares_them_per_layer_type) {
  write_street("a.bin");
  const Result result = run("bench dataflows --scan a.bin --threads 1 --repetitions 1 --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto rows = result.json()["rows"];
  ASSERT_GT(rows.size(), 6u);
  for (const auto& row : rows) {
    EXPECT_GT(row["forward_ms"]["blocked"].get<double>(), 0) << row;
    EXPECT_TRUE(row["forward_ms"].contains(row["default"].get<std::string>())) << row;
    EXPECT_GE(row["waste"].get<double>(), 0);
  }
  EXPECT_THAT(run("bench dataflows --scan a.bin --threads 1 --repetitions 1").out, HasSubstr("on demand"));
}

}  // namespace
}  // namespace rarefy::test
