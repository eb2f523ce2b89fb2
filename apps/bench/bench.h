#pragma once
/// Measurements of `rarefy bench`: medians over repetitions, shares of a peak measured in between.
#include <CLI/CLI.hpp>

#include "measure/timing.h"

namespace rarefy::cli::bench {

void declare_ablation(CLI::App& command);
void declare_batches(CLI::App& command);
void declare_conv(CLI::App& command);
void declare_crossover(CLI::App& command);
void declare_dataflows(CLI::App& command);
void declare_model(CLI::App& command);
void declare_precision(CLI::App& command);
void declare_scale(CLI::App& command);
/// Proves every kernel variant that this CPU runs, and prints what was found. @throws Exit when one fails
void run_self_check(bool json);

}  // namespace rarefy::cli::bench
