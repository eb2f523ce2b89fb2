#pragma once
/// Ops on rows in double precision, the obvious way: part of the graph oracle.
#include <cstdint>
#include <string>
#include <vector>

#include "oracle/graph.h"
#include "oracle/sparse.h"

namespace rarefy::oracle {

/// y[out] = sum over pairs of x[in] w[k] with weights [K, C_in / groups, C_out]; group g of the inputs meets group g of
/// the outputs alone.
Result grouped_conv(const Result& x, const std::vector<Pair>& pairs, const std::vector<double>& weights,
                    std::int64_t groups, std::int64_t rows, std::int64_t channels);

/// "max", "mean" or "sum" of the rows that belong together: row members[r] of the result takes those rows of x; zero
/// where there are none.
Result pool(const Result& x, const std::vector<std::vector<std::int64_t>>& members, const std::string& reduction);

/// Rows of x by index; `fill` where it is negative.
Result pick(const Result& x, const std::vector<std::int64_t>& index, double fill);

/// Sites of both lists or of either, in order, and for each its place in a and in b, or -1.
struct Joined {
  std::vector<Site> sites;
  std::vector<std::int64_t> in_a, in_b;
};
Joined join(const std::vector<Site>& a, const std::vector<Site>& b, bool both);

}  // namespace rarefy::oracle
