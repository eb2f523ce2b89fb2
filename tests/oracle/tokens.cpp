#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "oracle/machine.h"
#include "oracle/rows.h"

namespace rarefy::oracle {
namespace {

using Rows = std::vector<std::int64_t>;

double& at(Result& x, std::int64_t r, std::int64_t c) { return x.values[static_cast<std::size_t>(r * x.cols + c)]; }
double at(const Result& x, std::int64_t r, std::int64_t c) {
  return x.values[static_cast<std::size_t>(r * x.cols + c)];
}

std::vector<Rows> rows_by_sample(const Space& space) {
  std::vector<Rows> result(static_cast<std::size_t>(space.samples));
  for (std::int64_t r = 0; r < space.rows; ++r) result[static_cast<std::size_t>(space.sample_of(r))].push_back(r);
  return result;
}

/// Rows without coordinates, so many per sample.
Space tokens(const std::vector<std::int64_t>& counts) {
  Space space;
  space.samples = static_cast<std::int64_t>(counts.size());
  space.sample_begin.push_back(0);
  for (const std::int64_t count : counts) space.sample_begin.push_back(space.sample_begin.back() + count);
  space.rows = space.sample_begin.back();
  return space;
}

/// What row i attends to, over the rows of its sample.
std::vector<double> probabilities(const Result& q, const Result& k, const Result* sizes, const Rows& rows,
                                  std::int64_t i, std::int64_t head, std::int64_t heads) {
  const std::int64_t d = q.cols / heads;
  std::vector<double> p;
  double most = -std::numeric_limits<double>::infinity(), sum = 0.0;
  for (const std::int64_t j : rows) {
    double score = 0.0;
    for (std::int64_t c = head * d; c < (head + 1) * d; ++c) score += at(q, i, c) * at(k, j, c);
    p.push_back(score / std::sqrt(static_cast<double>(d)) + (sizes == nullptr ? 0.0 : std::log(at(*sizes, j, 0))));
    most = std::max(most, p.back());
  }
  for (double& v : p) sum += v = std::exp(v - most);
  for (double& v : p) v /= sum;
  return p;
}

void attend(MachineState& m, const Node& node) {
  const Result &q = m.features.at(node.inputs[0]), &k = m.features.at(node.inputs[1]),
               &v = m.features.at(node.inputs[2]);
  const Result* sizes = node.inputs.size() > 3 ? &m.features.at(node.inputs[3]) : nullptr;
  const std::int64_t heads = node.integer("heads"), e = v.cols / heads;
  Result y = m.blank(node.outputs[0]);
  for (const Rows& rows : rows_by_sample(m.space_of(node.inputs[0])))
    for (const std::int64_t i : rows)
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto p = probabilities(q, k, sizes, rows, i, h, heads);
        for (std::size_t j = 0; j < rows.size(); ++j)
          for (std::int64_t c = h * e; c < (h + 1) * e; ++c) at(y, i, c) += p[j] * at(v, rows[j], c);
      }
  m.features[node.outputs[0]] = y;
}

void receive(MachineState& m, const Node& node) {
  const Result &q = m.features.at(node.inputs[0]), &k = m.features.at(node.inputs[1]);
  const Result* sizes = node.inputs.size() > 2 ? &m.features.at(node.inputs[2]) : nullptr;
  const std::int64_t heads = node.integer("heads");
  Result y = m.blank(node.outputs[0]);
  for (const Rows& rows : rows_by_sample(m.space_of(node.inputs[0])))
    for (const std::int64_t i : rows) {
      if (node.text("queries") == "first" && i != rows[0]) continue;
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto p = probabilities(q, k, sizes, rows, i, h, heads);
        for (std::size_t j = 0; j < rows.size(); ++j) at(y, rows[j], 0) += p[j] / static_cast<double>(heads);
      }
    }
  m.features[node.outputs[0]] = y;
}

void embed(MachineState& m, const Node& node) {
  const Result& x = m.features.at(node.inputs[0]);
  const auto table = m.parameter(node, 0);
  Result y = m.blank(node.outputs[0]);
  for (std::int64_t r = 0; r < y.rows; ++r)
    for (std::int64_t c = 0; c < y.cols; ++c)
      at(y, r, c) = table[static_cast<std::size_t>(static_cast<std::int64_t>(at(x, r, 0)) * y.cols + c)];
  m.features[node.outputs[0]] = y;
}

void place(MachineState& m, const Node& node) {
  Result y = m.blank(node.outputs[0]);
  for (const Rows& rows : rows_by_sample(m.spaces.at(node.inputs[0])))
    for (std::size_t i = 0; i < rows.size(); ++i) at(y, rows[i], 0) = static_cast<double>(i);
  m.features[node.outputs[0]] = y;
}

void prepend(MachineState& m, const Node& node) {
  std::vector<std::int64_t> counts;
  auto& index = m.indices[node.outputs[1]];
  for (const Rows& rows : rows_by_sample(m.spaces.at(node.inputs[0]))) {
    counts.push_back(static_cast<std::int64_t>(rows.size()) + 1);
    index.push_back(-1);
    index.insert(index.end(), rows.begin(), rows.end());
  }
  m.spaces[node.outputs[0]] = tokens(counts);
}

void first(MachineState& m, const Node& node) {
  auto& index = m.indices[node.outputs[0]];
  for (const Rows& rows : rows_by_sample(m.spaces.at(node.inputs[0]))) index.push_back(rows.empty() ? -1 : rows[0]);
}

void with_token(MachineState& m, const Node& node) {
  const auto token = m.parameter(node, 0);
  const auto& index = m.indices.at(node.inputs[1]);
  Result y = pick(m.features.at(node.inputs[0]), index, 0.0);
  for (std::int64_t r = 0; r < y.rows; ++r)
    for (std::int64_t c = 0; index[static_cast<std::size_t>(r)] < 0 && c < y.cols; ++c)
      at(y, r, c) = token[static_cast<std::size_t>(c)];
  m.features[node.outputs[0]] = y;
}

void count_patches(MachineState& m, const Node& node) {
  const std::int64_t patch = node.integer("patch");
  std::vector<std::int64_t> counts;
  for (const Rows& rows : rows_by_sample(m.spaces.at(node.inputs[0])))
    counts.push_back(rows.empty() ? 0
                                  : (node.integer("height") + patch - 1) / patch *
                                        ((node.integer("width") + patch - 1) / patch));
  m.spaces[node.outputs[0]] = tokens(counts);
}

void cut(MachineState& m, const Node& node) {
  const Result& x = m.features.at(node.inputs[0]);
  const std::int64_t height = node.integer("height"), width = node.integer("width"), patch = node.integer("patch");
  Result y = m.blank(node.outputs[0]);
  for (std::int64_t pixel = 0; pixel < x.rows; ++pixel) {
    const std::int64_t image = pixel / (height * width), line = pixel / width % height, column = pixel % width;
    const std::int64_t lines = (height + patch - 1) / patch, columns = (width + patch - 1) / patch;
    const std::int64_t row = image * lines * columns + line / patch * columns + column / patch;
    for (std::int64_t c = 0; c < x.cols; ++c)
      at(y, row, (c * patch + line % patch) * patch + column % patch) = at(x, pixel, c);
  }
  m.features[node.outputs[0]] = y;
}

void top(MachineState& m, const Node& node) {
  const Result& scores = m.features.at(node.inputs[0]);
  const Space& from = m.spaces.at(node.inputs[1]);
  auto &kept = m.indices[node.outputs[1]], &where = m.indices[node.outputs[2]];
  where.assign(static_cast<std::size_t>(from.rows), -1);
  std::vector<std::int64_t> counts;
  for (const Rows& rows : rows_by_sample(from)) {
    const auto n = static_cast<std::int64_t>(rows.size()), leading = std::min(node.integer("leading"), n);
    const double wanted = node.number("share") * static_cast<double>(n - leading);
    std::int64_t stay =
        static_cast<std::int64_t>(node.text("rounding") == "up" ? std::ceil(wanted - 1e-6) : std::floor(wanted + 1e-6));
    if (node.integer("count") > 0) stay = std::min(node.integer("count"), n - leading);
    if (n > 0 && stay + leading == 0) stay = 1;
    Rows order(rows.begin() + leading, rows.end());
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return at(scores, a, 0) > at(scores, b, 0); });
    if (const auto& above = node.numbers("above"); !above.empty()) {
      const auto low = std::find_if(order.begin(), order.begin() + stay,
                                    [&](std::int64_t r) { return !(at(scores, r, 0) > above[0]); });
      stay = std::max<std::int64_t>(low - order.begin(), n > 0 && leading == 0 ? 1 : 0);
    }
    Rows chosen(rows.begin(), rows.begin() + leading);
    chosen.insert(chosen.end(), order.begin(), order.begin() + stay);
    std::sort(chosen.begin(), chosen.end());
    for (const std::int64_t r : chosen) {
      where[static_cast<std::size_t>(r)] = static_cast<std::int64_t>(kept.size());
      kept.push_back(r);
    }
    const bool fused = node.integer("fuse") != 0 && leading + stay < n;
    if (fused) {
      for (const std::int64_t r : rows)
        if (where[static_cast<std::size_t>(r)] < 0)
          where[static_cast<std::size_t>(r)] = static_cast<std::int64_t>(kept.size());
      kept.push_back(-1);
    }
    counts.push_back(leading + stay + (fused ? 1 : 0));
  }
  Space space = tokens(counts);
  if (node.integer("fuse") == 0 && from.dims > 0) {
    space.dims = from.dims;
    for (const std::int64_t r : kept) space.sites.push_back(from.sites[static_cast<std::size_t>(r)]);
  }
  m.spaces[node.outputs[0]] = space;
}

void fuse(MachineState& m, const Node& node) {
  const Result &x = m.features.at(node.inputs[0]), &w = m.features.at(node.inputs[1]);
  const auto &kept = m.indices.at(node.inputs[2]), &where = m.indices.at(node.inputs[3]);
  Result y = pick(x, kept, 0.0);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const std::int64_t to = where[static_cast<std::size_t>(r)];
    if (to < 0 || kept[static_cast<std::size_t>(to)] >= 0) continue;
    for (std::int64_t c = 0; c < x.cols; ++c) at(y, to, c) += at(w, r, 0) * at(x, r, c);
  }
  m.features[node.outputs[0]] = y;
}

double cosine(const Result& metric, std::int64_t a, std::int64_t b, std::int64_t heads) {
  const std::int64_t cols = metric.cols / heads;
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for (std::int64_t c = 0; c < cols; ++c) {
    double x = 0.0, y = 0.0;
    for (std::int64_t h = 0; h < heads; ++h) {
      x += at(metric, a, h * cols + c);
      y += at(metric, b, h * cols + c);
    }
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

void match(MachineState& m, const Node& node) {
  const Result& metric = m.features.at(node.inputs[0]);
  auto& merged = m.indices[node.outputs[1]];
  merged.assign(static_cast<std::size_t>(metric.rows), -1);
  std::vector<std::int64_t> counts;
  std::int64_t next = 0;
  for (const Rows& rows : rows_by_sample(m.spaces.at(node.inputs[1]))) {
    const auto n = static_cast<std::int64_t>(rows.size());
    const std::int64_t remove =
        std::max<std::int64_t>(0, std::min(node.integer("remove"), (n - node.integer("leading")) / 2));
    const std::int64_t before = next;
    struct Best {
      double similarity;
      std::int64_t from, into;
    };
    std::vector<Best> best;
    for (std::int64_t i = 2 * node.integer("leading"); i < n && n > 1; i += 2) {
      Best found{-2.0, rows[static_cast<std::size_t>(i)], -1};
      for (std::int64_t j = 1; j < n; j += 2) {
        const double s = cosine(metric, found.from, rows[static_cast<std::size_t>(j)], node.integer("heads"));
        if (s > found.similarity) {
          found.similarity = s;
          found.into = rows[static_cast<std::size_t>(j)];
        }
      }
      best.push_back(found);
    }
    std::stable_sort(best.begin(), best.end(),
                     [](const Best& a, const Best& b) { return a.similarity > b.similarity; });
    best.resize(static_cast<std::size_t>(std::min<std::int64_t>(remove, static_cast<std::int64_t>(best.size()))));
    const auto goes = [&](std::int64_t row) {
      return std::any_of(best.begin(), best.end(), [row](const Best& b) { return b.from == row; });
    };
    const std::int64_t step = best.empty() ? 1 : 2;
    for (std::int64_t parity = 0; parity < step; ++parity)
      for (std::int64_t i = parity; i < n; i += step)
        if (!goes(rows[static_cast<std::size_t>(i)]))
          merged[static_cast<std::size_t>(rows[static_cast<std::size_t>(i)])] = next++;
    for (const Best& b : best) merged[static_cast<std::size_t>(b.from)] = merged[static_cast<std::size_t>(b.into)];
    counts.push_back(next - before);
  }
  m.spaces[node.outputs[0]] = tokens(counts);
}

void merge(MachineState& m, const Node& node) {
  const Result &x = m.features.at(node.inputs[0]), &sizes = m.features.at(node.inputs[1]);
  const auto& merged = m.indices.at(node.inputs[2]);
  Result y = m.blank(node.outputs[0]);
  std::vector<double> total(static_cast<std::size_t>(y.rows), 0.0);
  for (std::int64_t r = 0; r < x.rows; ++r)
    total[static_cast<std::size_t>(merged[static_cast<std::size_t>(r)])] += at(sizes, r, 0);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const std::int64_t to = merged[static_cast<std::size_t>(r)];
    for (std::int64_t c = 0; c < x.cols; ++c)
      at(y, to, c) += at(sizes, r, 0) / total[static_cast<std::size_t>(to)] * at(x, r, c);
  }
  m.features[node.outputs[0]] = y;
}

void to_unit_length(MachineState& m, const Node& node) {
  Result y = m.features.at(node.inputs[0]);
  for (std::int64_t r = 0; r < y.rows; ++r) {
    double square = 0.0;
    for (std::int64_t c = 0; c < y.cols; ++c) square += at(y, r, c) * at(y, r, c);
    for (std::int64_t c = 0; c < y.cols; ++c) at(y, r, c) /= std::max(std::sqrt(square), node.number("epsilon"));
  }
  m.features[node.outputs[0]] = y;
}

}  // namespace

bool run_token_op(MachineState& machine, const Node& node) {
  static const std::map<std::string, void (*)(MachineState&, const Node&)> ops = {
      {"attention", attend},       {"attention_scores", receive},
      {"embedding", embed},        {"positions", place},
      {"prepend_rows", prepend},   {"first_rows", first},
      {"class_token", with_token}, {"patches", count_patches},
      {"cut_patches", cut},        {"select_top", top},
      {"fuse_rows", fuse},         {"match_tokens", match},
      {"merge_rows", merge},       {"l2_normalize", to_unit_length}};
  const auto op = ops.find(node.op);
  if (op == ops.end()) return false;
  op->second(machine, node);
  return true;
}

}  // namespace rarefy::oracle
