#include "self_check/reference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>

namespace rarefy::self_check {
namespace {

constexpr std::int64_t kMargin = 3;  // odd: rows lose every alignment but that of a float

std::int32_t floor_to(std::int32_t value, std::int32_t step) {
  while (value % step != 0) --value;
  return value;
}

/// Offsets along one axis, after docs/coordinates.md.
std::vector<std::int32_t> axis_offsets(const KernelShape& kernel, std::size_t axis) {
  std::vector<std::int32_t> offsets;
  for (std::int32_t i = 0; i < kernel.size[axis]; ++i) {
    if (kernel.rule == CoordinateRule::padded) {
      offsets.push_back(i * kernel.dilation[axis] - kernel.padding[axis]);
    } else {
      const bool centred = kernel.size[axis] % 2 == 1;
      offsets.push_back((centred ? i - kernel.size[axis] / 2 : i) * kernel.dilation[axis]);
    }
  }
  return offsets;
}

/// All offsets, z fastest.
std::vector<Site> all_offsets(const KernelShape& kernel) {
  std::vector<Site> offsets;
  for (const std::int32_t x : axis_offsets(kernel, 0)) {
    for (const std::int32_t y : axis_offsets(kernel, 1)) {
      for (const std::int32_t z : axis_offsets(kernel, 2)) offsets.push_back({0, x, y, z});
    }
  }
  return offsets;
}

Site sum(Site a, const Site& b) {
  for (std::size_t f = 0; f < a.size(); ++f) a[f] += b[f];
  return a;
}

}  // namespace

std::vector<Site> make_sites(Rng& rng) {
  std::set<Site> sites;
  for (std::int32_t x = -14; x < 14; ++x) {
    for (std::int32_t y = -9; y < 9; ++y) {
      const auto z = static_cast<std::int32_t>(std::lround(2.0 * std::sin(0.5 * x) + 0.3 * y));
      if (rng.chance(0.8)) sites.insert({0, x, y, z});
    }
  }
  for (std::int32_t i = 0; i < 125; ++i) sites.insert({1, i / 25 - 2, i / 5 % 5, i % 5 - 9});
  for (int i = 0; i < 40; ++i) {
    const auto any = [&] { return static_cast<std::int32_t>(rng.integer(-100, 100)); };
    sites.insert({static_cast<std::int32_t>(rng.integer(0, 1)), any(), any(), any()});
  }
  return {sites.begin(), sites.end()};
}

Coords coords_of(const std::vector<Site>& sites) {
  std::vector<std::int32_t> rows;
  for (const Site& site : sites) rows.insert(rows.end(), site.begin(), site.end());
  Coords coords;
  make_coords(rows, 3, {1, 1, 1, 1}, -1, coords);
  return coords;
}

std::vector<Site> sites_of(const Coords& coords) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(4 * coords.rows()));
  write_coords(coords, rows.data());
  std::vector<Site> sites(static_cast<std::size_t>(coords.rows()));
  for (std::size_t i = 0; i < sites.size(); ++i)
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(4 * i), 4, sites[i].begin());
  return sites;
}

std::vector<Pair> find_pairs(const std::vector<Site>& in, const std::vector<Site>& out, const KernelShape& kernel) {
  std::map<Site, std::int32_t> row_of;
  for (std::size_t i = 0; i < in.size(); ++i) row_of[in[i]] = static_cast<std::int32_t>(i);
  const std::vector<Site> offsets = all_offsets(kernel);
  std::vector<Pair> pairs;
  for (std::size_t o = 0; o < out.size(); ++o) {
    for (std::size_t k = 0; k < offsets.size(); ++k) {
      const auto found = row_of.find(sum(out[o], offsets[k]));
      if (found != row_of.end())
        pairs.push_back({found->second, static_cast<std::int32_t>(o), static_cast<std::int64_t>(k)});
    }
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

std::vector<Pair> pairs_of(const KernelMap& map) {
  std::vector<Pair> pairs;
  for (std::int64_t segment = 0; segment < map.blocks() * map.volume; ++segment) {
    const auto s = static_cast<std::size_t>(segment);
    for (auto p = static_cast<std::size_t>(map.begin[s]); p < static_cast<std::size_t>(map.begin[s + 1]); ++p)
      pairs.push_back({map.in_row[p], map.out_row[p], segment % map.volume});
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

std::vector<Site> strided_sites(const std::vector<Site>& in, const KernelShape& kernel) {
  std::set<Site> out;
  for (const Site& site : in) {
    if (kernel.rule == CoordinateRule::block) {
      Site at = site;
      for (std::size_t a = 0; a < 3; ++a) at[1 + a] = floor_to(site[1 + a], kernel.stride[a]);
      out.insert(at);
      continue;
    }
    for (const Site& offset : all_offsets(kernel)) {  // out = in - offset, where that lies on the output's grid
      Site at = site;
      bool on_grid = true;
      for (std::size_t a = 0; a < 3; ++a) {
        at[1 + a] -= offset[1 + a];
        on_grid = on_grid && at[1 + a] % kernel.stride[a] == 0;
      }
      if (on_grid) out.insert(at);
    }
  }
  return {out.begin(), out.end()};
}

Values::Values(std::int64_t size) : value(static_cast<std::size_t>(size), 0.0), magnitude(value) {}

void Values::add(std::int64_t at, double term) {
  value[static_cast<std::size_t>(at)] += term;
  magnitude[static_cast<std::size_t>(at)] += std::abs(term);
}

Values convolve(Matrix<const float> x, const std::vector<float>& weights, const std::vector<Pair>& pairs,
                std::int64_t rows_out, std::int64_t out_channels) {
  Values y(rows_out * out_channels);
  for (const Pair& p : pairs) {
    for (std::int64_t c = 0; c < x.cols; ++c) {
      const float* w = weights.data() + (p.k * x.cols + c) * out_channels;
      for (std::int64_t j = 0; j < out_channels; ++j) y.add(p.out * out_channels + j, double{x(p.in, c)} * w[j]);
    }
  }
  return y;
}

Values input_gradient(Matrix<const float> gy, const std::vector<float>& weights, const std::vector<Pair>& pairs,
                      std::int64_t rows_in, std::int64_t in_channels) {
  Values gx(rows_in * in_channels);
  for (const Pair& p : pairs) {
    for (std::int64_t c = 0; c < in_channels; ++c) {
      const float* w = weights.data() + (p.k * in_channels + c) * gy.cols;
      for (std::int64_t j = 0; j < gy.cols; ++j) gx.add(p.in * in_channels + c, double{gy(p.out, j)} * w[j]);
    }
  }
  return gx;
}

Values weight_gradient(Matrix<const float> x, Matrix<const float> gy, const std::vector<Pair>& pairs,
                       std::int64_t volume) {
  Values gw(volume * x.cols * gy.cols);
  for (const Pair& p : pairs) {
    for (std::int64_t c = 0; c < x.cols; ++c) {
      for (std::int64_t j = 0; j < gy.cols; ++j)
        gw.add((p.k * x.cols + c) * gy.cols + j, double{x(p.in, c)} * gy(p.out, j));
    }
  }
  return gw;
}

Rows::Rows(std::int64_t rows, std::int64_t cols)
    : rows_(rows),
      cols_(cols),
      stride_(cols + kMargin),
      data_(static_cast<std::size_t>(rows * stride_ + kMargin), std::numeric_limits<float>::quiet_NaN()) {}

Matrix<float> Rows::view() { return {data_.data() + kMargin, rows_, cols_, stride_}; }

Rows& Rows::normal(Rng& rng) {
  for (std::int64_t r = 0; r < rows_; ++r) {
    for (std::int64_t c = 0; c < cols_; ++c) view()(r, c) = static_cast<float>(rng.normal());
  }
  return *this;
}

Rows& Rows::integers(Rng& rng) {
  for (std::int64_t r = 0; r < rows_; ++r) {
    for (std::int64_t c = 0; c < cols_; ++c) view()(r, c) = static_cast<float>(rng.integer(-4, 4));
  }
  return *this;
}

bool Rows::intact() const {
  const auto mark = std::bit_cast<std::uint32_t>(std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t r = 0; r <= rows_; ++r) {
    for (std::int64_t c = 0; c < kMargin; ++c) {
      if (std::bit_cast<std::uint32_t>(data_[static_cast<std::size_t>(r * stride_ + c)]) != mark) return false;
    }
  }
  return true;
}

std::vector<float> normal_values(Rng& rng, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(rng.normal());
  return values;
}

std::vector<float> integer_values(Rng& rng, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(rng.integer(-4, 4));
  return values;
}

double relative_error(Matrix<const float> actual, const Values& expected) {
  double worst = 0;
  for (std::int64_t r = 0; r < actual.rows; ++r) {
    for (std::int64_t c = 0; c < actual.cols; ++c) {
      const auto i = static_cast<std::size_t>(r * actual.cols + c);
      const double difference = std::abs(double{actual(r, c)} - expected.value[i]);
      if (difference == 0) continue;
      // Not `>`: a NaN must not pass, and neither must anything where nothing was added.
      const double error = difference / expected.magnitude[i];
      if (!(error <= worst)) worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
    }
  }
  return worst;
}

bool same_bits(Matrix<const float> a, Matrix<const float> b) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    if (std::memcmp(a.row(r), b.row(r), static_cast<std::size_t>(a.cols) * sizeof(float)) != 0) return false;
  }
  return true;
}

}  // namespace rarefy::self_check
