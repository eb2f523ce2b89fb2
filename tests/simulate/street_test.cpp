#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "data/simulate/sensor.h"
#include "data/simulate/simulate.h"
#include "rarefy/error.h"

namespace rarefy {
namespace {

std::uint32_t raw(std::uint32_t label) { return label & 0xffffu; }
std::uint32_t instance(std::uint32_t label) { return label >> 16; }

/// Training class of a raw id (semantic-kitti-api, config/semantic-kitti.yaml), -1 for an id that does not exist there.
int train_class(std::uint32_t id) {
  static const std::map<std::uint32_t, int> kMap{{0, 0},   {1, 0},   {52, 0},  {99, 0},  {10, 1},  {252, 1}, {11, 2},
                                                 {15, 3},  {18, 4},  {258, 4}, {13, 5},  {16, 5},  {20, 5},  {256, 5},
                                                 {257, 5}, {259, 5}, {30, 6},  {254, 6}, {31, 7},  {253, 7}, {32, 8},
                                                 {255, 8}, {40, 9},  {60, 9},  {44, 10}, {48, 11}, {49, 12}, {50, 13},
                                                 {51, 14}, {70, 15}, {71, 16}, {72, 17}, {80, 18}, {81, 19}};
  const auto found = kMap.find(id);
  return found == kMap.end() ? -1 : found->second;
}
bool is_thing(std::uint32_t id) { return train_class(id) >= 1 && train_class(id) <= 8; }

bool same(const Scan& a, const Scan& b) { return a.xyz == b.xyz && a.intensity == b.intensity && a.labels == b.labels; }

Scan scan_of(std::int64_t street, double rare = 1) {
  StreetOptions options;
  options.seed = 20;
  options.street = street;
  options.rare_factor = rare;
  return Street(options).scan(0, serial_executor());
}

TEST(Street, same_bits_for_any_thread_count_and_rebuild) {
  StreetOptions options;
  options.street = 3;
  options.frames = 3;
  const Street street(options), again(options);
  const auto pool = make_thread_pool(4);
  const Scan serial = street.scan(2, serial_executor());
  ASSERT_GT(serial.size(), 50000);
  EXPECT_TRUE(same(serial, street.scan(2, *pool)));
  EXPECT_TRUE(same(serial, again.scan(2, *pool)));
  EXPECT_FALSE(same(serial, street.scan(1, *pool)));
  options.street = 4;
  EXPECT_FALSE(same(serial, Street(options).scan(2, *pool)));
  options.street = 3;
  options.seed = 2;
  EXPECT_FALSE(same(serial, Street(options).scan(2, *pool)));
}

TEST(Street, labels_are_valid_and_instances_belong_to_things) {
  for (const std::int64_t index : {0, 1, 2, 3}) {
    const Scan scan = scan_of(index, 5);
    std::map<std::uint32_t, std::uint32_t> class_of_instance;
    for (const std::uint32_t label : scan.labels) {
      ASSERT_NE(train_class(raw(label)), -1) << "raw id " << raw(label) << " in street " << index;
      ASSERT_EQ(is_thing(raw(label)), instance(label) != 0) << "raw id " << raw(label);
      if (instance(label) != 0) {
        const auto [at, fresh] = class_of_instance.emplace(instance(label), raw(label));
        ASSERT_EQ(at->second, raw(label)) << "instance " << instance(label) << " has two classes";
      }
    }
    ASSERT_EQ(scan.labels.size() * 3, scan.xyz.size());
    ASSERT_EQ(scan.labels.size(), scan.intensity.size());
    for (const float value : scan.intensity) {
      ASSERT_TRUE(value >= 0 && value < 1);
      ASSERT_NEAR(value * 100, std::round(value * 100), 1e-3) << "remission comes in hundredths";
    }
    for (const float value : scan.xyz) ASSERT_TRUE(std::isfinite(value) && std::abs(value) < 85);
  }
}

TEST(Street, all_classes_occur) {
  std::set<int> seen;
  for (std::int64_t index = 0; index < 40 && seen.size() < 20; ++index)
    for (const std::uint32_t label : scan_of(index, 8).labels) seen.insert(train_class(raw(label)));
  for (int c = 0; c <= 19; ++c) EXPECT_TRUE(seen.count(c)) << "no point of training class " << c << " in 40 streets";
}

/// Sorted cells of size `voxel` that hold points.
std::vector<std::array<int, 3>> cells(const std::vector<std::array<double, 3>>& points, double voxel) {
  std::vector<std::array<int, 3>> out;
  for (const auto& p : points)
    out.push_back({static_cast<int>(std::floor(p[0] / voxel)), static_cast<int>(std::floor(p[1] / voxel)),
                   static_cast<int>(std::floor(p[2] / voxel))});
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}
bool holds(const std::vector<std::array<int, 3>>& sorted, std::array<int, 3> cell) {
  return std::binary_search(sorted.begin(), sorted.end(), cell);
}
std::vector<std::array<double, 3>> points_of(const Scan& scan, const std::set<std::uint32_t>& classes = {}) {
  std::vector<std::array<double, 3>> out;
  for (std::size_t i = 0; i < scan.labels.size(); ++i)
    if (classes.empty() || classes.count(raw(scan.labels[i])))
      out.push_back({scan.xyz[3 * i], scan.xyz[3 * i + 1], scan.xyz[3 * i + 2]});
  return out;
}

constexpr std::array<double, 10> kEdges{0, 5, 10, 15, 20, 30, 40, 50, 60, 81};

/// What is compared with real scans: points, 5 cm voxels, occupied neighbours of a voxel (itself included), and the
/// shares of points by range, per cent.
struct Figures {
  double points = 0, voxels = 0, neighbours = 0, remission = 0;
  std::array<double, 9> share{};
};

/// Pairs of cells that touch each other, each cell with itself included. Nine sweeps over the sorted cells, one per
/// column of neighbours, since a search per neighbour would take most of this program's time.
std::int64_t neighbour_pairs(const std::vector<std::array<int, 3>>& sites) {
  std::int64_t pairs = 0;
  for (int column = 0; column < 9; ++column) {
    std::size_t from = 0;
    for (const auto& s : sites) {
      const std::array<int, 3> low{s[0] + column / 3 - 1, s[1] + column % 3 - 1, s[2] - 1};
      const std::array<int, 3> high{low[0], low[1], s[2] + 1};
      while (from < sites.size() && sites[from] < low) ++from;
      for (std::size_t k = from; k < sites.size() && sites[k] <= high; ++k) ++pairs;
    }
  }
  return pairs;
}

Figures figures_of(const Scan& scan) {
  Figures f;
  const auto count = static_cast<double>(scan.size());
  f.points = count;
  const auto sites = cells(points_of(scan), 0.05);
  f.voxels = static_cast<double>(sites.size());
  f.neighbours = static_cast<double>(neighbour_pairs(sites)) / f.voxels;
  for (std::size_t i = 0; i < scan.labels.size(); ++i) {
    const double range = std::hypot(scan.xyz[3 * i], scan.xyz[3 * i + 1], scan.xyz[3 * i + 2]);
    const auto bin =
        static_cast<std::size_t>(std::upper_bound(kEdges.begin(), kEdges.end(), range) - kEdges.begin()) - 1;
    f.share[bin] += 100.0 / count;
    f.remission += scan.intensity[i] / count;
  }
  return f;
}

const std::vector<Figures>& streets() {
  static const auto all = [] {
    std::vector<Figures> out;
    for (int street = 0; street < 40; ++street) out.push_back(figures_of(scan_of(street)));
    return out;
  }();
  return all;
}

template <class Get>
double mean(Get get, std::size_t count = 20) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += get(streets()[i]);
  return sum / static_cast<double>(count);
}
/// Over 40 streets: over fewer, one narrow lane more or less decides.
template <class Get>
double deviation(Get get) {
  const double middle = mean(get, streets().size());
  double squares = 0;
  for (const Figures& f : streets()) squares += (get(f) - middle) * (get(f) - middle);
  return std::sqrt(squares / static_cast<double>(streets().size() - 1));
}

TEST(Street, mean_over_streets_lies_within_the_spread_of_real_scans) {
  constexpr std::array<double, 9> kShare{7.8, 36.5, 19.9, 11.9, 10.8, 5.9, 3.7, 1.7, 1.8};  // of a real scan
  EXPECT_THAT(mean([](const Figures& f) { return f.points; }),
              testing::AllOf(testing::Ge(113000), testing::Le(127000)));
  EXPECT_THAT(mean([](const Figures& f) { return f.voxels; }), testing::AllOf(testing::Ge(85000), testing::Le(97000)));
  EXPECT_THAT(mean([](const Figures& f) { return f.neighbours; }), testing::AllOf(testing::Ge(2.9), testing::Le(3.9)));
  EXPECT_NEAR(mean([](const Figures& f) { return f.remission; }), 0.284, 0.05);
  for (std::size_t bin = 0; bin < kShare.size(); ++bin)
    EXPECT_NEAR(mean([bin](const Figures& f) { return f.share[bin]; }), kShare[bin], 5)
        << "per cent of points in " << kEdges[bin] << ".." << kEdges[bin + 1] << " m";
}

TEST(Street, streets_differ_at_least_half_as_much_as_real_scans_do) {
  // Standard deviations over the first six scans of KITTI's object set, which show about as many kinds of street.
  constexpr std::array<double, 9> kShare{11.63, 7.10, 5.66, 4.95, 3.81, 2.72, 0.69, 0.43, 0.26};
  EXPECT_GE(deviation([](const Figures& f) { return f.points; }), 0.5 * 5596);
  EXPECT_GE(deviation([](const Figures& f) { return f.voxels; }), 0.5 * 10409);
  // Short of half on purpose: one of those six stands in a lane so narrow that it has 7.4 neighbours, and as many such
  // lanes here would lift the mean out of its band.
  EXPECT_GE(deviation([](const Figures& f) { return f.neighbours; }), 0.4 * 1.650);
  for (std::size_t bin = 0; bin < kShare.size(); ++bin)
    EXPECT_GE(deviation([bin](const Figures& f) { return f.share[bin]; }), 0.5 * kShare[bin])
        << "per cent of points in " << kEdges[bin] << ".." << kEdges[bin + 1] << " m";
}

std::array<double, 3> moved(const std::array<double, 12>& pose, std::array<double, 3> p) {
  std::array<double, 3> out{};
  for (std::size_t r = 0; r < 3; ++r)
    out[r] = pose[4 * r] * p[0] + pose[4 * r + 1] * p[1] + pose[4 * r + 2] * p[2] + pose[4 * r + 3];
  return out;
}

/// Share of `points` (after `pose`) that have a point of `sites` within a cell.
double overlap(const std::vector<std::array<int, 3>>& sites, std::vector<std::array<double, 3>> points,
               const std::array<double, 12>& pose, double voxel) {
  double near = 0;
  for (auto& p : points) {
    p = moved(pose, p);
    const std::array<int, 3> c{static_cast<int>(std::floor(p[0] / voxel)), static_cast<int>(std::floor(p[1] / voxel)),
                               static_cast<int>(std::floor(p[2] / voxel))};
    bool hit = false;
    for (int k = 0; k < 27 && !hit; ++k) hit = holds(sites, {c[0] + k / 9 - 1, c[1] + k / 3 % 3 - 1, c[2] + k % 3 - 1});
    near += hit ? 1 : 0;
  }
  return near / static_cast<double>(points.size());
}

TEST(Street, poses_align_what_stands_still) {
  StreetOptions options;
  options.kind = StreetKind::residential;
  options.frames = 11;
  const Street street(options);
  const std::array<double, 12> identity{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  const auto first = street.pose(0), last = street.pose(10);
  for (std::size_t i = 0; i < 12; ++i) EXPECT_NEAR(first[i], identity[i], 1e-6);
  EXPECT_GT(last[3], 2) << "the ego vehicle drives forward";
  // Columns of the rotation are orthonormal.
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 3; ++b)
      EXPECT_NEAR(last[a] * last[b] + last[4 + a] * last[4 + b] + last[8 + a] * last[8 + b], a == b ? 1 : 0, 1e-5);
  const std::set<std::uint32_t> upright{50, 51, 80};
  const auto sites = cells(points_of(street.scan(0, serial_executor()), upright), 0.25);
  auto near_points = points_of(street.scan(10, serial_executor()), upright);
  near_points.erase(
      std::remove_if(near_points.begin(), near_points.end(), [](const auto& p) { return std::hypot(p[0], p[1]) > 20; }),
      near_points.end());
  ASSERT_GT(near_points.size(), 200u);
  const double aligned = overlap(sites, near_points, last, 0.25),
               unaligned = overlap(sites, near_points, identity, 0.25);
  EXPECT_GT(aligned, 0.75);
  EXPECT_GT(aligned, unaligned + 0.1) << "the test must notice a wrong pose";
}

TEST(Street, moving_objects_have_moving_classes_and_move) {
  StreetOptions options;
  options.kind = StreetKind::highway;
  options.frames = 6;
  const Street street(options);
  auto centres = [&](std::int64_t frame) {
    const Scan scan = street.scan(frame, serial_executor());
    std::map<std::uint32_t, std::array<double, 4>> sums;
    for (std::size_t i = 0; i < scan.labels.size(); ++i) {
      if (raw(scan.labels[i]) < 252) continue;
      const auto p = moved(street.pose(frame), {scan.xyz[3 * i], scan.xyz[3 * i + 1], scan.xyz[3 * i + 2]});
      auto& sum = sums[scan.labels[i]];
      for (std::size_t k = 0; k < 3; ++k) sum[k] += p[k];
      sum[3] += 1;
    }
    return sums;
  };
  const auto before = centres(0), after = centres(5);
  int tracked = 0;
  for (const auto& [label, sum] : before) {
    const auto later = after.find(label);
    if (later == after.end() || sum[3] < 30 || later->second[3] < 30) continue;
    const double step = later->second[0] / later->second[3] - sum[0] / sum[3];
    EXPECT_GT(std::abs(step), 3) << "label " << label << ": half a second at highway speed";
    ++tracked;
  }
  EXPECT_GT(tracked, 0);
}

Scan without(const char* names, std::int64_t street, StreetKind kind = StreetKind::residential) {
  StreetOptions options;
  options.street = street;
  options.kind = kind;
  options.realism = realism_from_without(names);
  return Street(options).scan(0, serial_executor());
}
double share_of(const Scan& scan, const std::set<int>& classes) {
  double count = 0;
  for (const std::uint32_t label : scan.labels) count += static_cast<double>(classes.count(train_class(raw(label))));
  return count / static_cast<double>(scan.size());
}
/// Standard deviation of the height of a class over the scan, metres.
double height_spread(const Scan& scan, std::uint32_t id) {
  double sum = 0, squares = 0, count = 0;
  for (const auto& p : points_of(scan, {id})) sum += p[2], squares += p[2] * p[2], ++count;
  return std::sqrt(std::max(0.0, squares / count - sum / count * (sum / count)));
}

TEST(Realism, ground_without_roughness_is_a_plane) {
  // The sensor stands upright only without its own variation: then every point of the ground lies at its height.
  const Scan flat = without("rough_ground,sensor_variation", 2), rough = without("sensor_variation", 2);
  EXPECT_LT(height_spread(flat, 40), 0.02);
  EXPECT_LT(height_spread(flat, 48), 0.02);
  EXPECT_GT(height_spread(rough, 40), 0.03);
}

TEST(Realism, clutter_goes_with_its_labels) {
  EXPECT_EQ(share_of(without("clutter", 1), {0}), 0);
  EXPECT_GT(share_of(without("", 1), {0}), 0);
}

TEST(Realism, solid_plants_and_plain_houses_have_smooth_surfaces) {
  // Neighbours along a ring lie closer together in range where nothing is porous or recessed.
  const auto roughness = [](const Scan& scan, std::uint32_t id) {
    double steps = 0, count = 0, last = 0;
    bool before = false;
    for (std::size_t i = 0; i < scan.labels.size(); ++i) {
      const bool here = raw(scan.labels[i]) == id;
      const double range = std::hypot(scan.xyz[3 * i], scan.xyz[3 * i + 1], scan.xyz[3 * i + 2]);
      if (here && before) steps += std::min(1.0, std::abs(range - last)), ++count;
      last = range;
      before = here;
    }
    return steps / count;
  };
  double solid = 0, porous = 0, plain = 0, detailed = 0;
  for (int street = 1; street < 5; ++street) {
    const Scan scan = without("", street);
    porous += roughness(scan, 70), detailed += roughness(scan, 50);
    solid += roughness(without("porous_vegetation", street), 70);
    plain += roughness(without("building_detail", street), 50);
  }
  EXPECT_LT(solid, 0.6 * porous);
  EXPECT_LT(plain, 0.75 * detailed);
}

TEST(Realism, every_hit_returns_without_drop_out) {
  EXPECT_GT(without("drop_out", 4).size(), without("", 4).size() + 1000);
}

TEST(Realism, no_point_moves_between_surfaces_without_mixed_pixels) {
  const Scan pure = without("mixed_pixels", 4), mixed = without("", 4);
  ASSERT_EQ(pure.size(), mixed.size());
  EXPECT_EQ(pure.labels, mixed.labels);
  std::int64_t moved = 0;
  for (std::size_t i = 0; i < pure.xyz.size(); i += 3) moved += pure.xyz[i] != mixed.xyz[i] ? 1 : 0;
  EXPECT_GT(moved, 100);
  EXPECT_LT(moved, pure.size() / 10);
}

TEST(Realism, remission_is_constant_without_its_model) {
  const Scan scan = without("intensity_model", 4);
  EXPECT_EQ(std::set<float>(scan.intensity.begin(), scan.intensity.end()).size(), 1u);
  EXPECT_EQ(scan.xyz, without("", 4).xyz);
}

TEST(Realism, one_sensor_for_all_streets_without_its_variation) {
  // On a plane every sensor of the same build stands equally high above the road; real ones do not.
  const auto height = [](const Scan& scan) {
    double sum = 0, count = 0;
    for (const auto& p : points_of(scan, {40}))
      if (std::hypot(p[0], p[1]) < 12) sum += p[2], ++count;
    return sum / count;
  };
  double same = 0, varied = 0;
  for (int street = 1; street < 4; ++street) {
    same = std::max(same, std::abs(height(without("rough_ground,sensor_variation", street)) -
                                   height(without("rough_ground,sensor_variation", 0))));
    varied = std::max(varied, std::abs(height(without("rough_ground", street)) - height(without("rough_ground", 0))));
  }
  EXPECT_LT(same, 0.005);
  EXPECT_GT(varied, 0.02);
  const auto beams = [](std::uint64_t seed, const char* names) {
    const sim::Sensor sensor(Rng(seed), realism_from_without(names));
    std::vector<float> all;
    for (const auto& b : sensor.beams)
      all.insert(all.end(),
                 {b.elevation, b.height, b.azimuth, b.elevation_error, b.azimuth_error, b.bias, b.gain, b.drop});
    return all;
  };
  EXPECT_EQ(beams(1, "sensor_variation"), beams(2, "sensor_variation"));
  EXPECT_NE(beams(1, ""), beams(2, ""));
}

TEST(Realism, only_residential_streets_without_variety) {
  StreetOptions options;
  options.kind = StreetKind::highway;
  EXPECT_EQ(Street(options).kind(), StreetKind::highway);
  options.realism.street_variety = false;
  EXPECT_EQ(Street(options).kind(), StreetKind::residential);
}

TEST(Realism, names_come_back_and_unknown_ones_are_refused_with_the_list) {
  EXPECT_EQ(realism_without(Realism{}), "");
  StreetOptions options;
  options.kind = StreetKind::residential;
  EXPECT_TRUE(same(without("", 0), Street(options).scan(0, serial_executor())));
  EXPECT_EQ(realism_without(realism_from_without("clutter,drop_out")), "drop_out,clutter");
  try {
    realism_from_without("colour");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("'colour'"), testing::HasSubstr("street_variety")));
  }
}

TEST(Street, refuses_options_out_of_range_by_name) {
  auto message = [](auto change) {
    StreetOptions options;
    change(options);
    try {
      Street street(options);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message([](auto& o) { o.street = -1; }), testing::HasSubstr("street index must be >= 0, is -1"));
  EXPECT_THAT(message([](auto& o) { o.frames = 0; }), testing::HasSubstr("frames must be 1..4000, is 0"));
  EXPECT_THAT(message([](auto& o) { o.frame_interval = 0; }),
              testing::HasSubstr("frame interval must be 0.01..60 s, is 0"));
  EXPECT_THAT(message([](auto& o) { o.rare_factor = 21; }), testing::HasSubstr("rare factor must be 0..20, is 21"));
  EXPECT_THAT(message([](auto& o) { o.frames = 4000, o.frame_interval = 60; }), testing::HasSubstr("more than 20 km"));
  const Street street(StreetOptions{});
  EXPECT_THROW(street.scan(1, serial_executor()), UsageError);
  EXPECT_THROW(street.pose(-1), UsageError);
  EXPECT_EQ(street_kind_from_name("urban"), StreetKind::urban);
  EXPECT_THROW(street_kind_from_name("desert"), UsageError);
}

}  // namespace
}  // namespace rarefy
