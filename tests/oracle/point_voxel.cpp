#include <cmath>

#include "oracle/machine.h"

namespace rarefy::oracle {
namespace {

/// Position of a row in finest voxels, and its sample.
struct Place {
  std::int64_t batch = 0;
  double at[kMaxDims] = {};
};

std::vector<Place> places(MachineState& m, const Node& node, int dims) {
  const ValueId from = node.inputs[0];
  const Space& space = m.spaces.at(m.graph.type(from).space);
  std::vector<Place> result(static_cast<std::size_t>(space.rows));
  for (std::int64_t r = 0; r < space.rows; ++r) {
    Place& place = result[static_cast<std::size_t>(r)];
    place.batch = space.sample_of(r);
    for (int a = 0; a < dims; ++a) {
      if (m.graph.type(from).kind == ValueKind::space) {
        place.at[a] = static_cast<double>(space.sites[static_cast<std::size_t>(r)][static_cast<std::size_t>(1 + a)]);
      } else {
        const Result& x = m.features.at(from);
        const auto& size = node.numbers("voxel_size");
        const auto edge = static_cast<float>(size[size.size() == 1 ? 0 : static_cast<std::size_t>(a)]);
        place.at[a] = static_cast<float>(x.values[static_cast<std::size_t>(r * x.cols + a)]) / edge;
      }
    }
  }
  return result;
}

/// The site at the lower end of the cell that holds the place, moved up by one stride on the axes of `upper`.
Site corner(const Place& place, const ValueType& to, unsigned upper) {
  Site site{};
  site[0] = place.batch;
  for (int a = 0; a < to.dims; ++a) {
    const auto stride = static_cast<double>(to.stride[static_cast<std::size_t>(a)]);
    const double low = std::floor(place.at[a] / stride) * stride;
    site[static_cast<std::size_t>(1 + a)] =
        static_cast<std::int64_t>(low + ((upper >> (to.dims - 1 - a) & 1U) != 0 ? stride : 0.0));
  }
  return site;
}

std::map<Site, std::int64_t> rows_of(const Space& space) {
  std::map<Site, std::int64_t> rows;
  for (std::int64_t r = 0; r < space.rows; ++r) rows[space.sites[static_cast<std::size_t>(r)]] = r;
  return rows;
}

void weigh(MachineState& m, const Node& node) {
  const ValueType& to = m.graph.type(node.inputs[1]);
  const auto rows = rows_of(m.spaces.at(node.inputs[1]));
  auto& result = m.interpolations[node.outputs[0]];
  for (const Place& place : places(m, node, to.dims)) {
    std::vector<WeightedRow> found;
    double sum = 0.0;
    for (unsigned upper = 0; upper < 1U << to.dims; ++upper) {
      const auto row = rows.find(corner(place, to, upper));
      if (row == rows.end()) continue;
      double weight = 1.0;
      const Site low = corner(place, to, 0);
      for (int a = 0; a < to.dims; ++a) {
        const double distance = std::abs(place.at[a] - static_cast<double>(low[static_cast<std::size_t>(1 + a)])) /
                                static_cast<double>(to.stride[static_cast<std::size_t>(a)]);
        weight *= (upper >> (to.dims - 1 - a) & 1U) != 0 ? distance : 1.0 - distance;
      }
      found.push_back({row->second, weight});
      sum += weight;
    }
    if (node.text("missing") == "renormalise")
      for (WeightedRow& w : found) w.weight /= sum + 1e-8;
    result.push_back(std::move(found));
  }
}

}  // namespace

bool run_point_voxel_op(MachineState& m, const Node& node) {
  if (node.op == "locate") {
    const ValueType& to = m.graph.type(node.inputs[1]);
    const auto rows = rows_of(m.spaces.at(node.inputs[1]));
    auto& index = m.indices[node.outputs[0]];
    for (const Place& place : places(m, node, to.dims)) {
      const auto row = rows.find(corner(place, to, 0));
      index.push_back(row == rows.end() ? -1 : row->second);
    }
    return true;
  }
  if (node.op == "interpolation") {
    weigh(m, node);
    return true;
  }
  if (node.op != "interpolate") return false;
  const Result& x = m.features.at(node.inputs[0]);
  Result y = m.blank(node.outputs[0]);
  const auto& weights = m.interpolations.at(node.inputs[1]);
  for (std::int64_t r = 0; r < y.rows; ++r)
    for (const WeightedRow& w : weights[static_cast<std::size_t>(r)])
      for (std::int64_t c = 0; c < y.cols; ++c)
        y.values[static_cast<std::size_t>(r * y.cols + c)] +=
            w.weight * x.values[static_cast<std::size_t>(w.row * x.cols + c)];
  m.features[node.outputs[0]] = y;
  return true;
}

}  // namespace rarefy::oracle
