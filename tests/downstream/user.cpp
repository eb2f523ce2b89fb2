// Uses the public headers as a stranger would: own pool, own memory, a network built, saved, loaded and run, errors
// caught by type across the library's border.
#include <rarefy/builder.h>
#include <rarefy/error.h>
#include <rarefy/executor.h>
#include <rarefy/session.h>
#include <rarefy/tensor.h>

#include <cstdio>
#include <numeric>
#include <string>
#include <vector>
#ifdef HAS_MODELS
#include <rarefy/models.h>
#endif

namespace {

int failures = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "failed: %s\n", what);
  ++failures;
}

void runs_work_on_a_pool() {
  const auto pool = rarefy::make_thread_pool(2);
  std::vector<int> hits(100, 0);
  pool->parallel_for(100, [&](std::int64_t part, int) { hits[static_cast<std::size_t>(part)] += 1; });
  expect(std::accumulate(hits.begin(), hits.end(), 0) == 100, "each part runs once");
}

void reads_its_own_memory_through_views() {
  std::vector<float> data = {1, 2, 3, 4, 5, 6};
  const rarefy::TensorView view{data.data(), rarefy::Dtype::f32, rarefy::Device::cpu, 2, 3, 3};
  expect(view.matrix<float>()(1, 2) == 6.0f, "row 1, column 2");
  try {
    (void)view.as<std::int32_t>();
    expect(false, "asking for the wrong type throws");
  } catch (const rarefy::UsageError& error) {
    expect(std::string(error.what()).find("f32") != std::string::npos, "the message names the stored type");
  }
}

void catches_errors_by_type() {
  try {
    (void)rarefy::make_thread_pool(0);
    expect(false, "a pool without threads throws");
  } catch (const rarefy::Error&) {
  }
}

struct Point {
  double time;  // the library skips what it does not need
  float x, y, z;
};

std::vector<Point> a_wall() {
  std::vector<Point> points;
  for (int i = 0; i < 400; ++i)
    points.push_back({0.0, 0.1f * static_cast<float>(i % 20), 2.0f, 0.1f * static_cast<float>(i / 20)});
  return points;
}

std::vector<std::uint8_t> labels_of(const rarefy::Model& model, const std::vector<Point>& points, int threads) {
  rarefy::Session session(model, {.threads = threads});
  const rarefy::PointView scan{
      points.data(), static_cast<std::int64_t>(points.size()), sizeof(Point), {.x = 8, .y = 12, .z = 16}};
  const auto labels = session.run({{"points", scan}})["labels"].as<std::uint8_t>();
  expect(session.statistics().voxels > 0, "the scan has voxels");
  return {labels.begin(), labels.end()};
}

void builds_saves_loads_and_runs_a_network(const std::string& path) {
  rarefy::Builder b;
  const auto points = b.points(3);
  const auto voxels = b.voxelize(points, {.voxel_size = {0.2, 0.2, 0.2}});
  auto x = b.reduce(points, voxels.index);
  x = b.relu(b.batch_norm(b.conv(x, {.channels = 8})));
  x = b.linear(x, 5);
  b.output("labels", b.gather(b.argmax(x), voxels.index, 255));
  const rarefy::Graph graph = b.build();
  const rarefy::Model model(graph, rarefy::initial_weights(graph, 7));
  model.save(path);
  const std::vector<Point> wall = a_wall();
  const auto labels = labels_of(rarefy::Model::load(path), wall, 2);
  expect(labels.size() == wall.size(), "one label per point");
  for (const std::uint8_t label : labels) expect(label < 5, "labels are classes");
  expect(labels == labels_of(model, wall, 1), "the same labels from memory, with one thread");
  try {
    (void)rarefy::Model::load(path + ".missing");
    expect(false, "a missing file throws");
  } catch (const rarefy::IoError& error) {
    expect(std::string(error.what()).find(path) != std::string::npos, "the message names the file");
  }
}

#ifdef HAS_MODELS
void builds_a_published_network() {
  const auto& def = rarefy::models::at("minkunet");
  const rarefy::Graph graph = def.build({.width = 0.5, .pipeline = rarefy::models::semantic_kitti_pipeline()});
  expect(graph.parameters() == 5435235, "MinkUNet at half width has the published number of parameters");
}
#endif

}  // namespace

int main(int, char** argv) {
  runs_work_on_a_pool();
  reads_its_own_memory_through_views();
  catches_errors_by_type();
  builds_saves_loads_and_runs_a_network(std::string(argv[0]) + ".safetensors");
#ifdef HAS_MODELS
  builds_a_published_network();
#endif
  return failures == 0 ? 0 : 1;
}
