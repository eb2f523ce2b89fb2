#pragma once
/// What a subcommand is: a function that declares its options and sets the callback that does the job.
#include <CLI/CLI.hpp>
#include <string>

namespace rarefy::cli {

/// Declares options, help and callback of a subcommand. One per file of apps/commands, named after it.
using Declare = void (*)(CLI::App& command);

/// Ends the program with this code; whoever throws it has said why.
struct Exit {
  int code = 0;
};

inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;
inline constexpr int kInterrupted = 130;

/// Text below the options in --help.
void set_examples(CLI::App& command, const std::string& examples);

/// The option --threads; `threads` keeps 0 until parsed, then at least 1 (default: all cores of the machine).
void add_threads(CLI::App& command, int& threads);
/// The option --format of a single scan.
void add_format(CLI::App& command, std::string& format);
/// Where and how a model runs, as typed; plan_of (segmenter.h) makes a plan's options of it.
struct PlanChoice {
  std::string tuning, device = "cpu", precision;
};
/// The options --device, --precision and --tuning.
void add_plan(CLI::App& command, PlanChoice& choice);
/// The option --json.
void add_json(CLI::App& command, bool& json);
/// Number of threads meant by 0.
int threads_or_all(int threads);

/// Keeps what was typed, quoted for a shell; set once, by main.
void remember_command_line(int argc, const char* const* argv);
const std::string& command_line();

}  // namespace rarefy::cli
