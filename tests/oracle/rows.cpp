#include "oracle/rows.h"

#include <algorithm>
#include <map>

namespace rarefy::oracle {
namespace {

Result blank(std::int64_t rows, std::int64_t cols) {
  return {rows, cols, std::vector<double>(static_cast<std::size_t>(rows * cols)), {}};
}
double& at(Result& m, std::int64_t r, std::int64_t c) { return m.values[static_cast<std::size_t>(r * m.cols + c)]; }
double at(const Result& m, std::int64_t r, std::int64_t c) {
  return m.values[static_cast<std::size_t>(r * m.cols + c)];
}

}  // namespace

Result grouped_conv(const Result& x, const std::vector<Pair>& pairs, const std::vector<double>& weights,
                    std::int64_t groups, std::int64_t rows, std::int64_t channels) {
  Result y = blank(rows, channels);
  const std::int64_t in = x.cols / groups, out = channels / groups;
  for (const Pair& p : pairs)
    for (std::int64_t o = 0; o < channels; ++o)
      for (std::int64_t i = 0; i < in; ++i)
        at(y, p.out, o) +=
            at(x, p.in, o / out * in + i) * weights[static_cast<std::size_t>((p.offset * in + i) * channels + o)];
  return y;
}

Result pool(const Result& x, const std::vector<std::vector<std::int64_t>>& members, const std::string& reduction) {
  Result y = blank(static_cast<std::int64_t>(members.size()), x.cols);
  for (std::int64_t r = 0; r < y.rows; ++r) {
    const auto& mine = members[static_cast<std::size_t>(r)];
    for (std::int64_t c = 0; c < x.cols; ++c) {
      double sum = 0.0, most = 0.0;
      for (std::size_t m = 0; m < mine.size(); ++m) {
        sum += at(x, mine[m], c);
        most = m == 0 ? at(x, mine[m], c) : std::max(most, at(x, mine[m], c));
      }
      if (reduction == "mean" && !mine.empty()) sum /= static_cast<double>(mine.size());
      at(y, r, c) = reduction == "max" ? most : sum;
    }
  }
  return y;
}

Result pick(const Result& x, const std::vector<std::int64_t>& index, double fill) {
  Result y = blank(static_cast<std::int64_t>(index.size()), x.cols);
  for (std::int64_t r = 0; r < y.rows; ++r) {
    const std::int64_t from = index[static_cast<std::size_t>(r)];
    for (std::int64_t c = 0; c < x.cols; ++c) at(y, r, c) = from < 0 ? fill : at(x, from, c);
  }
  return y;
}

Joined join(const std::vector<Site>& a, const std::vector<Site>& b, bool both) {
  std::map<Site, std::pair<std::int64_t, std::int64_t>> places;
  for (std::size_t i = 0; i < a.size(); ++i) places[a[i]] = {static_cast<std::int64_t>(i), -1};
  for (std::size_t j = 0; j < b.size(); ++j)
    places.try_emplace(b[j], -1, -1).first->second.second = static_cast<std::int64_t>(j);
  Joined result;
  for (const auto& [site, rows] : places) {
    if (both && (rows.first < 0 || rows.second < 0)) continue;
    result.sites.push_back(site);
    result.in_a.push_back(rows.first);
    result.in_b.push_back(rows.second);
  }
  return result;
}

}  // namespace rarefy::oracle
