#include <gmock/gmock.h>

#include <cstdio>
#include <fstream>
#include <limits>
#include <thread>

#include "plain.h"
#include "rarefy/builder.h"
#include "rarefy/c.h"
#include "rarefy/session.h"
#include "support/random_cases.h"
#include "support/random_sites.h"

namespace rarefy::test {
namespace {

using testing::HasSubstr;

/// Points (x, y, z, intensity) to labels, with logits over voxels; weights from a seed.
Model point_model() {
  Builder b;
  const auto points = b.points(4);
  const auto voxels = b.voxelize(points, {.voxel_size = {0.2, 0.2, 0.2}});
  auto x = b.relu(b.batch_norm(b.conv(b.reduce(points, voxels.index), {.channels = 8})));
  x = b.linear(x, 5);
  b.output("logits", x);
  b.output("labels", b.gather(b.argmax(x), voxels.index, 255));
  const Graph graph = b.build();
  Pipeline pipeline;
  pipeline.voxel_size = {0.2, 0.2, 0.2};
  for (const char* name : {"car", "road", "tree", "pole", "sign"}) pipeline.classes.push_back({name, 0, {}});
  return {graph, initial_weights(graph, 7), pipeline};
}

/// Sparse [N, 3] to features at stride 2.
Model sparse_model() {
  Builder b;
  const auto x = b.sparse_input(3, 3);
  b.output("y", b.conv(b.conv(x, {.channels = 8}), {.channels = 6, .kernel = {2}, .stride = {2}}));
  const Graph graph = b.build();
  Model model(graph, initial_weights(graph, 7));
  return model;
}

std::vector<float> random_scan(Rng& rng) {
  std::vector<float> points(static_cast<std::size_t>(4 * rng.integer(0, 500)));
  for (float& v : points) v = static_cast<float>(rng.uniform(-4.0, 4.0));
  return points;
}

PointView view_of(const std::vector<float>& points) {
  return {points.data(), static_cast<std::int64_t>(points.size()) / 4, 16, {0, 4, 8, 12}, {}};
}

std::vector<std::uint8_t> labels_in_cpp(const Model& model, const std::vector<float>& points) {
  Session session(model);
  const auto labels = session.run({{"points", view_of(points)}})["labels"].as<std::uint8_t>();
  return {labels.begin(), labels.end()};
}

struct CApi : testing::Test {
  // Tests run side by side: each has files of its own.
  std::string stem = testing::TempDir() + "c_api_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  std::string path = stem + ".safetensors";
  rarefy_model* model = nullptr;
  rarefy_session* session = nullptr;

  void open(const Model& cpp, int threads = 1) {
    const std::vector<std::uint8_t> bytes = cpp.serialize();
    ASSERT_EQ(rarefy_model_parse(bytes.data(), bytes.size(), "a test", &model), RAREFY_OK) << rarefy_last_error();
    ASSERT_EQ(rarefy_session_open(model, threads, &session), RAREFY_OK) << rarefy_last_error();
  }
  void TearDown() override {
    rarefy_session_free(session);
    rarefy_model_free(model);
  }
};

/// Expects `status` to be `wanted` and the last error to say all of `parts`.
void expect_status(rarefy_status status, rarefy_status wanted, std::initializer_list<std::string> parts) {
  EXPECT_EQ(status, wanted) << rarefy_last_error();
  EXPECT_EQ(rarefy_last_status(), wanted);
  for (const std::string& part : parts) EXPECT_THAT(std::string(rarefy_last_error()), HasSubstr(part));
}

TEST_F(CApi, plain_c_labels_as_cpp_does) {
  const Model cpp = point_model();
  cpp.save(path);
  for_random_cases(10, [&](Rng& rng) {
    const std::vector<float> points = random_scan(rng);
    std::vector<std::uint8_t> labels(points.size() / 4 + 1, 77);
    ASSERT_EQ(label_from_c(path.c_str(), points.data(), static_cast<std::int64_t>(points.size()) / 4, labels.data()),
              RAREFY_OK)
        << rarefy_last_error();
    EXPECT_EQ(labels.back(), 77) << "written past the last point";
    labels.pop_back();
    EXPECT_EQ(labels, labels_in_cpp(cpp, points));
  });
}

TEST_F(CApi, plain_c_runs_a_sparse_tensor_as_cpp_does) {
  const Model cpp = sparse_model();
  cpp.save(path);
  Rng rng(3, 0);
  std::vector<std::int32_t> coords = {0, -3, 2, 1, 0, 0, 0, 0, 1, 5, 5, 5, 0, -3, 2, 2};  // any order
  std::vector<float> features(12);
  for (float& v : features) v = static_cast<float>(rng.uniform(-1.0, 1.0));
  Session session_cpp(cpp);
  const TensorView x{features.data(), Dtype::f32, Device::cpu, 4, 3, 3};
  double expected = 0.0;
  for (const float v : session_cpp.run({{"x", SparseView{coords.data(), x}}})["y"].as<float>()) expected += v;
  EXPECT_EQ(run_sparse_from_c(path.c_str(), "x", coords.data(), 3, features.data(), 4, 3, "y"), expected)
      << rarefy_last_error();
}

TEST_F(CApi, says_what_a_model_takes_and_gives) {
  open(point_model());
  EXPECT_STREQ(rarefy_version(), RAREFY_VERSION);
  EXPECT_EQ(rarefy_model_inputs(model), 1);
  EXPECT_STREQ(rarefy_model_input_name(model, 0), "points");
  EXPECT_EQ(rarefy_model_outputs(model), 2);
  EXPECT_STREQ(rarefy_model_output_name(model, 1), "labels");
  EXPECT_EQ(rarefy_model_classes(model), 5);
  EXPECT_STREQ(rarefy_model_class_name(model, 4), "sign");
  std::int32_t kind = -1;
  std::int64_t channels = 0, dims = -1;
  ASSERT_EQ(rarefy_model_input(model, "points", &kind, &channels, &dims), RAREFY_OK);
  EXPECT_EQ(kind, RAREFY_POINTS);
  EXPECT_EQ(channels, 4);
  EXPECT_EQ(dims, 0);
  EXPECT_EQ(rarefy_model_class_name(model, 5), nullptr);
  expect_status(rarefy_last_status(), RAREFY_USAGE_ERROR, {"no class 5", "has 5"});
  EXPECT_EQ(rarefy_model_input_name(model, -1), nullptr);
  expect_status(rarefy_model_input(model, "pints", nullptr, nullptr, nullptr), RAREFY_USAGE_ERROR,
                {"no input 'pints'", "points"});
}

TEST_F(CApi, outputs_are_views_with_shape_and_strides) {
  const Model cpp = sparse_model();
  open(cpp, 2);
  std::int32_t coords[] = {0, 4, 4, 4, 0, -1, 0, 0};
  float wide[] = {1, 2, 3, -9, 4, 5, 6, -9};  // rows of 3 columns, 4 apart
  const rarefy_tensor sites = {coords, RAREFY_I32, {2, 4}, {16, 4}};
  const rarefy_tensor x = {wide, RAREFY_F32, {2, 3}, {16, 4}};
  ASSERT_EQ(rarefy_session_set_sparse(session, "x", &sites, &x, -1), RAREFY_OK) << rarefy_last_error();
  ASSERT_EQ(rarefy_session_run(session), RAREFY_OK) << rarefy_last_error();
  rarefy_tensor y, where;
  ASSERT_EQ(rarefy_session_output(session, "y", &y), RAREFY_OK);
  ASSERT_EQ(rarefy_session_output_coords(session, "y", &where), RAREFY_OK);
  EXPECT_EQ(y.dtype, RAREFY_F32);
  EXPECT_EQ(y.shape[0], 2);
  EXPECT_EQ(y.shape[1], 6);
  EXPECT_EQ(y.strides[1], 4);
  EXPECT_GE(y.strides[0], 24);
  ASSERT_EQ(where.shape[1], 4);
  const auto* found = static_cast<const std::int32_t*>(where.data);
  EXPECT_THAT(std::vector<std::int32_t>(found, found + 8), testing::ElementsAre(0, -2, 0, 0, 0, 4, 4, 4));
  Session session_cpp(cpp);
  const auto& expected = session_cpp.run({{"x", SparseView{coords, {wide, Dtype::f32, Device::cpu, 2, 3, 4}}}})["y"];
  for (std::int64_t r = 0; r < 2; ++r)
    for (std::int64_t c = 0; c < 6; ++c)
      EXPECT_EQ(*reinterpret_cast<const float*>(static_cast<const char*>(y.data) + r * y.strides[0] + c * y.strides[1]),
                expected.matrix<float>()(r, c));
  rarefy_statistics statistics;
  ASSERT_EQ(rarefy_session_statistics(session, &statistics), RAREFY_OK);
  EXPECT_EQ(statistics.voxels, 2);
  EXPECT_GT(statistics.macs, 0);
  EXPECT_GT(statistics.memory_bytes, 0);
}

TEST_F(CApi, several_scans_in_one_run_equal_one_after_another) {
  const Model cpp = point_model();
  open(cpp);
  Rng rng(5, 0);
  const std::vector<float> a = random_scan(rng), b = random_scan(rng);
  std::vector<float> both = a;
  both.insert(both.end(), b.begin(), b.end());
  const auto rows = static_cast<std::int64_t>(both.size()) / 4, split = static_cast<std::int64_t>(a.size()) / 4;
  const std::int64_t begin[] = {0, split, rows};
  const rarefy_tensor x = {both.data(), RAREFY_F32, {rows, 4}, {16, 4}};
  ASSERT_EQ(rarefy_session_set_rows(session, "points", &x), RAREFY_OK) << rarefy_last_error();
  ASSERT_EQ(rarefy_session_set_batches(session, "points", begin, 2), RAREFY_OK) << rarefy_last_error();
  ASSERT_EQ(rarefy_session_run(session), RAREFY_OK) << rarefy_last_error();
  rarefy_tensor labels;
  ASSERT_EQ(rarefy_session_output(session, "labels", &labels), RAREFY_OK);
  std::vector<std::uint8_t> expected = labels_in_cpp(cpp, a);
  for (const std::uint8_t label : labels_in_cpp(cpp, b)) expected.push_back(label);
  const auto* found = static_cast<const std::uint8_t*>(labels.data);
  EXPECT_EQ(std::vector<std::uint8_t>(found, found + labels.shape[0]), expected);
}

TEST_F(CApi, null_pointers_are_usage_errors) {
  open(point_model());
  const rarefy_points scan = {nullptr, 0, 16, 0, 4, 8, 12};
  const rarefy_tensor tensor = {nullptr, RAREFY_F32, {0, 4}, {16, 4}};
  rarefy_tensor out;
  rarefy_statistics statistics;
  const std::int64_t begin[] = {0, 0};
  expect_status(rarefy_model_load("x", nullptr), RAREFY_USAGE_ERROR, {"rarefy_model_load", "model is null"});
  rarefy_model* none = model;
  expect_status(rarefy_model_load(nullptr, &none), RAREFY_USAGE_ERROR, {"path is null"});
  EXPECT_EQ(none, nullptr);
  expect_status(rarefy_model_parse(nullptr, 8, "x", &none), RAREFY_USAGE_ERROR, {"bytes is null"});
  expect_status(rarefy_session_open(nullptr, 1, &session), RAREFY_USAGE_ERROR, {"model is null"});
  ASSERT_EQ(rarefy_session_open(model, 1, &session), RAREFY_OK);
  expect_status(rarefy_session_open(model, 1, nullptr), RAREFY_USAGE_ERROR, {"session is null"});
  expect_status(rarefy_session_set_points(nullptr, "points", &scan), RAREFY_USAGE_ERROR, {"session is null"});
  expect_status(rarefy_session_set_points(session, nullptr, &scan), RAREFY_USAGE_ERROR, {"name is null"});
  expect_status(rarefy_session_set_points(session, "points", nullptr), RAREFY_USAGE_ERROR, {"points is null"});
  expect_status(rarefy_session_set_rows(session, "points", nullptr), RAREFY_USAGE_ERROR, {"rows is null"});
  expect_status(rarefy_session_set_batches(session, "points", nullptr, 1), RAREFY_USAGE_ERROR, {"begin is null"});
  expect_status(rarefy_session_set_batches(session, "points", begin, 1), RAREFY_USAGE_ERROR, {"set the points"});
  expect_status(rarefy_session_set_sparse(session, "points", nullptr, &tensor, 1), RAREFY_USAGE_ERROR, {"coords"});
  expect_status(rarefy_session_run(nullptr), RAREFY_USAGE_ERROR, {"session is null"});
  expect_status(rarefy_session_output(session, "labels", nullptr), RAREFY_USAGE_ERROR, {"output is null"});
  expect_status(rarefy_session_output(session, "labels", &out), RAREFY_USAGE_ERROR, {"no results"});
  expect_status(rarefy_session_statistics(session, &statistics), RAREFY_USAGE_ERROR, {"no results"});
  const rarefy_points one = {begin, 1, 16, 0, 4, 8, 12};
  expect_status(rarefy_session_label(session, &one, nullptr), RAREFY_USAGE_ERROR, {"labels is null"});
  EXPECT_EQ(rarefy_model_inputs(nullptr), 0);
  EXPECT_EQ(rarefy_model_class_name(nullptr, 0), nullptr);
  rarefy_session_free(nullptr);
  rarefy_model_free(nullptr);
}

TEST_F(CApi, sizes_and_layouts_that_make_no_sense_are_refused) {
  open(point_model());
  float data[16] = {};
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const auto points = [&](rarefy_points p) { return rarefy_session_set_points(session, "points", &p); };
  expect_status(points({data, -1, 16, 0, 4, 8, 12}), RAREFY_USAGE_ERROR, {"-1 points"});
  expect_status(points({data, huge, 16, 0, 4, 8, 12}), RAREFY_USAGE_ERROR, {"points, expected 0 to 2147483647"});
  expect_status(points({nullptr, 1, 16, 0, 4, 8, 12}), RAREFY_USAGE_ERROR, {"1 points", "null"});
  expect_status(points({data, 1, huge, 0, 4, 8, 12}), RAREFY_USAGE_ERROR, {"bytes apart"});
  expect_status(points({data, 1, 16, 0, 4, huge, 12}), RAREFY_USAGE_ERROR, {"does not fit"});
  ASSERT_EQ(points({data, 1, 12, 0, 4, 12, -1}), RAREFY_OK);  // the last byte is known to be missing when it runs
  expect_status(rarefy_session_run(session), RAREFY_USAGE_ERROR, {"field at byte 12", "12 bytes"});
  const auto rows = [&](rarefy_tensor t) { return rarefy_session_set_rows(session, "points", &t); };
  expect_status(rows({data, RAREFY_F64, {1, 4}, {32, 8}}), RAREFY_USAGE_ERROR, {"dtype", "f32"});
  expect_status(rows({data, RAREFY_F32, {-1, 4}, {16, 4}}), RAREFY_USAGE_ERROR, {"[-1, 4]"});
  expect_status(rows({data, RAREFY_F32, {huge, 4}, {16, 4}}), RAREFY_USAGE_ERROR, {"shape"});
  expect_status(rows({data, RAREFY_F32, {2, 4}, {huge - 3, 4}}), RAREFY_USAGE_ERROR, {"more than there can be"});
  expect_status(rows({data, RAREFY_F32, {2, 4}, {8, 4}}), RAREFY_USAGE_ERROR, {"8 bytes apart", "at least 16"});
  expect_status(rows({data, RAREFY_F32, {2, 4}, {18, 4}}), RAREFY_USAGE_ERROR, {"multiple of 4"});
  expect_status(rows({data, RAREFY_F32, {2, 4}, {-16, 4}}), RAREFY_USAGE_ERROR, {"-16 bytes apart"});
  expect_status(rows({data, RAREFY_F32, {2, 4}, {4, 8}}), RAREFY_USAGE_ERROR, {"columns", "8 bytes apart"});
  expect_status(rows({data, RAREFY_F32, {2, 5}, {20, 4}}), RAREFY_USAGE_ERROR, {"takes 4 columns, found 5"});
  expect_status(rows({reinterpret_cast<char*>(data) + 1, RAREFY_F32, {2, 4}, {16, 4}}), RAREFY_USAGE_ERROR,
                {"aligned"});
  ASSERT_EQ(rows({data, RAREFY_F32, {4, 4}, {16, 4}}), RAREFY_OK);
  const std::int64_t wrong[] = {0, 5, 4};
  expect_status(rarefy_session_set_batches(session, "points", wrong, 2), RAREFY_USAGE_ERROR,
                {"batch 0", "0 to 5 of 4"});
  expect_status(rarefy_session_set_batches(session, "points", wrong, 0), RAREFY_USAGE_ERROR, {"0 batches"});
  expect_status(rarefy_session_open(model, 0, &session), RAREFY_USAGE_ERROR, {"thread"});
}

TEST_F(CApi, a_session_outlives_errors_and_forgets_old_results) {
  const Model cpp = point_model();
  open(cpp);
  std::vector<float> points(40, 0.5f);
  const rarefy_points scan = {points.data(), 10, 16, 0, 4, 8, 12};
  rarefy_tensor labels;
  expect_status(rarefy_session_run(session), RAREFY_USAGE_ERROR, {"input 'points'", "missing"});
  ASSERT_EQ(rarefy_session_set_points(session, "points", &scan), RAREFY_OK);
  ASSERT_EQ(rarefy_session_run(session), RAREFY_OK) << rarefy_last_error();
  ASSERT_EQ(rarefy_session_output(session, "labels", &labels), RAREFY_OK);
  expect_status(rarefy_session_output(session, "label", &labels), RAREFY_USAGE_ERROR, {"'label'", "labels"});
  expect_status(rarefy_session_output_coords(session, "labels", &labels), RAREFY_USAGE_ERROR, {"no coordinates"});
  expect_status(rarefy_session_run(session), RAREFY_USAGE_ERROR, {"missing"});  // inputs are given anew for each run
  expect_status(rarefy_session_output(session, "labels", &labels), RAREFY_USAGE_ERROR, {"no results"});
  expect_status(rarefy_session_set_sparse(session, "points", &labels, &labels, 1), RAREFY_USAGE_ERROR,
                {"takes points", "rarefy_session_set_points"});
  ASSERT_EQ(rarefy_session_set_memory_limit(session, 64), RAREFY_OK);
  std::vector<std::uint8_t> found(10);
  expect_status(rarefy_session_label(session, &scan, found.data()), RAREFY_MEMORY_ERROR, {"memory"});
  ASSERT_EQ(rarefy_session_set_memory_limit(session, 0), RAREFY_OK);
  ASSERT_EQ(rarefy_session_label(session, &scan, found.data()), RAREFY_OK) << rarefy_last_error();
  EXPECT_EQ(found, labels_in_cpp(cpp, points));
}

TEST_F(CApi, errors_keep_their_kind_and_belong_to_their_thread) {
  expect_status(rarefy_model_load("/nowhere/model.safetensors", &model), RAREFY_IO_ERROR, {"/nowhere/model"});
  const std::uint8_t junk[] = {1, 2, 3};
  expect_status(rarefy_model_parse(junk, 3, nullptr, &model), RAREFY_INPUT_ERROR, {"memory: 3 bytes"});
  std::string elsewhere = "not run";
  std::thread([&elsewhere] { elsewhere = rarefy_last_error(); }).join();
  EXPECT_EQ(elsewhere, "") << "another thread's error is seen";
  EXPECT_THAT(std::string(rarefy_last_error()), HasSubstr("3 bytes"));
  const std::string long_name(5000, 'x');
  EXPECT_EQ(rarefy_model_load(long_name.c_str(), &model), RAREFY_IO_ERROR);
  EXPECT_LT(std::string(rarefy_last_error()).size(), 2048u) << "cut, not overrun";
}

TEST_F(CApi, the_example_in_c_prints_what_cpp_counts) {
  const Model cpp = point_model();
  cpp.save(path);
  Rng rng(11, 0);
  std::vector<float> points = random_scan(rng);
  points.resize(4 * 200, 0.25f);
  const std::string scan = stem + ".bin";
  std::ofstream(scan, std::ios::binary)
      .write(reinterpret_cast<const char*>(points.data()), static_cast<std::streamsize>(points.size() * 4));
  const std::string command = std::string(RAREFY_EXAMPLE_SEGMENT_C) + " " + path + " " + scan;
  std::FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string said;
  char line[256];
  while (std::fgets(line, sizeof line, pipe) != nullptr) said += line;
  ASSERT_EQ(pclose(pipe), 0) << said;
  EXPECT_THAT(said, HasSubstr("200 points in"));
  std::int64_t counts[256] = {};
  for (const std::uint8_t label : labels_in_cpp(cpp, points)) ++counts[label];
  for (std::size_t c = 0; c < 5; ++c) {
    const std::string& name = cpp.pipeline()->classes[c].name;
    char expected[64];
    std::snprintf(expected, sizeof expected, "  %-14s %lld\n", name.c_str(), static_cast<long long>(counts[c]));
    EXPECT_EQ(said.find(expected) != std::string::npos, counts[c] > 0) << said;
  }
}

}  // namespace
}  // namespace rarefy::test
