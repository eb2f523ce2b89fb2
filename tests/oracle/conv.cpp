#include "oracle/conv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

namespace rarefy::oracle {

KernelMap make_map(std::vector<ConvPair> pairs, std::int64_t in_rows, std::int64_t out_rows, std::int64_t volume) {
  constexpr std::int64_t kBlock = KernelMap::kBlockRows;
  std::sort(pairs.begin(), pairs.end(), [](const ConvPair& a, const ConvPair& b) {
    return std::tuple(a.out / kBlock, a.k, a.out, a.in) < std::tuple(b.out / kBlock, b.k, b.out, b.in);
  });
  KernelMap map;
  map.in_rows = in_rows;
  map.out_rows = out_rows;
  map.volume = volume;
  map.begin.assign(static_cast<std::size_t>(map.blocks() * volume + 1), 0);
  for (const ConvPair& p : pairs) {
    map.in_row.push_back(p.in);
    map.out_row.push_back(p.out);
    ++map.begin[static_cast<std::size_t>(p.out / kBlock * volume + p.k + 1)];
  }
  for (std::size_t i = 1; i < map.begin.size(); ++i) map.begin[i] += map.begin[i - 1];
  return map;
}

std::vector<ConvPair> pairs_of(const KernelMap& map) {
  std::vector<ConvPair> pairs;
  for (std::int64_t b = 0; b < map.blocks(); ++b) {
    for (std::int64_t k = 0; k < map.volume; ++k) {
      const auto range = static_cast<std::size_t>(b * map.volume + k);
      for (std::int64_t p = map.begin[range]; p < map.begin[range + 1]; ++p) {
        const auto i = static_cast<std::size_t>(p);
        pairs.push_back({map.in_row[i], map.out_row[i], k});
      }
    }
  }
  return pairs;
}

KernelMap transposed(const KernelMap& map) {
  auto pairs = pairs_of(map);
  for (ConvPair& p : pairs) std::swap(p.in, p.out);
  return make_map(std::move(pairs), map.out_rows, map.in_rows, map.volume);
}

KernelMap random_submanifold_map(Rng& rng, std::int64_t most_sites, int size) {
  const auto wanted = rng.integer(0, most_sites);
  const auto box = rng.integer(1, 14);
  std::map<std::array<std::int64_t, 3>, std::int32_t> sites;
  for (std::int64_t i = 0; i < wanted; ++i) {
    sites[{rng.integer(-box, box), rng.integer(-box, box), rng.integer(-box, box)}] = 0;
  }
  std::int32_t row = 0;
  for (auto& site : sites) site.second = row++;
  const int reach = size / 2;
  std::vector<ConvPair> pairs;
  for (const auto& [at, out] : sites) {
    std::int64_t k = 0;
    for (int dx = -reach; dx <= reach; ++dx) {
      for (int dy = -reach; dy <= reach; ++dy) {
        for (int dz = -reach; dz <= reach; ++dz, ++k) {
          const auto found = sites.find({at[0] + dx, at[1] + dy, at[2] + dz});
          if (found != sites.end()) pairs.push_back({found->second, out, k});
        }
      }
    }
  }
  const auto rows = static_cast<std::int64_t>(sites.size());
  return make_map(std::move(pairs), rows, rows, static_cast<std::int64_t>(size) * size * size);
}

KernelMap random_map(Rng& rng, std::int64_t in_rows, std::int64_t out_rows, std::int64_t volume, double density) {
  std::vector<ConvPair> pairs;
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(in_rows));
  std::vector<std::int32_t> outputs(static_cast<std::size_t>(out_rows));
  std::iota(inputs.begin(), inputs.end(), 0);
  std::iota(outputs.begin(), outputs.end(), 0);
  const auto shuffle = [&](std::vector<std::int32_t>& rows) {
    for (std::size_t i = rows.size(); i > 1; --i) {
      std::swap(rows[i - 1], rows[static_cast<std::size_t>(rng.integer(0, static_cast<std::int64_t>(i) - 1))]);
    }
  };
  for (std::int64_t k = 0; k < volume; ++k) {
    shuffle(inputs);
    shuffle(outputs);
    for (std::size_t i = 0; i < std::min(inputs.size(), outputs.size()); ++i) {
      if (rng.chance(density)) pairs.push_back({inputs[i], outputs[i], k});
    }
  }
  return make_map(std::move(pairs), in_rows, out_rows, volume);
}

KernelMap dense_box_map(int nx, int ny, int nz) {
  std::vector<ConvPair> pairs;
  const auto row = [&](int x, int y, int z) { return static_cast<std::int32_t>((x * ny + y) * nz + z); };
  for (int x = 0; x < nx; ++x) {
    for (int y = 0; y < ny; ++y) {
      for (int z = 0; z < nz; ++z) {
        for (int k = 0; k < 27; ++k) {
          const int ix = x + k / 9 - 1, iy = y + k / 3 % 3 - 1, iz = z + k % 3 - 1;
          if (ix < 0 || iy < 0 || iz < 0 || ix >= nx || iy >= ny || iz >= nz) continue;
          pairs.push_back({row(ix, iy, iz), row(x, y, z), k});
        }
      }
    }
  }
  const auto rows = static_cast<std::int64_t>(nx) * ny * nz;
  return make_map(std::move(pairs), rows, rows, 27);
}

namespace {

std::vector<ConvPair> pairs_or_identity(const KernelMap* map, std::int64_t rows) {
  if (map != nullptr) return pairs_of(*map);
  std::vector<ConvPair> pairs;
  for (std::int64_t r = 0; r < rows; ++r)
    pairs.push_back({static_cast<std::int32_t>(r), static_cast<std::int32_t>(r), 0});
  return pairs;
}

Values zeros(std::int64_t size) {
  return {std::vector<double>(static_cast<std::size_t>(size), 0.0),
          std::vector<double>(static_cast<std::size_t>(size), 0.0)};
}

void add(Values& v, std::int64_t i, double term) {
  v.value[static_cast<std::size_t>(i)] += term;
  v.magnitude[static_cast<std::size_t>(i)] += std::abs(term);
}

}  // namespace

Values conv(Matrix<const float> x, const std::vector<float>& weights, const KernelMap* map, std::int64_t out_channels,
            const float* bias, Matrix<const float> residual) {
  const std::int64_t rows = map != nullptr ? map->out_rows : x.rows;
  Values y = zeros(rows * out_channels);
  for (std::int64_t o = 0; o < rows; ++o) {
    for (std::int64_t j = 0; j < out_channels; ++j) {
      if (bias != nullptr) add(y, o * out_channels + j, bias[j]);
      if (residual.data != nullptr) add(y, o * out_channels + j, residual(o, j));
    }
  }
  for (const ConvPair& p : pairs_or_identity(map, x.rows)) {
    for (std::int64_t c = 0; c < x.cols; ++c) {
      const float* w = weights.data() + (p.k * x.cols + c) * out_channels;
      for (std::int64_t j = 0; j < out_channels; ++j) add(y, p.out * out_channels + j, double{x(p.in, c)} * w[j]);
    }
  }
  return y;
}

Values conv_input_gradient(Matrix<const float> gy, const std::vector<float>& weights, const KernelMap* map,
                           std::int64_t in_rows, std::int64_t in_channels) {
  Values gx = zeros(in_rows * in_channels);
  for (const ConvPair& p : pairs_or_identity(map, gy.rows)) {
    for (std::int64_t c = 0; c < in_channels; ++c) {
      const float* w = weights.data() + (p.k * in_channels + c) * gy.cols;
      for (std::int64_t j = 0; j < gy.cols; ++j) add(gx, p.in * in_channels + c, double{gy(p.out, j)} * w[j]);
    }
  }
  return gx;
}

Values conv_weight_gradient(Matrix<const float> x, Matrix<const float> gy, const KernelMap* map, std::int64_t volume) {
  Values gw = zeros(volume * x.cols * gy.cols);
  for (const ConvPair& p : pairs_or_identity(map, x.rows)) {
    for (std::int64_t c = 0; c < x.cols; ++c) {
      const std::int64_t row = (p.k * x.cols + c) * gy.cols;
      for (std::int64_t j = 0; j < gy.cols; ++j) add(gw, row + j, double{x(p.in, c)} * gy(p.out, j));
    }
  }
  return gw;
}

}  // namespace rarefy::oracle
