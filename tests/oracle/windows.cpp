#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "oracle/machine.h"

namespace rarefy::oracle {
namespace {

using Rows = std::vector<std::int64_t>;

double& at(Result& x, std::int64_t r, std::int64_t c) { return x.values[static_cast<std::size_t>(r * x.cols + c)]; }
double at(const Result& x, std::int64_t r, std::int64_t c) {
  return x.values[static_cast<std::size_t>(r * x.cols + c)];
}

std::int64_t floor_divided(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/// Where a token lies.
struct Place {
  std::int64_t image, line, column;
};
Place place_of(const Node& node, std::int64_t token) {
  const std::int64_t height = node.integer("height"), width = node.integer("width");
  return {token / (height * width), token / width % height, token % width};
}

/// Tokens by window, in the order of windows: an axis is cut at shift + k * window.
std::vector<Rows> tokens_by_window(const Node& node, std::int64_t tokens) {
  const std::int64_t window = node.integer("window");
  const auto cut = [&](std::int64_t at, std::int64_t length) {
    return floor_divided(at - (length > window ? node.integer("shift") : 0), window);
  };
  std::map<std::array<std::int64_t, 3>, Rows> windows;
  for (std::int64_t t = 0; t < tokens; ++t) {
    const Place p = place_of(node, t);
    windows[{p.image, cut(p.line, node.integer("height")), cut(p.column, node.integer("width"))}].push_back(t);
  }
  std::vector<Rows> result;
  for (auto& [unused, rows] : windows) result.push_back(std::move(rows));
  return result;
}

Space tokens(const std::vector<std::int64_t>& counts) {
  Space space;
  space.samples = static_cast<std::int64_t>(counts.size());
  space.sample_begin.push_back(0);
  for (const std::int64_t count : counts) space.sample_begin.push_back(space.sample_begin.back() + count);
  space.rows = space.sample_begin.back();
  return space;
}

void windows(MachineState& m, const Node& node) {
  const Space& from = m.spaces.at(node.inputs[0]);
  const auto all = tokens_by_window(node, from.rows);
  auto& index = m.indices[node.outputs[1]];
  index.assign(static_cast<std::size_t>(from.rows), -1);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(from.samples), 0);
  for (std::size_t w = 0; w < all.size(); ++w) {
    ++counts[static_cast<std::size_t>(place_of(node, all[w][0]).image)];
    for (const std::int64_t t : all[w]) index[static_cast<std::size_t>(t)] = static_cast<std::int64_t>(w);
  }
  m.spaces[node.outputs[0]] = tokens(counts);
}

void window_rows(MachineState& m, const Node& node) {
  const Space& from = m.spaces.at(node.inputs[0]);
  const auto all = tokens_by_window(node, from.rows);
  Rows kept;
  for (std::size_t w = 0; w < all.size(); ++w) kept.push_back(static_cast<std::int64_t>(w));
  if (node.inputs.size() > 2) kept = m.indices.at(node.inputs[2]);
  auto &tokens_of = m.indices[node.outputs[1]], &rows_of = m.indices[node.outputs[2]];
  rows_of.assign(static_cast<std::size_t>(from.rows), -1);
  std::vector<std::int64_t> counts;
  for (const std::int64_t w : kept) {
    const Rows& rows = all[static_cast<std::size_t>(w)];
    counts.push_back(static_cast<std::int64_t>(rows.size()));
    for (const std::int64_t t : rows) {
      rows_of[static_cast<std::size_t>(t)] = static_cast<std::int64_t>(tokens_of.size());
      tokens_of.push_back(t);
    }
  }
  m.spaces[node.outputs[0]] = tokens(counts);
}

void attend(MachineState& m, const Node& node) {
  const Result &q = m.features.at(node.inputs[0]), &k = m.features.at(node.inputs[1]),
               &v = m.features.at(node.inputs[2]);
  const auto& token = m.indices.at(node.inputs[3]);
  const auto table = m.parameter(node, 0);
  const std::int64_t heads = node.integer("heads"), d = q.cols / heads, e = v.cols / heads, w = node.integer("window");
  const Space& space = m.space_of(node.inputs[0]);
  Result y = m.blank(node.outputs[0]);
  for (std::int64_t s = 0; s < space.samples; ++s) {
    const std::int64_t first = space.sample_begin[static_cast<std::size_t>(s)],
                       last = space.sample_begin[static_cast<std::size_t>(s) + 1];
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t i = first; i < last; ++i) {
        std::vector<double> p;
        const Place from = place_of(node, token[static_cast<std::size_t>(i)]);
        for (std::int64_t j = first; j < last; ++j) {
          const Place to = place_of(node, token[static_cast<std::size_t>(j)]);
          double score = 0.0;
          for (std::int64_t c = h * d; c < (h + 1) * d; ++c) score += at(q, i, c) * at(k, j, c);
          const std::int64_t step = (from.line - to.line + w - 1) * (2 * w - 1) + from.column - to.column + w - 1;
          p.push_back(score / std::sqrt(static_cast<double>(d)) + table[static_cast<std::size_t>(step * heads + h)]);
        }
        const double most = *std::max_element(p.begin(), p.end());
        double sum = 0.0;
        for (double& value : p) sum += value = std::exp(value - most);
        for (std::int64_t j = first; j < last; ++j)
          for (std::int64_t c = h * e; c < (h + 1) * e; ++c)
            at(y, i, c) += p[static_cast<std::size_t>(j - first)] / sum * at(v, j, c);
      }
  }
  m.features[node.outputs[0]] = y;
}

void scale_rows(MachineState& m, const Node& node) {
  Result y = m.features.at(node.inputs[0]);
  for (std::int64_t r = 0; r < y.rows; ++r)
    for (std::int64_t c = 0; c < y.cols; ++c) at(y, r, c) *= at(m.features.at(node.inputs[1]), r, 0);
  m.features[node.outputs[0]] = y;
}

/// Hats around the centres of the coarse cells, evaluated at the centres of the others.
void resize(MachineState& m, const Node& node) {
  const Result& x = m.features.at(node.inputs[0]);
  const std::int64_t height = node.integer("height"), width = node.integer("width"), lines = node.integer("to_height"),
                     columns = node.integer("to_width");
  const auto weight = [](std::int64_t to, std::int64_t to_size, std::int64_t from, std::int64_t from_size) {
    const double at =
        (static_cast<double>(to) + 0.5) * static_cast<double>(from_size) / static_cast<double>(to_size) - 0.5;
    const double inside = std::clamp(at, 0.0, static_cast<double>(from_size - 1));
    return std::max(0.0, 1.0 - std::abs(inside - static_cast<double>(from)));
  };
  Result y = m.blank(node.outputs[0]);
  for (std::int64_t r = 0; r < y.rows; ++r) {
    const std::int64_t image = r / (lines * columns), i = r / columns % lines, j = r % columns;
    for (std::int64_t a = 0; a < height; ++a)
      for (std::int64_t b = 0; b < width; ++b) {
        const double w = weight(i, lines, a, height) * weight(j, columns, b, width);
        for (std::int64_t c = 0; c < y.cols && w > 0.0; ++c)
          at(y, r, c) += w * at(x, (image * height + a) * width + b, c);
      }
  }
  m.features[node.outputs[0]] = y;
}

}  // namespace

bool run_window_op(MachineState& machine, const Node& node) {
  static const std::map<std::string, void (*)(MachineState&, const Node&)> ops = {{"windows", windows},
                                                                                  {"window_rows", window_rows},
                                                                                  {"window_attention", attend},
                                                                                  {"scale_rows", scale_rows},
                                                                                  {"resize_grid", resize}};
  const auto op = ops.find(node.op);
  if (op == ops.end()) return false;
  op->second(machine, node);
  return true;
}

}  // namespace rarefy::oracle
