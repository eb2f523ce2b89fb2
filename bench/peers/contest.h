#pragma once
/// One row of the comparison: the same work done by rarefy and by the peer, in turns, in one process.
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "measure/timing.h"

namespace rarefy::peer {

using Json = nlohmann::ordered_json;

/// One side, ready to run.
struct Contestant {
  std::function<double()> run;                 ///< once; returns milliseconds
  std::function<std::vector<float>()> result;  ///< of the last run
  std::function<double()> gflop;               ///< of a run; asked of our side only
  std::function<double()> loss;                ///< of the last run, where something learns
};

struct Contest {
  std::string name;
  Json about;  ///< what else JSON says of it
  double tolerance = 0;
  std::int64_t classes = 0;  ///< results are rows of so many scores: how many rows agree on the largest is reported
  std::function<Contestant()> ours, peer;
};

struct Settings {
  int threads = 1;
  double seconds = 3;                       ///< of repetitions
  int least = 5;                            ///< repetitions
  std::vector<std::string> memory_command;  ///< what measures the memory of one side of one row; empty: not measured
};

/// Runs both, compares, then times them in turns.
/// @throws Error when the results differ by more than the tolerance: different computations are not timed
Json run_contest(const Contest& contest, const Settings& settings, cli::bench::Peak& peak);

/// max |a - b| / max |b|. @throws ShapeError when the sizes differ
double relative_error(const std::vector<float>& a, const std::vector<float>& b);

/// Share of rows of `classes` scores in which both have the same largest one; 1 for no rows.
double same_labels(const std::vector<float>& a, const std::vector<float>& b, std::int64_t classes);

/// Runs one side alone and returns the most memory that this process ever held, MB.
double memory_of_side(const Contest& contest, const std::string& side, int threads);

void print_header(int threads);
void print_row(const Json& row);

}  // namespace rarefy::peer
