#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/crc32.h"
#include "graph/json_io.h"
#include "rarefy/builder.h"
#include "rarefy/error.h"
#include "rarefy/model.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

using Bytes = std::vector<std::uint8_t>;

Model small_model() {
  Builder b;
  const ValueId x = b.sparse_input(3, 3);
  b.output("y", b.linear(b.relu(b.batch_norm(b.conv(x, {.channels = 4, .name = "conv"}))), 2, true, "head"));
  const Graph graph = b.build();
  Pipeline pipeline;
  pipeline.features = {{"x", "m", 0.5, 2.0, 0.0}, {"intensity", "1", 0.0, 1.0, -1.0}};
  pipeline.classes = {{"car", 10, {1, 2, 3}}, {"road", 40, {4, 5, 6}}};
  pipeline.label_map = "semantic_kitti";
  pipeline.crop_min = {-50, -50, -4};
  pipeline.crop_max = {50, 50, 4};
  Model model(graph, initial_weights(graph, 7), pipeline);
  model.notes["licence"] = "Apache-2.0";
  return model;
}

/// A header's length and text.
Bytes with_header(const std::string& json) {
  Bytes bytes;
  for (std::size_t i = 0; i < 8; ++i) bytes.push_back(static_cast<std::uint8_t>(json.size() >> (8 * i)));
  for (const char c : json) bytes.push_back(static_cast<std::uint8_t>(c));
  return bytes;
}

/// A file made by hand from a header and data, with the right length and, unless told otherwise, the right checksum.
Bytes file_of(FileHeader header, const Bytes& data, bool fix_checksum = true) {
  if (fix_checksum) {
    std::string text = header.metadata.count("graph") != 0 ? header.metadata["graph"] : "";
    if (header.metadata.count("pipeline") != 0) text += header.metadata["pipeline"];
    std::uint32_t crc = crc32({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    crc = crc32(data, crc);
    char hex[9];
    std::snprintf(hex, sizeof hex, "%08x", crc);
    header.metadata["crc32"] = hex;
  }
  Bytes bytes = with_header(header_to_json(header));
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

struct Parts {
  FileHeader header;
  Bytes data;
};
Parts parts_of(const Bytes& bytes) {
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) length |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  const std::string text(bytes.begin() + 8, bytes.begin() + 8 + static_cast<std::ptrdiff_t>(length));
  return {header_from_json(text, "test"), Bytes(bytes.begin() + 8 + static_cast<std::ptrdiff_t>(length), bytes.end())};
}

TEST(Crc32, check_value) {
  const std::string text = "123456789";  // the standard check value of this polynomial
  EXPECT_EQ(crc32({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}), 0xCBF43926u);
}

TEST(ModelFile, round_trip_keeps_everything) {
  const Model model = small_model();
  const Bytes bytes = model.serialize();
  const Model loaded = Model::parse(bytes, "memory");
  EXPECT_EQ(loaded.serialize(), bytes);
  ASSERT_TRUE(loaded.pipeline());
  EXPECT_EQ(loaded.pipeline()->features[1].missing, -1.0);
  EXPECT_EQ(loaded.pipeline()->classes[1].name, "road");
  EXPECT_EQ(loaded.pipeline()->crop_max, (std::vector<double>{50, 50, 4}));
  EXPECT_EQ(loaded.notes.at("licence"), "Apache-2.0");
  EXPECT_EQ(loaded.graph().to_text(), model.graph().to_text());
}

TEST(ModelFile, parameters_in_16_bits_are_kept_so_and_read_as_fp32) {
  const Model model = small_model();
  Weights weights = model.weights();
  Tensor halves(Dtype::f16, weights.at("head.weight").shape());
  for (std::size_t i = 0; i < 8; ++i) halves.mutable_as<Half>()[i].bits = static_cast<std::uint16_t>(0x3C00 + 256 * i);
  weights.set("head.weight", halves);
  const Model half(model.graph(), weights, model.pipeline());
  const Bytes bytes = half.serialize();
  const Model loaded = Model::parse(bytes, "memory");
  EXPECT_EQ(loaded.serialize(), bytes);
  EXPECT_EQ(loaded.weights().at("head.weight").dtype(), Dtype::f16);
  const Tensor values = loaded.weights().resolve({"head.weight", {}});
  ASSERT_EQ(values.shape(), (std::vector<std::int64_t>{4, 2}));
  const float expected[] = {1.0f, 1.25f, 1.5f, 1.75f, 2.0f, 2.5f, 3.0f, 3.5f};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(values.as<float>()[i], expected[i]);
  const Tensor part = loaded.weights().resolve({"head.weight", {{{1, 3}, {1, 2}}}});
  EXPECT_EQ((std::vector<float>{part.as<float>().begin(), part.as<float>().end()}), (std::vector<float>{1.75f, 2.5f}));

  Parts parts = parts_of(bytes);
  for (TensorEntry& entry : parts.header.tensors)
    if (entry.name == "head.weight") entry.dtype = Dtype::f32;
  test::expect_error<InputError>([&] { (void)Model::parse(file_of(parts.header, parts.data), "damaged"); },
                                 {"head.weight", "needs 32 bytes", "give 16"});
  for (TensorEntry& entry : parts.header.tensors)
    if (entry.name == "head.weight") entry.dtype = Dtype::bf16;
  test::expect_error<ShapeError>([&] { (void)Model::parse(file_of(parts.header, parts.data), "other"); },
                                 {"head.weight", "bf16", "expected f32 or f16"});
}

TEST(ModelFile, saved_and_loaded_from_disk) {
  const auto path = std::filesystem::temp_directory_path() / "rarefy_model_file_test.safetensors";
  small_model().save(path.string());
  EXPECT_EQ(Model::load(path.string()).serialize(), small_model().serialize());
  std::filesystem::remove(path);
  test::expect_error<IoError>([&] { (void)Model::load(path.string()); }, {path.string()});
  test::expect_error<IoError>([&] { small_model().save("/nonexistent/m.safetensors"); }, {"/nonexistent"});
}

TEST(ModelFile, every_truncation_is_refused) {
  const Bytes bytes = small_model().serialize();
  for (std::size_t size = 0; size < bytes.size(); size += size < 64 ? 1 : 97) {
    EXPECT_THROW((void)Model::parse({bytes.data(), size}, "cut"), Error) << size;
  }
}

TEST(ModelFile, every_flipped_bit_of_data_and_graph_is_noticed) {
  const Bytes bytes = small_model().serialize();
  test::for_random_cases(300, [&](Rng& rng) {
    Bytes damaged = bytes;
    const auto at = static_cast<std::size_t>(rng.integer(8, static_cast<std::int64_t>(bytes.size()) - 1));
    damaged[at] ^= static_cast<std::uint8_t>(1 << rng.integer(0, 7));
    try {
      // What survives may differ only where the checksum does not reach: notes and the padding after the header.
      const Model model = Model::parse(damaged, "damaged");
      EXPECT_EQ(model.graph().to_text(), small_model().graph().to_text());
      EXPECT_EQ(model.weights().at("head.weight").as<float>()[0],
                small_model().weights().at("head.weight").as<float>()[0]);
    } catch (const Error&) {
    }
  });
}

TEST(ModelFile, damage_is_named) {
  const Parts good = parts_of(small_model().serialize());
  const auto refused = [&](const char* what, auto change, std::initializer_list<std::string> words) {
    Parts bad = good;
    change(bad);
    SCOPED_TRACE(what);
    test::expect_error<Error>([&] { (void)Model::parse(file_of(bad.header, bad.data), "model.safetensors"); }, words);
  };
  refused("overlap", [](Parts& p) { p.header.tensors[1].begin -= 4, p.header.tensors[1].end -= 4; },
          {"model.safetensors", "overlaps"});
  refused("outside", [](Parts& p) { p.header.tensors.back().end += 400; }, {"data section"});
  refused("gap", [](Parts& p) { p.data.insert(p.data.end(), 12, 0); }, {"12 bytes", "belong to no tensor"});
  refused("shape", [](Parts& p) { p.header.tensors[0].shape[0] += 1; }, {"needs"});
  refused("absurd shape",
          [](Parts& p) {
            p.header.tensors[0].shape = {1ll << 62, 1ll << 62};
          },
          {"more than the file can hold"});
  refused("negative", [](Parts& p) { p.header.tensors[0].shape[0] = -4; }, {"shape"});
  refused("no graph", [](Parts& p) { p.header.metadata.erase("graph"); }, {"'graph'"});
  refused("other format", [](Parts& p) { p.header.metadata["format"] = "pt"; }, {"'pt'", "rarefy"});
  refused("newer file", [](Parts& p) { p.header.metadata["version"] = "2"; }, {"version 2", "update rarefy"});
  refused("missing weight",
          [](Parts& p) {
            const auto size = p.header.tensors.back().end - p.header.tensors.back().begin;
            p.header.tensors.pop_back();
            p.data.resize(p.data.size() - size);
          },
          {"missing"});
  const auto replace = [](Parts& p, const std::string& from, const std::string& to) {
    std::string& text = p.header.metadata["graph"];
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
  };
  refused("unknown op", [&](Parts& p) { replace(p, "\"op\":\"relu\"", "\"op\":\"relu9\""); },
          {"relu9", "newer version"});
  refused("newer graph", [&](Parts& p) { replace(p, "\"version\":1", "\"version\":9"); },
          {"version 9", "update rarefy"});
  refused("duplicate key", [&](Parts& p) { replace(p, "{\"version\":1", "{\"version\":1,\"version\":1"); },
          {"'version' twice"});
  refused("unknown input", [&](Parts& p) { replace(p, "\"inputs\":[\"conv\"]", "\"inputs\":[\"konv\"]"); }, {"konv"});
  refused("wrong type", [&](Parts& p) { replace(p, "\"nodes\":[", "\"nodes\":[7,"); }, {"wrong type"});
}

TEST(ModelFile, checksum_is_checked) {
  Parts parts = parts_of(small_model().serialize());
  parts.data[5] ^= 1;
  test::expect_error<InputError>([&] { (void)Model::parse(file_of(parts.header, parts.data, false), "m"); },
                                 {"m:", "checksum", "damaged"});
}

TEST(ModelFile, duplicate_tensors_deep_nesting_and_huge_headers_are_refused) {
  const std::string entry = R"("a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  test::expect_error<InputError>([&] { (void)Model::parse(with_header("{" + entry + "," + entry + "}"), "m"); },
                                 {"'a' twice"});
  test::expect_error<InputError>([&] { (void)Model::parse(with_header(std::string(100000, '[')), "m"); },
                                 {"nested deeper"});
  test::expect_error<InputError>([&] { (void)Model::parse(with_header("[]"), "m"); }, {"not a JSON object"});
  test::expect_error<UnsupportedError>(
      [&] { (void)Model::parse(with_header(R"({"a":{"dtype":"F8","shape":[0],"data_offsets":[0,0]}})"), "m"); },
      {"F8"});
  Bytes huge(16, 0xFF);
  test::expect_error<InputError>([&] { (void)Model::parse(huge, "m"); }, {"header claims"});
}

}  // namespace
}  // namespace rarefy
