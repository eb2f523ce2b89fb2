#include <algorithm>
#include <cmath>

#include "oracle/machine.h"

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
