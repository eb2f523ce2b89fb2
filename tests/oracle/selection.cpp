#include <algorithm>
#include <cmath>

#include "graph/thinning_order.h"
#include "oracle/machine.h"
#include "sparse/thinning.h"

namespace rarefy::oracle {
namespace {

void magnitude(MachineState& m, const Node& node) {
  const Result& x = m.features.at(node.inputs[0]);
  Result y = m.blank(node.outputs[0]);
  for (std::size_t i = 0; i < x.values.size(); ++i)
    y.values[i / static_cast<std::size_t>(x.cols)] += std::abs(x.values[i]) / static_cast<double>(x.cols);
  m.features[node.outputs[0]] = y;
}

void overlay(MachineState& m, const Node& node) {
  Result y = m.features.at(node.inputs[0]);
  const Result& z = m.features.at(node.inputs[1]);
  const auto& index = m.indices.at(node.inputs[2]);
  for (std::int64_t r = 0; r < y.rows; ++r) {
    const std::int64_t place = index[static_cast<std::size_t>(r)];
    for (std::int64_t c = 0; c < y.cols && place >= 0; ++c)
      y.values[static_cast<std::size_t>(r * y.cols + c)] = z.values[static_cast<std::size_t>(place * y.cols + c)];
  }
  m.features[node.outputs[0]] = y;
}

/// From its definition: each cell is searched whole.
void site_order(MachineState& m, const Node& node) {
  const Space& space = m.spaces.at(node.inputs[0]);
  const auto& stride = m.graph.type(node.inputs[0]).stride;
  const auto hash = [&](const Site& site) {
    std::uint64_t h = static_cast<std::uint64_t>(node.integer("seed"));
    for (int a = 0; a < space.dims; ++a) {
      h += 0x9e3779b97f4a7c15u + (static_cast<std::uint64_t>(site[static_cast<std::size_t>(a) + 1]) & 0xffffffffu);
      h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
      h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
      h ^= h >> 31;
    }
    return h >> 32;
  };
  const auto share_cell = [&](const Site& x, const Site& y, std::int64_t edge) {
    bool same = x[0] == y[0];
    for (std::size_t a = 0; a < static_cast<std::size_t>(space.dims); ++a) {
      const double size = static_cast<double>(edge * stride[a]);
      same =
          same && std::floor(static_cast<double>(x[a + 1]) / size) == std::floor(static_cast<double>(y[a + 1]) / size);
    }
    return same;
  };
  Result y = m.blank(node.outputs[0]);
  for (std::size_t r = 0; r < space.sites.size(); ++r) {
    const Site& site = space.sites[r];
    y.values[r] = static_cast<double>(hash(site) >> 12) / 1048576.0;
    for (std::int64_t edge = 2; node.text("order") == "spread" && edge <= 32; edge *= 2) {
      if (std::any_of(space.sites.begin(), space.sites.end(),
                      [&](const Site& other) { return share_cell(site, other, edge) && hash(other) > hash(site); }))
        break;
      y.values[r] += 1.0;
    }
  }
  m.features[node.outputs[0]] = y;
}

/// Which voxels stay is what Thinning's own tests prove; here: that the op's outputs say so.
void thin(MachineState& m, const Node& node) {
  const Node& origin = m.graph.producer(node.inputs[2]);
  const Result& x = m.features.at(node.inputs[0]);
  const std::vector<float> values(x.values.begin(), x.values.end());
  const Matrix<const float> points{values.data(), x.rows, x.cols, x.cols};
  VoxelizeOptions options;
  options.dims = static_cast<int>(origin.numbers("voxel_size").size());
  for (std::size_t a = 0; a < origin.numbers("voxel_size").size(); ++a)
    options.voxel_size[a] = static_cast<float>(origin.numbers("voxel_size")[a]);
  Voxels voxels;
  voxelize(points, m.space_of(node.inputs[0]).sample_begin, options, serial_executor(), voxels);
  const Voxels before = voxels;
  ThinScratch scratch;
  (void)rarefy::thin(points, {.share = node.number("share"), .order = voxel_order_named(node.text("order"), node.name)},
                     voxels, scratch);
  const Space& from = m.spaces.at(node.inputs[1]);
  Space out;
  out.dims = from.dims;
  out.samples = from.samples;
  out.rows = voxels.coords.rows();
  auto &kept = m.indices[node.outputs[1]], &place = m.indices[node.outputs[2]];
  place.assign(static_cast<std::size_t>(from.rows), -1);
  for (std::size_t p = 0; p < before.voxel_of_point.size(); ++p)
    if (before.voxel_of_point[p] >= 0)
      place[static_cast<std::size_t>(before.voxel_of_point[p])] = voxels.voxel_of_point[p];
  for (const std::uint64_t key : voxels.coords.keys) {
    const auto found = std::find(before.coords.keys.begin(), before.coords.keys.end(), key);
    kept.push_back(found - before.coords.keys.begin());
    out.sites.push_back(from.sites[static_cast<std::size_t>(kept.back())]);
  }
  m.spaces[node.outputs[0]] = out;
}

/// Whether row a comes before row b: float32 scores, as the runtime compares them; NaN last.
bool higher(const std::vector<double>& scores, std::int64_t a, std::int64_t b) {
  const auto x = static_cast<float>(scores[static_cast<std::size_t>(a)]);
  const auto y = static_cast<float>(scores[static_cast<std::size_t>(b)]);
  if (std::isnan(x) || std::isnan(y)) return std::isnan(x) ? std::isnan(y) && a < b : true;
  return x != y ? x > y : a < b;
}

void select_best(MachineState& m, const Node& node) {
  const Space& from = m.spaces.at(node.inputs[1]);
  const std::vector<double>& scores = m.features.at(node.inputs[0]).values;
  std::vector<char> stays(static_cast<std::size_t>(from.rows), 0);
  for (std::int64_t s = 0; s < from.samples; ++s) {
    std::vector<std::int64_t> rows;
    for (std::int64_t r = 0; r < from.rows; ++r)
      if (from.sample_of(r) == s) rows.push_back(r);
    std::sort(rows.begin(), rows.end(), [&](std::int64_t a, std::int64_t b) { return higher(scores, a, b); });
    const double share = node.number("share") * static_cast<double>(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& above = node.numbers("above");
      const bool in_share = static_cast<double>(i) < share - 1e-6;
      const bool high = above.empty() || scores[static_cast<std::size_t>(rows[i])] > above[0];
      stays[static_cast<std::size_t>(rows[i])] = i == 0 || (in_share && high) ? 1 : 0;
    }
  }
  auto &kept = m.indices[node.outputs[1]], &place = m.indices[node.outputs[2]];
  Space out;
  out.dims = from.dims;
  out.samples = from.samples;
  std::vector<std::int64_t> count(static_cast<std::size_t>(from.samples), 0);
  for (std::int64_t r = 0; r < from.rows; ++r) {
    place.push_back(stays[static_cast<std::size_t>(r)] != 0 ? out.rows : -1);
    if (stays[static_cast<std::size_t>(r)] == 0) continue;
    kept.push_back(r);
    ++out.rows;
    ++count[static_cast<std::size_t>(from.sample_of(r))];
    if (out.dims > 0) out.sites.push_back(from.sites[static_cast<std::size_t>(r)]);
  }
  out.sample_begin.push_back(0);
  for (const std::int64_t c : count) out.sample_begin.push_back(out.sample_begin.back() + c);
  m.spaces[node.outputs[0]] = out;
}

}  // namespace

bool run_selection_op(MachineState& m, const Node& node) {
  if (node.op == "magnitude") {
    magnitude(m, node);
  } else if (node.op == "site_order") {
    site_order(m, node);
  } else if (node.op == "thin") {
    thin(m, node);
  } else if (node.op == "overlay") {
    overlay(m, node);
  } else if (node.op == "select_best") {
    select_best(m, node);
  } else {
    return false;
  }
  return true;
}

}  // namespace rarefy::oracle
