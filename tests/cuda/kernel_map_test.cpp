// Kernel maps on the device hold the CPU's pairs; locations and interpolation weights have its bits.
#include "kernels/cuda/kernel_map.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "cuda/device_data.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_sites.h"

namespace rarefy {
namespace {

using test::DeviceArray;
using test::download;

class CudaKernelMap : public test::OnDevice {};

void poison(const cuda::DeviceMap& map) {
  for (const cuda::DeviceBuffer* buffer : {&map.in_row, &map.pairs, &map.sorted, &map.order, &map.masks, &map.scratch})
    test::poison(*buffer);
}

/// [K, ld], -1 where there is no pair.
std::vector<std::int32_t> table_of(const KernelMap& map, std::int64_t ld) {
  std::vector<std::int32_t> table(static_cast<std::size_t>(map.volume * ld), -1);
  for (std::int64_t s = 0; s + 1 < static_cast<std::int64_t>(map.begin.size()); ++s)
    for (std::int64_t p = map.begin[static_cast<std::size_t>(s)]; p < map.begin[static_cast<std::size_t>(s) + 1]; ++p)
      table[static_cast<std::size_t>(s % map.volume * ld + map.out_row[static_cast<std::size_t>(p)])] =
          map.in_row[static_cast<std::size_t>(p)];
  return table;
}

void expect_equal(const cuda::DeviceMap& found, const KernelMap& expected) {
  const cuda::MapView view = found.plain();
  ASSERT_EQ(view.in_rows, expected.in_rows);
  ASSERT_EQ(view.out_rows, expected.out_rows);
  ASSERT_EQ(view.volume, expected.volume);
  ASSERT_EQ(view.ld, (expected.out_rows + 127) / 128 * 128);
  EXPECT_EQ(download(view.in_row, view.volume * view.ld), table_of(expected, view.ld));
  EXPECT_EQ(download(found.pairs.as<std::int64_t>(), 1)[0], expected.pairs());
}

/// The sorted form by its definition.
void expect_sorted(const cuda::DeviceMap& found, const KernelMap& expected, int splits) {
  const cuda::MapView view = found.by_mask();
  splits = std::max({splits, 1, static_cast<int>((expected.volume + 31) / 32)});
  ASSERT_EQ(view.splits, splits);
  const std::int64_t ld = view.ld, rows = view.out_rows;
  const auto table = table_of(expected, ld);
  const auto in_row = download(view.in_row, view.volume * ld), order = download(view.order, splits * ld);
  const auto masks = download(view.masks, splits * ld / cuda::MapView::kMaskRows);
  for (int s = 0; s < splits; ++s) {
    const auto entry = [&](int k, std::int64_t row) { return table[static_cast<std::size_t>(k * ld + row)]; };
    std::vector<std::uint32_t> mask(static_cast<std::size_t>(rows), 0);
    for (int k = view.first(s); k < view.first(s + 1); ++k)
      for (std::int64_t o = 0; o < rows; ++o)
        if (entry(k, o) >= 0) mask[static_cast<std::size_t>(o)] |= 1U << (k - view.first(s));
    std::vector<std::int32_t> expected_order(static_cast<std::size_t>(rows));
    std::iota(expected_order.begin(), expected_order.end(), 0);
    std::stable_sort(expected_order.begin(), expected_order.end(), [&](std::int32_t a, std::int32_t b) {
      return mask[static_cast<std::size_t>(a)] > mask[static_cast<std::size_t>(b)];
    });
    expected_order.resize(static_cast<std::size_t>(ld), -1);
    ASSERT_TRUE(std::equal(expected_order.begin(), expected_order.end(), order.begin() + s * ld)) << "range " << s;
    std::vector<std::uint32_t> expected_masks(static_cast<std::size_t>(ld / 32), 0);
    for (std::int64_t i = 0; i < rows; ++i)
      expected_masks[static_cast<std::size_t>(i / 32)] |=
          mask[static_cast<std::size_t>(expected_order[static_cast<std::size_t>(i)])];
    ASSERT_TRUE(std::equal(expected_masks.begin(), expected_masks.end(), masks.begin() + s * ld / 32)) << "range " << s;
    for (int k = view.first(s); k < view.first(s + 1); ++k)
      for (std::int64_t i = 0; i < ld; ++i)
        ASSERT_EQ(in_row[static_cast<std::size_t>(k * ld + i)],
                  i < rows ? entry(k, expected_order[static_cast<std::size_t>(i)]) : -1)
            << "offset " << k << ", column " << i;
  }
}

struct Buffers {
  cuda::Sites in, out;
  cuda::DeviceMap map, transposed;
};

void expect_same_map(const Coords& in, const Coords& out, const KernelShape& kernel, int splits, Buffers& reused) {
  KernelMap expected, transposed;
  build_kernel_map(in, out, kernel, serial_executor(), expected);
  transpose_map(expected, serial_executor(), transposed);
  cuda::to_device(in, nullptr, reused.in);
  cuda::to_device(out, nullptr, reused.out);
  for (int run = 0; run < 2; ++run) {
    cuda::build_kernel_map(reused.in, &in == &out ? reused.in : reused.out, kernel, nullptr, reused.map);
    expect_equal(reused.map, expected);
    cuda::sort_map(reused.map, splits, nullptr);
    expect_sorted(reused.map, expected, splits);
    expect_equal(reused.map, expected);  // still there
    cuda::transpose_map(reused.map, nullptr, reused.transposed);
    expect_equal(reused.transposed, transposed);
    cuda::sort_map(reused.transposed, splits, nullptr);
    expect_sorted(reused.transposed, transposed, splits);
    if (testing::Test::HasFailure()) return;
    if (run == 0) poison(reused.map);
    if (run == 0) poison(reused.transposed);
  }
}

TEST_F(CudaKernelMap, of_submanifold_kernels_has_the_pairs_of_the_cpu) {
  Buffers reused;
  test::for_random_cases(80, [&](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 3);
    options.most_rows = rng.chance(0.2) ? 3000 : 500;
    for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 4));
    const Coords coords = test::random_coords(rng, options);
    KernelShape kernel;
    kernel.dims = options.dims;
    for (int a = 0; a < options.dims; ++a) {
      kernel.size[a] = static_cast<std::int32_t>(2 * rng.integer(0, options.dims == 4 ? 1 : 3) + 1);
      kernel.dilation[a] = static_cast<std::int32_t>(rng.chance(0.7) ? 1 : rng.integer(2, 3));
    }
    expect_same_map(coords, coords, kernel, static_cast<int>(rng.integer(1, 5)), reused);
  });
}

TEST_F(CudaKernelMap, of_strided_kernels_and_any_output_has_the_pairs_of_the_cpu) {
  Buffers reused;
  test::for_random_cases(120, [&](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 3);
    options.anywhere = false;
    for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 3));
    const Coords in = test::random_coords(rng, options);
    KernelShape kernel;
    kernel.dims = options.dims;
    kernel.rule = rng.chance(0.5) ? CoordinateRule::block : CoordinateRule::padded;
    for (int a = 0; a < options.dims; ++a) {
      kernel.size[a] = static_cast<std::int32_t>(rng.integer(1, options.dims >= 3 ? 4 : 7));
      kernel.stride[a] = static_cast<std::int32_t>(rng.integer(1, 3));
      kernel.dilation[a] = static_cast<std::int32_t>(rng.chance(0.6) ? 1 : rng.integer(2, 3));
      kernel.padding[a] = static_cast<std::int32_t>(kernel.rule == CoordinateRule::padded ? rng.integer(0, 3) : 0);
    }
    std::vector<std::int64_t> offsets;
    if (rng.chance(0.2)) {
      for (std::int64_t i = rng.integer(1, 150) * options.dims; i > 0; --i) offsets.push_back(rng.integer(-3, 3));
      kernel.offsets = offsets;
    }
    Coords out;
    if (rng.chance(0.6)) {
      downsample(in, kernel, serial_executor(), out);
    } else {  // the caller's own sites, on the grid or off it
      for (auto& s : options.stride) s *= static_cast<std::int32_t>(rng.integer(1, 3));
      out = test::random_coords(rng, options);
    }
    expect_same_map(in, out, kernel, static_cast<int>(rng.integer(1, 14)), reused);
  });
}

TEST_F(CudaKernelMap, of_nothing_is_empty) {
  Coords none, one;
  make_coords({}, 3, {1, 1, 1, 1}, 2, none);
  const std::int32_t row[] = {0, 1, 2, 3};
  make_coords(row, 3, {1, 1, 1, 1}, -1, one);
  Buffers reused;
  for (const auto& [in, out] : {std::pair{&none, &none}, {&none, &one}, {&one, &none}, {&one, &one}})
    expect_same_map(*in, *out, {}, 2, reused);
}

TEST_F(CudaKernelMap, of_a_real_scan_has_the_pairs_of_the_cpu) {
  const std::vector<float> scan = test::real_scan();
  if (scan.empty()) GTEST_SKIP() << "needs a real scan: set RAREFY_DATA to a folder with lidar/kitti/velodyne";
  const auto points = static_cast<std::int64_t>(scan.size() / 4);
  const std::int64_t begin[] = {0, points};
  Voxels voxels;
  voxelize({scan.data(), points, 4}, begin, {}, serial_executor(), voxels);
  const KernelShape down{.size = {2, 2, 2, 1}, .stride = {2, 2, 2, 1}};
  Buffers reused;
  Coords level = voxels.coords;
  for (int l = 0; l < 5; ++l) {
    expect_same_map(level, level, {}, l % 4 + 1, reused);
    Coords next;
    downsample(level, down, serial_executor(), next);
    expect_same_map(level, next, down, 1, reused);
    level = next;
  }
}

TEST_F(CudaKernelMap, says_what_does_not_fit) {
  Coords fine, coarse;
  const std::int32_t row[] = {0, 2, 2, 4};
  make_coords(row, 3, {1, 1, 1, 1}, -1, fine);
  make_coords(row, 3, {2, 2, 2, 1}, -1, coarse);
  cuda::Sites in, out;
  cuda::DeviceMap map;
  cuda::to_device(coarse, nullptr, in);
  cuda::to_device(fine, nullptr, out);
  test::expect_error<ShapeError>([&] { cuda::build_kernel_map(in, out, {}, nullptr, map); }, {"along x", "transpose"});
  test::expect_error<ShapeError>([&] { cuda::build_kernel_map(in, in, {.dims = 2}, nullptr, map); }, {"2 dimensions"});
  test::expect_error<UsageError>([&] { map.by_mask(); }, {"sort_map"});
  in.rows = -1;
  test::expect_error<UsageError>([&] { cuda::build_kernel_map(in, in, {}, nullptr, map); }, {"read_rows"});
}

/// Sites to search, and positions around them: on sites, between them, outside, not finite.
struct PositionCase {
  Coords to;
  std::vector<float> points;
  std::int64_t cols = 0;
  std::vector<std::int64_t> sample_begin{0};
  std::vector<std::int32_t> sample_of_point;
  std::array<float, kMaxDims> voxel_size{0.5f, 0.25f, 2.0f, 1.0f};
};

PositionCase random_position_case(Rng& rng) {
  PositionCase c;
  test::SiteOptions options{.dims = static_cast<int>(rng.integer(1, 4)), .batches = rng.integer(1, 3)};
  for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 5));
  c.to = test::random_coords(rng, options);
  if (rng.chance(0.5)) c.voxel_size = {0.05f, 0.1f, 0.3f, 0.7f};
  c.cols = options.dims + rng.integer(0, 2);
  const KeyLayout layout = key_layout(options.dims);
  for (std::int64_t b = 0; b < options.batches; ++b) {
    const std::int64_t count = rng.chance(0.2) ? 0 : rng.integer(1, 400);
    for (std::int64_t i = 0; i < count; ++i) {
      std::int32_t batch = 0, site[kMaxDims] = {};
      const bool near = c.to.rows() > 0 && rng.chance(0.9);
      if (near) unpack_key(layout, c.to.keys[static_cast<std::size_t>(rng.integer(0, c.to.rows() - 1))], &batch, site);
      for (std::int64_t a = 0; a < c.cols; ++a) {
        double q = rng.uniform(-40, 40);
        if (near && a < options.dims)
          q = site[a] + options.stride[static_cast<std::size_t>(a)] *
                            (rng.chance(0.3) ? static_cast<double>(rng.integer(-1, 1)) : rng.uniform(-1.5, 1.5));
        if (rng.chance(0.01)) q = std::numeric_limits<double>::quiet_NaN();
        if (rng.chance(0.01)) q = rng.chance(0.5) ? 1e30 : -std::numeric_limits<double>::infinity();
        c.points.push_back(static_cast<float>(q) * (a < 4 ? c.voxel_size[static_cast<std::size_t>(a)] : 1));
      }
      c.sample_of_point.push_back(static_cast<std::int32_t>(b));
    }
    c.sample_begin.push_back(c.sample_begin.back() + count);
  }
  return c;
}

void expect_same_positions(const Positions& on_cpu, const cuda::DevicePositions& on_gpu, const Coords& to,
                           const cuda::Sites& device_to) {
  const std::int64_t rows = on_cpu.rows();
  Voxels found;
  locate(on_cpu, to, serial_executor(), found);
  const DeviceArray<std::int32_t> located(rows);
  cuda::locate(on_gpu, device_to, nullptr, located.data());
  EXPECT_EQ(located.host(), found.voxel_of_point);

  cuda::DeviceBuffer scratch;
  const DeviceArray<std::int32_t> begin(to.rows() + 1), order(rows);
  cuda::invert_index(located.data(), rows, to.rows(), nullptr, scratch, begin.data(), order.data());
  EXPECT_EQ(begin.host(), found.point_begin);
  EXPECT_EQ(download(order.data(), static_cast<std::int64_t>(found.point_order.size())), found.point_order);

  for (const auto missing : {MissingNeighbours::renormalise, MissingNeighbours::zero}) {
    Interpolation expected;
    make_interpolation(on_cpu, to, missing, serial_executor(), expected);
    const std::int64_t entries = rows << to.dims;
    const DeviceArray<std::int32_t> row(entries);
    const DeviceArray<float> weight(entries);
    cuda::make_interpolation(on_gpu, device_to, missing, nullptr, row.data(), weight.data());
    EXPECT_EQ(row.host(), expected.row);
    EXPECT_EQ(test::bits_of(weight.host()), test::bits_of(expected.weight));
  }
}

TEST_F(CudaKernelMap, positions_meet_the_sites_that_they_meet_on_the_cpu) {
  cuda::Sites to, from;
  test::for_random_cases(100, [&](Rng& rng) {
    const PositionCase c = random_position_case(rng);
    const std::int64_t rows = c.sample_begin.back();
    cuda::to_device(c.to, nullptr, to);
    Positions positions;
    positions.points = {c.points.data(), rows, c.cols};
    positions.sample_begin = c.sample_begin;
    positions.voxel_size = c.voxel_size;
    const DeviceArray<float> points(c.points);
    const DeviceArray<std::int32_t> samples(c.sample_of_point);
    cuda::DevicePositions on_gpu;
    on_gpu.points = {points.data(), rows, c.cols};
    on_gpu.voxel_size = c.voxel_size;
    if (c.to.batches() > 1) on_gpu.sample_of_point = samples.data();
    expect_same_positions(positions, on_gpu, c.to, to);
    if (testing::Test::HasFailure()) return;

    const Coords sites = test::random_coords(rng, {.dims = c.to.dims, .batches = 2});
    cuda::to_device(sites, nullptr, from);
    positions.sites = &sites;
    on_gpu.sites = &from;
    expect_same_positions(positions, on_gpu, c.to, to);
  });
}

TEST_F(CudaKernelMap, an_index_is_inverted) {
  cuda::DeviceBuffer scratch;
  test::for_random_cases(40, [&](Rng& rng) {
    const std::int64_t targets = rng.integer(0, 300);
    std::vector<std::int32_t> index(static_cast<std::size_t>(rng.chance(0.1) ? 0 : rng.integer(1, 6000)));
    for (auto& i : index)
      i = static_cast<std::int32_t>(targets == 0 || rng.chance(0.1) ? -1 : rng.integer(0, targets - 1));
    std::vector<std::int32_t> begin{0}, order;
    for (std::int64_t t = 0; t < targets; ++t) {
      for (std::size_t p = 0; p < index.size(); ++p)
        if (index[p] == t) order.push_back(static_cast<std::int32_t>(p));
      begin.push_back(static_cast<std::int32_t>(order.size()));
    }
    const auto count = static_cast<std::int64_t>(index.size());
    const DeviceArray<std::int32_t> device(index), begin_found(targets + 1), order_found(count);
    cuda::invert_index(device.data(), count, targets, nullptr, scratch, begin_found.data(), order_found.data());
    EXPECT_EQ(begin_found.host(), begin);
    EXPECT_EQ(download(order_found.data(), static_cast<std::int64_t>(order.size())), order);
    test::poison(scratch);
  });
}

}  // namespace
}  // namespace rarefy
