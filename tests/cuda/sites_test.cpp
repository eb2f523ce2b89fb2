// Geometry on the device equals the CPU's, bit for bit: every case runs twice in the same buffers, poisoned in between.
#include "kernels/cuda/sites.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#include "cuda/device_data.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_points.h"
#include "support/random_sites.h"

namespace rarefy {

std::vector<float> test::real_scan() {
  const char* data = std::getenv("RAREFY_DATA");
  if (data == nullptr) return {};
  std::ifstream file(std::string(data) + "/lidar/kitti/velodyne/000001.bin", std::ios::binary | std::ios::ate);
  if (!file) return {};
  std::vector<float> values(static_cast<std::size_t>(file.tellg()) / sizeof(float));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

namespace {

using test::DeviceArray;
using test::download;
using test::expect_error;

class CudaSites : public test::OnDevice {};

void poison(const cuda::PointVoxels& voxels) {
  test::poison(voxels.sites);
  for (const cuda::DeviceBuffer* buffer :
       {&voxels.voxel_of_point, &voxels.point_order, &voxels.point_begin, &voxels.counters, &voxels.scratch[0],
        &voxels.scratch[1], &voxels.scratch[2], &voxels.scratch[3]})
    test::poison(*buffer);
}

void expect_equal(const cuda::PointVoxels& found, const Voxels& expected) {
  test::expect_equal(found.sites, expected.coords);
  const auto points = static_cast<std::int64_t>(expected.voxel_of_point.size());
  EXPECT_EQ(found.points, points);
  EXPECT_EQ(download(found.voxel_of_point.as<std::int32_t>(), points), expected.voxel_of_point);
  EXPECT_EQ(download(found.point_order.as<std::int32_t>(), static_cast<std::int64_t>(expected.point_order.size())),
            expected.point_order);
  EXPECT_EQ(download(found.point_begin.as<std::int32_t>(), expected.voxels() + 1), expected.point_begin);
  EXPECT_EQ(download(found.counters.as<std::int32_t>(), 2),
            (std::vector<std::int32_t>{static_cast<std::int32_t>(expected.not_finite),
                                       static_cast<std::int32_t>(expected.outside)}));
}

void expect_same_voxels(Matrix<const float> points, std::span<const std::int64_t> sample_begin,
                        const VoxelizeOptions& options, cuda::PointVoxels& reused) {
  Voxels expected;
  voxelize(points, sample_begin, options, serial_executor(), expected);
  std::span<const float> values;
  if (points.rows > 0)
    values = {points.data, static_cast<std::size_t>((points.rows - 1) * points.row_stride + points.cols)};
  const DeviceArray<float> device(values);
  const Matrix<const float> on_device(device.data(), points.rows, points.cols, points.row_stride);
  for (int run = 0; run < 2; ++run) {
    cuda::voxelize(on_device, sample_begin, options, nullptr, reused);
    expect_equal(reused, expected);
    if (testing::Test::HasFailure()) return;
    if (run == 0) poison(reused);
  }
}

TEST_F(CudaSites, voxels_equal_those_of_the_cpu) {
  cuda::PointVoxels reused;
  test::for_random_cases(120, [&](Rng& rng) {
    const test::PointCase c = test::random_point_case(rng);
    expect_same_voxels(c.points(), c.sample_begin, c.options, reused);
  });
}

TEST_F(CudaSites, voxels_of_few_and_of_strange_points) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  cuda::PointVoxels reused;
  for (const Rounding rounding : {Rounding::floor, Rounding::round_minus_min}) {
    VoxelizeOptions options{.rounding = rounding};
    const std::int64_t none[] = {0, 0, 0}, no_samples[] = {0}, one[] = {0, 1}, many[] = {0, 3000};
    expect_same_voxels({nullptr, 0, 3}, none, options, reused);
    expect_same_voxels({nullptr, 0, 3}, no_samples, options, reused);
    const float point[] = {1.0f, -2.0f, 3.0f};
    expect_same_voxels({point, 1, 3}, one, options, reused);
    const std::vector<float> same(3 * 3000, 0.01f), lost(3 * 3000, kNan);
    expect_same_voxels({same.data(), 3000, 3}, many, options, reused);
    expect_same_voxels({lost.data(), 3000, 3}, many, options, reused);
    const float strange[] = {kNan,  0, 0, 0,     kInf,   0,       0,     0,        -kInf,
                             1e30f, 0, 0, -0.0f, 1e-30f, -1e-30f, 0.15f, 6502.35f, -6502.4f};
    const std::int64_t six[] = {0, 6};
    expect_same_voxels({strange, 6, 3}, six, options, reused);
    options.crop_min = {0.5f, 0.5f, 0.5f, 0.0f};  // a crop that holds nothing
    options.crop_max = {0.4f, 0.4f, 0.4f, 1.0f};
    expect_same_voxels({same.data(), 3000, 3}, many, options, reused);
    options.crop_max = {kInf, kInf, kInf, kInf};
    options.crop_min = {-kInf, 0.0f, -1e30f, 0.0f};
    expect_same_voxels({strange, 6, 3}, six, options, reused);
  }
}

TEST_F(CudaSites, voxels_of_as_many_samples_as_keys_hold) {
  cuda::PointVoxels reused;
  for (int dims = 1; dims <= 4; ++dims) {
    Rng rng(static_cast<std::uint64_t>(dims));
    const std::int64_t samples = std::min<std::int64_t>(key_layout(dims).max_batch(), 2048);
    std::vector<std::int64_t> begin{0};
    for (std::int64_t b = 0; b < samples; ++b) begin.push_back(begin.back() + rng.integer(0, 5));
    std::vector<float> values(static_cast<std::size_t>(begin.back() * dims));
    for (float& v : values) v = static_cast<float>(rng.normal()) * (rng.chance(0.1) ? 1000.0f : 0.2f);
    for (const Rounding rounding : {Rounding::floor, Rounding::round_minus_min})
      expect_same_voxels({values.data(), begin.back(), dims}, begin, {.dims = dims, .rounding = rounding}, reused);
  }
}

TEST_F(CudaSites, wrong_options_are_refused_in_the_words_of_the_cpu) {
  cuda::PointVoxels out;
  const std::int64_t begin[] = {0, 1};
  const auto run = [&](const VoxelizeOptions& options) {
    cuda::voxelize({nullptr, 1, 3}, begin, options, nullptr, out);
  };
  expect_error<UsageError>([&] { run({.dims = 5}); }, {"1 to 4", "5"});
  expect_error<UsageError>([&] { run({.voxel_size = {0.1f, 0, 0.1f, 1}}); }, {"voxel size along y"});
  expect_error<ShapeError>([&] { run({.dims = 4}); }, {"4 columns", "3"});
}

TEST_F(CudaSites, reductions_have_the_bits_of_the_cpu) {
  cuda::PointVoxels on_device;
  test::for_random_cases(60, [&](Rng& rng) {
    const test::PointCase c = test::random_point_case(rng);
    Voxels voxels;
    voxelize(c.points(), c.sample_begin, c.options, serial_executor(), voxels);
    const DeviceArray<float> points(c.values);
    cuda::voxelize({points.data(), c.rows, c.cols, c.stride}, c.sample_begin, c.options, nullptr, on_device);
    const std::int64_t cols = rng.integer(1, 9), stride = cols + rng.integer(0, 2), rows = voxels.coords.rows();
    std::vector<float> x(static_cast<std::size_t>(c.rows * stride));
    for (float& v : x) v = static_cast<float>(rng.normal());
    for (const Reduction reduction : {Reduction::first, Reduction::mean, Reduction::max}) {
      if (reduction == Reduction::max)  // NaN wins
        for (std::size_t i = 0; i < x.size(); i += 17) x[i] = std::numeric_limits<float>::quiet_NaN();
      const DeviceArray<float> features(x);
      std::vector<float> expected(static_cast<std::size_t>(rows * cols));
      reduce_to_voxels(voxels, {x.data(), c.rows, cols, stride}, reduction, serial_executor(),
                       {expected.data(), rows, cols});
      const DeviceArray<float> y(c.rows * cols);  // room for the capacity
      cuda::reduce_to_voxels(on_device, {features.data(), c.rows, cols, stride}, reduction, nullptr,
                             {y.data(), c.rows, cols});
      EXPECT_EQ(test::bits_of(download(y.data(), rows * cols)), test::bits_of(expected)) << static_cast<int>(reduction);
    }
  });
}

KernelShape random_kernel(Rng& rng, int dims) {
  KernelShape kernel;
  kernel.dims = dims;
  kernel.rule = rng.chance(0.5) ? CoordinateRule::block : CoordinateRule::padded;
  for (int a = 0; a < dims; ++a) {
    kernel.size[a] = static_cast<std::int32_t>(rng.integer(1, dims == 4 ? 2 : 4));
    kernel.stride[a] = static_cast<std::int32_t>(rng.integer(1, 4));
    kernel.dilation[a] = static_cast<std::int32_t>(rng.chance(0.6) ? 1 : rng.integer(2, 3));
    kernel.padding[a] = static_cast<std::int32_t>(kernel.rule == CoordinateRule::padded ? rng.integer(0, 3) : 0);
  }
  return kernel;
}

/// Whether both throw, or neither; and the same sites.
template <class OnCpu, class OnGpu>
void expect_same_sites(OnCpu on_cpu, OnGpu on_gpu, cuda::Sites& reused) {
  Coords expected;
  bool leaves = false;
  try {
    on_cpu(expected);
  } catch (const InputError&) {
    leaves = true;
  }
  cuda::PinnedBuffer pinned;
  cuda::Sites* const all[] = {&reused};
  for (int run = 0; run < 2; ++run) {
    on_gpu(reused);
    if (leaves) {
      expect_error<InputError>([&] { cuda::read_rows(all, pinned, nullptr); }, {"crop or shift the input"});
    } else {
      cuda::read_rows(all, pinned, nullptr);
      EXPECT_EQ(reused.rows, expected.rows());
      test::expect_equal(reused, expected);
    }
    if (testing::Test::HasFailure()) return;
    if (run == 0) test::poison(reused);
  }
}

TEST_F(CudaSites, downsampled_and_generated_sites_equal_those_of_the_cpu) {
  cuda::Sites in, strided, generated;
  test::for_random_cases(200, [&](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 3);
    options.anywhere = rng.chance(0.3);
    options.most_rows = rng.chance(0.2) ? 1500 : 60;
    KernelShape kernel = random_kernel(rng, options.dims);
    for (int a = 0; a < options.dims; ++a)
      options.stride[a] = static_cast<std::int32_t>(kernel.stride[a] * rng.integer(1, 2));
    std::vector<std::int64_t> offsets;
    if (rng.chance(0.2)) {
      for (std::int64_t i = rng.integer(1, 90) * options.dims; i > 0; --i) offsets.push_back(rng.integer(-2, 2));
      kernel.offsets = offsets;
    }
    const Coords coords = test::random_coords(rng, options);
    cuda::to_device(coords, nullptr, in);
    expect_same_sites([&](Coords& out) { downsample(coords, kernel, serial_executor(), out); },
                      [&](cuda::Sites& out) { cuda::downsample(in, kernel, nullptr, out); }, strided);
    expect_same_sites([&](Coords& out) { generate(coords, kernel, serial_executor(), out); },
                      [&](cuda::Sites& out) { cuda::generate(in, kernel, nullptr, out); }, generated);
  });
}

TEST_F(CudaSites, downsampling_by_powers_of_two_merges_lists) {
  cuda::Sites in, out;
  test::for_random_cases(100, [&](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 5);
    options.most_rows = rng.chance(0.3) ? 3000 : 200;
    KernelShape kernel;
    kernel.dims = options.dims;
    for (int a = 0; a < options.dims; ++a) {
      options.stride[a] = static_cast<std::int32_t>(1 << rng.integer(0, 2));
      kernel.stride[a] = static_cast<std::int32_t>(1 << rng.integer(0, 3));
    }
    const Coords coords = test::random_coords(rng, options);
    cuda::to_device(coords, nullptr, in);
    expect_same_sites([&](Coords& to) { downsample(coords, kernel, serial_executor(), to); },
                      [&](cuda::Sites& to) { cuda::downsample(in, kernel, nullptr, to); }, out);
  });
}

/// The levels of a network, queued one after the other; their rows are read once.
void expect_same_pyramid(Matrix<const float> points, std::span<const std::int64_t> sample_begin,
                         const VoxelizeOptions& options, cuda::PointVoxels& voxels, std::span<cuda::Sites> levels) {
  const DeviceArray<float> device(
      std::span<const float>(points.data, static_cast<std::size_t>(points.rows * points.row_stride)));
  KernelShape down{.dims = options.dims};
  down.size = down.stride = {2, 2, 2, 2};
  cuda::voxelize({device.data(), points.rows, points.cols, points.row_stride}, sample_begin, options, nullptr, voxels);
  std::vector<cuda::Sites*> all{&voxels.sites};
  for (cuda::Sites& level : levels) {
    cuda::downsample(*all.back(), down, nullptr, level);
    all.push_back(&level);
  }
  cuda::PinnedBuffer pinned;
  cuda::read_rows(all, pinned, nullptr);
  Voxels expected;
  voxelize(points, sample_begin, options, serial_executor(), expected);
  Coords level = expected.coords;
  for (const cuda::Sites* found : all) {
    EXPECT_EQ(found->rows, level.rows());
    test::expect_equal(*found, level);
    Coords next;
    downsample(level, down, serial_executor(), next);
    level = next;
  }
}

TEST_F(CudaSites, levels_follow_each_other_without_the_host) {
  cuda::PointVoxels voxels;
  cuda::Sites levels[4];
  test::for_random_cases(25, [&](Rng& rng) {
    const auto points = rng.integer(0, 4000);
    std::vector<float> values(static_cast<std::size_t>(4 * points));
    for (float& v : values) v = static_cast<float>(rng.normal() * 3.0);
    const std::int64_t begin[] = {0, points / 3, points};
    expect_same_pyramid({values.data(), points, 4}, begin, {.voxel_size = {0.1f, 0.2f, 0.1f, 1.0f}}, voxels, levels);
  });
}

TEST_F(CudaSites, levels_of_a_real_scan) {
  const std::vector<float> scan = test::real_scan();
  if (scan.empty()) GTEST_SKIP() << "needs a real scan: set RAREFY_DATA to a folder with lidar/kitti/velodyne";
  const auto points = static_cast<std::int64_t>(scan.size() / 4);
  const std::int64_t begin[] = {0, points};
  cuda::PointVoxels voxels;
  cuda::Sites levels[4];
  VoxelizeOptions options;
  expect_same_pyramid({scan.data(), points, 4}, begin, options, voxels, levels);
  options.crop_min = {-50.0f, -50.0f, -4.0f, 0.0f};
  options.crop_max = {50.0f, 50.0f, 2.0f, 1.0f};
  expect_same_pyramid({scan.data(), points, 4}, begin, options, voxels, levels);
  options.rounding = Rounding::round_minus_min;
  expect_same_pyramid({scan.data(), points, 4}, begin, options, voxels, levels);
}

TEST_F(CudaSites, rows_become_sites_as_on_the_cpu) {
  cuda::Sites out;
  test::for_random_cases(80, [&](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 4);
    options.most_rows = rng.chance(0.3) ? 3000 : 200;
    for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 5));
    const std::vector<std::int32_t> rows = test::random_rows(rng, options);
    const std::int64_t count = static_cast<std::int64_t>(rows.size()) / (options.dims + 1);
    const std::int64_t batches = rng.chance(0.3) ? -1 : options.batches;
    Coords expected;
    std::vector<std::int32_t> expected_order;
    make_coords(rows, options.dims, options.stride, batches, expected, &expected_order);
    const DeviceArray<std::int32_t> device(rows), order(count);
    for (int run = 0; run < 2; ++run) {
      cuda::make_sites(device.data(), count, options.dims, options.stride, batches, nullptr, out,
                       run == 0 ? order.data() : nullptr);
      EXPECT_EQ(out.rows, expected.rows());
      test::expect_equal(out, expected);
      test::poison(out);
    }
    EXPECT_EQ(order.host(), expected_order);
  });
}

TEST_F(CudaSites, wrong_rows_are_named_as_on_the_cpu) {
  cuda::Sites out;
  const auto make = [&](std::vector<std::int32_t> rows, int dims, Extent stride = {1, 1, 1, 1},
                        std::int64_t batches = -1) {
    const DeviceArray<std::int32_t> device(rows);
    cuda::make_sites(device.data(), static_cast<std::int64_t>(rows.size()) / (dims + 1), dims, stride, batches, nullptr,
                     out, nullptr);
  };
  expect_error<InputError>([&] { make({0, 1, 2, 3, 0, 0, 130048, 0}, 3); }, {"row 1", "y = 130048"});
  expect_error<InputError>([&] { make({-1, 0, 0, 0}, 3); }, {"row 0", "batch index -1"});
  expect_error<InputError>([&] { make({2, 0, 0, 0}, 3, {1, 1, 1, 1}, 2); }, {"batch index 2", "[0, 2)"});
  expect_error<InputError>([&] { make({0, 0, 65536, 0}, 1); }, {"row 1", "batch index 65536"});
  expect_error<InputError>([&] { make({0, 4, 2, 5}, 3, {2, 2, 2, 1}); }, {"row 0", "z = 5", "stride 2"});
  expect_error<InputError>([&] { make({0, 1, 0, 2, 0, 1}, 1); }, {"rows 0 and 2", "duplicates"});
  expect_error<UsageError>([&] { make({0, 1, 2, 3}, 3, {1, 0, 1, 1}); }, {"stride along y", "0"});
}

}  // namespace
}  // namespace rarefy
