#pragma once
/// Small random graphs around one op, for the conformance test.
#include <cstdint>
#include <functional>
#include <vector>

#include "base/rng.h"
#include "rarefy/builder.h"
#include "rarefy/graph.h"

namespace rarefy {

/// Random sparse data: sites drawn from a small box (negative positions included), so that neighbours occur.
OpExample::Data random_sparse_data(std::string name, int dims, std::int64_t stride, std::int64_t channels,
                                   std::int64_t rows, std::int64_t batches, Rng rng);
/// Random points [rows, channels], coordinates first, within a few metres.
OpExample::Data random_point_data(std::string name, std::int64_t channels, std::int64_t rows, std::int64_t samples,
                                  Rng rng);

/// A box around the origin that holds some of the sites of random_sparse_data and misses others.
DenseOptions random_box(int dims, std::int64_t stride, Rng& rng);

/// Examples with one sparse input "x" (1 to 4 dimensions, several sizes, one of them empty); `make` adds the op and
/// returns the value that becomes output "y".
std::vector<OpExample> sparse_examples(std::uint64_t seed,
                                       const std::function<ValueId(Builder&, ValueId x, Rng&)>& make);
/// The same with two sparse inputs "x" and "other" of equal dimensions, which share some sites; each may be empty.
std::vector<OpExample> two_input_examples(std::uint64_t seed,
                                          const std::function<ValueId(Builder&, ValueId x, ValueId other, Rng&)>& make);
/// The same with one input of `channels` columns over a line, few rows in several samples: for ops on tokens.
std::vector<OpExample> token_examples(std::uint64_t seed, std::int64_t channels,
                                      const std::function<ValueId(Builder&, ValueId x, Rng&)>& make);
/// The same with points input "points" (x, y, z, intensity).
std::vector<OpExample> point_examples(std::uint64_t seed,
                                      const std::function<ValueId(Builder&, ValueId points, Rng&)>& make);

}  // namespace rarefy
