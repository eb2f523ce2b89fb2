#include "sparse/point_voxel.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "oracle/sparse.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_sites.h"

namespace rarefy {
namespace {

/// Sites to search, and positions around them: on sites, between them, outside, not finite; samples may be empty.
struct Case {
  Coords to;
  std::vector<float> points;
  std::int64_t cols = 0;
  std::vector<std::int64_t> sample_begin{0};
  Positions positions() const {
    Positions p;
    p.points = {points.data(), sample_begin.back(), cols};
    p.sample_begin = sample_begin;
    p.voxel_size = {0.5f, 0.25f, 2.0f, 1.0f};
    return p;
  }
  /// What the definition says the position is: a float32 quotient.
  double at(std::int64_t row, int axis) const {
    return points[static_cast<std::size_t>(row * cols + axis)] / positions().voxel_size[static_cast<std::size_t>(axis)];
  }
};

Case random_case(Rng& rng) {
  Case c;
  test::SiteOptions options{.dims = static_cast<int>(rng.integer(1, 4)), .batches = rng.integer(1, 3)};
  for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 5));
  c.to = test::random_coords(rng, options);
  c.cols = options.dims + rng.integer(0, 2);
  const auto sites = oracle::sites(c.to);
  for (std::int64_t b = 0; b < options.batches; ++b) {
    const std::int64_t count = rng.chance(0.2) ? 0 : rng.chance(0.1) ? 3000 : rng.integer(1, 200);
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t a = 0; a < c.cols; ++a) {
        double q = rng.uniform(-40, 40);
        if (!sites.empty() && a < options.dims) {
          const auto& site = sites[static_cast<std::size_t>(rng.integer(0, c.to.rows() - 1))];
          const auto stride = static_cast<double>(options.stride[static_cast<std::size_t>(a)]);
          q = static_cast<double>(site[static_cast<std::size_t>(1 + a)]) +
              stride * (rng.chance(0.3) ? static_cast<double>(rng.integer(-1, 1)) : rng.uniform(-1.5, 1.5));
        }
        if (rng.chance(0.005)) q = std::numeric_limits<double>::quiet_NaN();
        if (rng.chance(0.005)) q = rng.chance(0.5) ? 1e30 : -std::numeric_limits<double>::infinity();
        c.points.push_back(static_cast<float>(q) * (a < 4 ? c.positions().voxel_size[static_cast<std::size_t>(a)] : 1));
      }
    }
    c.sample_begin.push_back(c.sample_begin.back() + count);
  }
  return c;
}

std::int64_t sample_of(const Case& c, std::int64_t row) {
  std::int64_t b = 0;
  while (c.sample_begin[static_cast<std::size_t>(b) + 1] <= row) ++b;
  return b;
}

bool in_range(const Case& c, std::int64_t row) {
  const auto limit = static_cast<double>(key_layout(c.to.dims).limit);
  for (int a = 0; a < c.to.dims; ++a)
    if (!(c.at(row, a) >= -limit && c.at(row, a) < limit)) return false;
  return true;
}

class PointVoxel : public testing::Test {
 protected:
  std::unique_ptr<Executor> pool_ = make_thread_pool(4);
};

TEST_F(PointVoxel, locate_finds_the_site_that_holds_each_point) {
  test::for_random_cases(60, [&](Rng& rng) {
    const Case c = random_case(rng);
    const auto sites = oracle::sites(c.to);
    Voxels found, serial;
    locate(c.positions(), c.to, *pool_, found);
    locate(c.positions(), c.to, serial_executor(), serial);
    EXPECT_EQ(found.voxel_of_point, serial.voxel_of_point);
    ASSERT_EQ(found.voxels(), c.to.rows());
    std::vector<std::vector<std::int32_t>> lists(sites.size());
    for (std::int64_t p = 0; p < c.sample_begin.back(); ++p) {
      std::int32_t expected = -1;
      for (std::size_t v = 0; v < sites.size() && in_range(c, p); ++v) {
        bool inside = sites[v][0] == sample_of(c, p);
        for (int a = 0; a < c.to.dims; ++a) {
          const double offset = c.at(p, a) - static_cast<double>(sites[v][static_cast<std::size_t>(1 + a)]);
          inside = inside && offset >= 0 && offset < c.to.stride[static_cast<std::size_t>(a)];
        }
        if (inside) expected = static_cast<std::int32_t>(v);
      }
      ASSERT_EQ(found.voxel_of_point[static_cast<std::size_t>(p)], expected) << "point " << p;
      if (expected >= 0) lists[static_cast<std::size_t>(expected)].push_back(static_cast<std::int32_t>(p));
    }
    for (std::size_t v = 0; v < lists.size(); ++v) {
      const auto begin = found.point_order.begin() + found.point_begin[v];
      const auto end = found.point_order.begin() + found.point_begin[v + 1];
      ASSERT_EQ(std::vector<std::int32_t>(begin, end), lists[v]) << "voxel " << v;
    }
  });
}

/// The hat function of every site, over all sites: nothing of cells or corners.
TEST_F(PointVoxel, weights_are_those_of_multilinear_interpolation) {
  test::for_random_cases(60, [&](Rng& rng) {
    const Case c = random_case(rng);
    const auto sites = oracle::sites(c.to);
    for (const auto missing : {MissingNeighbours::renormalise, MissingNeighbours::zero}) {
      Interpolation found, serial;
      make_interpolation(c.positions(), c.to, missing, *pool_, found);
      make_interpolation(c.positions(), c.to, missing, serial_executor(), serial);
      EXPECT_EQ(found.row, serial.row);
      EXPECT_EQ(found.weight, serial.weight);
      ASSERT_EQ(found.rows(), c.sample_begin.back());
      for (std::int64_t p = 0; p < found.rows(); ++p) {
        std::vector<double> expected(sites.size(), 0.0);
        double sum = 0.0;
        for (std::size_t v = 0; v < sites.size() && in_range(c, p); ++v) {
          double weight = sites[v][0] == sample_of(c, p) ? 1.0 : 0.0;
          for (int a = 0; a < c.to.dims; ++a)
            weight *= std::max(
                0.0, 1.0 - std::abs(c.at(p, a) - static_cast<double>(sites[v][static_cast<std::size_t>(1 + a)])) /
                               c.to.stride[static_cast<std::size_t>(a)]);
          expected[v] = weight;
          sum += weight;
        }
        if (missing == MissingNeighbours::renormalise)
          for (double& w : expected) w /= sum + 1e-8;
        std::vector<double> got(sites.size(), 0.0);
        for (std::int64_t k = 0; k < found.corners; ++k) {
          const auto e = static_cast<std::size_t>(p * found.corners + k);
          if (found.row[e] >= 0)
            got[static_cast<std::size_t>(found.row[e])] += found.weight[e];
          else
            ASSERT_EQ(found.weight[e], 0.0f);
        }
        for (std::size_t v = 0; v < sites.size(); ++v) ASSERT_NEAR(got[v], expected[v], 2e-6) << p << " " << v;
      }
    }
  });
}

TEST_F(PointVoxel, interpolation_and_its_gradient_are_adjoint) {
  test::for_random_cases(60, [&](Rng& rng) {
    const Case c = random_case(rng);
    Interpolation weights;
    make_interpolation(c.positions(), c.to, MissingNeighbours::renormalise, *pool_, weights);
    const std::int64_t channels = rng.integer(1, 9), rows = weights.rows(), sites = c.to.rows();
    const auto values = [&](std::int64_t n) {
      std::vector<float> v(static_cast<std::size_t>(n * channels));
      for (float& x : v) x = static_cast<float>(rng.uniform(-1, 1));
      return v;
    };
    std::vector<float> x = values(sites), g = values(rows), y = values(rows), gx = values(sites), again = gx;
    interpolate(weights, {x.data(), sites, channels}, *pool_, {y.data(), rows, channels});
    interpolate_gradient(weights, {g.data(), rows, channels}, *pool_, {gx.data(), sites, channels});
    interpolate_gradient(weights, {g.data(), rows, channels}, serial_executor(), {again.data(), sites, channels});
    EXPECT_EQ(gx, again);
    double forward = 0.0, backward = 0.0, size = 1.0;
    for (std::size_t i = 0; i < y.size(); ++i) forward += static_cast<double>(y[i]) * g[i], size += std::abs(y[i]);
    for (std::size_t i = 0; i < x.size(); ++i) backward += static_cast<double>(x[i]) * gx[i];
    EXPECT_NEAR(forward, backward, 1e-6 * size);
    for (std::int64_t p = 0; p < rows; ++p)  // the definition, entry by entry
      for (std::int64_t k = 0; k < channels; ++k) {
        double expected = 0.0;
        for (std::int64_t e = p * weights.corners; e < (p + 1) * weights.corners; ++e) {
          const std::int32_t row = weights.row[static_cast<std::size_t>(e)];
          if (row >= 0)
            expected += static_cast<double>(weights.weight[static_cast<std::size_t>(e)]) *
                        x[static_cast<std::size_t>(row * channels + k)];
        }
        ASSERT_NEAR(y[static_cast<std::size_t>(p * channels + k)], expected, 1e-5);
      }
  });
}

TEST_F(PointVoxel, sites_are_positions_too) {
  test::for_random_cases(30, [&](Rng& rng) {
    const Coords fine = test::random_coords(rng, {.dims = 3, .batches = 2});
    const Coords to = test::random_coords(rng, {.dims = 3, .stride = {2, 4, 3, 1}, .batches = 2});
    std::vector<std::int32_t> rows(static_cast<std::size_t>(4 * fine.rows()));
    write_coords(fine, rows.data());
    std::vector<float> points;
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (i % 4 != 0) points.push_back(static_cast<float>(rows[i]));
    Positions as_points, as_sites;
    as_points.points = {points.data(), fine.rows(), 3};
    as_points.sample_begin = fine.batch_begin;
    as_sites.sites = &fine;
    Interpolation a, b;
    make_interpolation(as_points, to, MissingNeighbours::zero, *pool_, a);
    make_interpolation(as_sites, to, MissingNeighbours::zero, *pool_, b);
    EXPECT_EQ(a.row, b.row);
    EXPECT_EQ(a.weight, b.weight);
    Voxels c, d;
    locate(as_points, to, *pool_, c);
    locate(as_sites, to, *pool_, d);
    EXPECT_EQ(c.voxel_of_point, d.voxel_of_point);
    // At the sites themselves interpolation changes nothing.
    make_interpolation(as_sites, fine, MissingNeighbours::renormalise, *pool_, b);
    for (std::int64_t p = 0; p < b.rows(); ++p) {
      EXPECT_EQ(b.row[static_cast<std::size_t>(8 * p)], p);
      EXPECT_EQ(b.weight[static_cast<std::size_t>(8 * p)], 1.0f);
    }
  });
}

TEST_F(PointVoxel, wrong_positions_are_refused) {
  const Coords to = [] {
    Coords c;
    make_coords(std::vector<std::int32_t>{0, 1, 2, 3}, 3, {1, 1, 1, 1}, 1, c);
    return c;
  }();
  const std::vector<float> points{1, 2};
  const std::vector<std::int64_t> begin{0, 1};
  Positions positions;
  positions.points = {points.data(), 1, 2};
  positions.sample_begin = begin;
  Voxels out;
  test::expect_error<ShapeError>([&] { locate(positions, to, *pool_, out); }, {"at least 3 columns", "have 2"});
  const std::vector<std::int64_t> wrong{0, 2};
  const std::vector<float> three{1, 2, 3};
  positions.points = {three.data(), 1, 3};
  positions.sample_begin = wrong;
  test::expect_error<UsageError>([&] { locate(positions, to, *pool_, out); }, {"sample_begin", "1"});
  Coords flat;
  make_coords(std::vector<std::int32_t>{0, 1, 2}, 2, {1, 1, 1, 1}, 1, flat);
  positions.sites = &flat;
  test::expect_error<ShapeError>([&] { locate(positions, to, *pool_, out); }, {"2 axes", "3"});
}

}  // namespace
}  // namespace rarefy
