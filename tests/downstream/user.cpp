// Uses the public headers as a stranger would: own pool, own memory, errors caught by type across the library's border.
#include <rarefy/error.h>
#include <rarefy/executor.h>
#include <rarefy/tensor.h>

#include <cstdio>
#include <numeric>
#include <vector>

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

}  // namespace

int main() {
  runs_work_on_a_pool();
  reads_its_own_memory_through_views();
  catches_errors_by_type();
  return failures == 0 ? 0 : 1;
}
