// Leaving voxels out: how many, which, and where the labels of the others come from.
#include "sparse/thinning.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

constexpr VoxelOrder kOrders[] = {VoxelOrder::spread, VoxelOrder::near, VoxelOrder::points, VoxelOrder::crowded,
                                  VoxelOrder::random};

struct Cloud {
  int dims;
  std::vector<float> values;
  std::vector<std::int64_t> begin;
  Matrix<const float> points() const {
    return {values.data(), static_cast<std::int64_t>(values.size()) / dims, dims, dims};
  }
  Voxels voxels() const {
    Voxels v;
    VoxelizeOptions options;
    options.dims = dims;
    options.voxel_size = {1, 1, 1, 1};
    voxelize(points(), begin, options, serial_executor(), v);
    return v;
  }
};

Cloud random_cloud(Rng& rng, int dims) {
  Cloud cloud{dims, {}, {0}};
  for (int sample = 0; sample < 3; ++sample) {
    const std::int64_t count = sample == 1 ? 0 : rng.integer(1, 400);
    for (std::int64_t i = 0; i < count * dims; ++i) cloud.values.push_back(static_cast<float>(12.0 * rng.normal()));
    cloud.begin.push_back(cloud.points().rows);
  }
  if (rng.chance(0.3)) cloud.values[0] = std::nanf("");
  return cloud;
}

struct Site {
  std::int32_t batch = 0;
  std::int32_t at[kMaxDims] = {};
};

Site site_of(const Coords& coords, std::int64_t row) {
  Site site;
  unpack_key(key_layout(coords.dims), coords.keys[static_cast<std::size_t>(row)], &site.batch, site.at);
  return site;
}

/// Smallest level whose cell holds both sites.
int level_of(const Site& a, const Site& b, int dims) {
  if (a.batch != b.batch) return 100;
  for (int level = 0;; ++level) {
    bool same = true;
    for (int axis = 0; axis < dims; ++axis) same = same && (a.at[axis] >> level) == (b.at[axis] >> level);
    if (same || level == 31) return level;
  }
}

TEST(Thinning, keeps_as_many_as_asked_and_every_point_has_a_voxel) {
  test::for_random_cases(40, [](Rng& rng) {
    const Cloud cloud = random_cloud(rng, static_cast<int>(rng.integer(1, 4)));
    const Voxels before = cloud.voxels();
    for (const VoxelOrder order : kOrders) {
      Voxels after = before;
      ThinScratch scratch;
      const double share = rng.uniform(0.0, 1.0);
      const std::int64_t left_out = thin(cloud.points(), {.share = share, .order = order}, after, scratch);
      EXPECT_EQ(left_out, before.voxels() - after.voxels());
      ASSERT_EQ(after.coords.rows(), after.voxels());
      for (std::int64_t b = 0; b < before.coords.batches(); ++b) {
        const auto s = static_cast<std::size_t>(b);
        const std::int64_t rows = before.coords.batch_begin[s + 1] - before.coords.batch_begin[s];
        const std::int64_t kept = after.coords.batch_begin[s + 1] - after.coords.batch_begin[s];
        EXPECT_EQ(kept, rows == 0 ? 0 : std::max<std::int64_t>(1, std::llround(std::ceil(share * rows - 1e-6))));
      }
      // What stays is as it was.
      std::map<std::uint64_t, std::int64_t> row_before;
      for (std::int64_t r = 0; r < before.voxels(); ++r)
        row_before[before.coords.keys[static_cast<std::size_t>(r)]] = r;
      for (std::int64_t r = 0; r < after.voxels(); ++r) {
        const auto now = static_cast<std::size_t>(r);
        const auto old = static_cast<std::size_t>(row_before.at(after.coords.keys[now]));
        const std::vector<std::int32_t> mine(after.point_order.begin() + after.point_begin[now],
                                             after.point_order.begin() + after.point_begin[now + 1]);
        const std::vector<std::int32_t> wanted(before.point_order.begin() + before.point_begin[old],
                                               before.point_order.begin() + before.point_begin[old + 1]);
        ASSERT_EQ(mine, wanted);
        for (const std::int32_t p : mine) EXPECT_EQ(after.voxel_of_point[static_cast<std::size_t>(p)], r);
      }
      // The others' labels come from the smallest cell that holds a voxel that stays.
      for (std::size_t p = 0; p < before.voxel_of_point.size(); ++p) {
        ASSERT_EQ(after.voxel_of_point[p] < 0, before.voxel_of_point[p] < 0);
        if (before.voxel_of_point[p] < 0 || rng.chance(0.9)) continue;
        const Site own = site_of(before.coords, before.voxel_of_point[p]);
        const int found = level_of(own, site_of(after.coords, after.voxel_of_point[p]), cloud.dims);
        for (std::int64_t r = 0; r < after.voxels(); ++r)
          ASSERT_LE(found, level_of(own, site_of(after.coords, r), cloud.dims));
      }
    }
  });
}

TEST(Thinning, samples_share_a_number_in_proportion) {
  Rng rng(4);
  const Cloud cloud = random_cloud(rng, 3);
  Voxels voxels = cloud.voxels();
  ThinScratch scratch;
  const std::int64_t all = voxels.voxels();
  ASSERT_GT(all, 20);
  EXPECT_EQ(thin(cloud.points(), {.most = all}, voxels, scratch), 0);
  thin(cloud.points(), {.most = all / 2}, voxels, scratch);
  EXPECT_LE(voxels.voxels(), all / 2);
  EXPECT_GE(voxels.voxels(), all / 2 - 3);
  thin(cloud.points(), {.most = 1}, voxels, scratch);
  EXPECT_EQ(voxels.voxels(), 2);  // one of each sample that has any
}

/// Two dense patches, one of them far, and a lone voxel between.
TEST(Thinning, orders_keep_what_their_names_say) {
  Cloud cloud{2, {}, {0}};
  const auto add = [&](float x, float y, int times) {
    for (int i = 0; i < times; ++i) cloud.values.insert(cloud.values.end(), {x + 0.5f, y + 0.5f});
  };
  for (int i = 0; i < 16; ++i) add(static_cast<float>(i % 4), static_cast<float>(i / 4), 1);
  for (int i = 0; i < 16; ++i) add(static_cast<float>(64 + i % 4), static_cast<float>(64 + i / 4), 3);
  add(33, 33, 2);
  cloud.begin.push_back(cloud.points().rows);
  const auto kept = [&](VoxelOrder order, std::int64_t most) {
    Voxels voxels = cloud.voxels();
    ThinScratch scratch;
    thin(cloud.points(), {.most = most, .order = order}, voxels, scratch);
    std::map<std::string, int> counts;
    for (std::int64_t r = 0; r < voxels.voxels(); ++r) {
      const Site site = site_of(voxels.coords, r);
      ++counts[site.at[0] < 10 ? "near" : site.at[0] < 50 ? "lone" : "far"];
    }
    return counts;
  };
  using Counts = std::map<std::string, int>;
  EXPECT_EQ(kept(VoxelOrder::near, 16), (Counts{{"near", 16}}));
  EXPECT_EQ(kept(VoxelOrder::points, 17), (Counts{{"far", 16}, {"lone", 1}}));
  EXPECT_EQ(kept(VoxelOrder::crowded, 32).count("lone"), 0u);
  EXPECT_EQ(kept(VoxelOrder::spread, 9), (Counts{{"near", 1}, {"lone", 1}, {"far", 7}}));
}

TEST(Thinning, takes_no_memory_once_it_has_grown) {
  Rng rng(9);
  const Cloud cloud = random_cloud(rng, 3);
  const Voxels voxels = cloud.voxels();
  ThinScratch scratch;
  for (const VoxelOrder order : kOrders) {
    Voxels first = voxels, second = voxels;
    thin(cloud.points(), {.share = 0.5, .order = order}, first, scratch);
    const auto places = [&] {
      return std::vector<const void*>{scratch.code.data(), scratch.words.data(), scratch.other.data(),
                                      scratch.rank.data(), scratch.order.data(), scratch.new_row.data()};
    };
    const auto before = places();
    thin(cloud.points(), {.share = 0.5, .order = order}, second, scratch);
    EXPECT_EQ(places(), before);
    EXPECT_EQ(first.coords.keys, second.coords.keys);
  }
}

TEST(Thinning, complains) {
  Voxels voxels;
  ThinScratch scratch;
  test::expect_error<UsageError>([&] { thin({}, {.share = 1.5}, voxels, scratch); }, {"1.5"});
  test::expect_error<UsageError>([&] { thin({}, {.most = -1}, voxels, scratch); }, {"-1"});
}

}  // namespace
}  // namespace rarefy
