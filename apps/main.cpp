// rarefy: a client of the library. Each subcommand is a file of commands/; this file lists the folder.
#include <algorithm>
#include <exception>
#include <new>

#include "base/check.h"
#include "base/text.h"
#include "common/build_info.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "rarefy/error.h"

namespace rarefy::cli::commands {
#define RAREFY_COMMAND(name) void name(CLI::App& command);
#include "command_list.inc"
#undef RAREFY_COMMAND
}  // namespace rarefy::cli::commands

namespace rarefy::cli {
namespace {

void declare_all(CLI::App& app) {
  app.set_version_flag("--version", "rarefy " + build_info().version + " (" + build_info().commit + ")");
  app.require_subcommand(1);
  set_examples(app,
               "  rarefy segment scan.bin --report out.html     label a LiDAR scan and look at it\n"
               "  rarefy SUBCOMMAND --help                      options and examples of each\n");
#define RAREFY_COMMAND(name) commands::name(*app.add_subcommand(#name));
#include "command_list.inc"
#undef RAREFY_COMMAND
}

/// One line on standard error, without CLI11's advice; help and version go to standard output.
int report_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  const std::string help = at == &app ? "rarefy --help" : "rarefy " + at->get_name() + " --help";
  complain(std::string(error.what()) + " (see " + help + ")");
  return kUsage;
}

/// CLI11 would only say that a subcommand is missing.
void check_subcommand(const CLI::App& app, int argc, const char* const* argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> known;
  for (const CLI::App* command : app.get_subcommands({})) known.push_back(command->get_name());
  RAREFY_CHECK(std::find(known.begin(), known.end(), argv[1]) != known.end(), UsageError,
               "there is no subcommand '{}'{}", argv[1], did_you_mean(argv[1], known));
}

int run(int argc, char** argv) {
  watch_interrupts();
  remember_command_line(argc, argv);
  CLI::App app{"Sparse networks that compute only what matters: LiDAR segmentation from a scan to labelled points."};
  declare_all(app);
  check_subcommand(app, argc, argv);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return report_parse_error(app, error);
  }
}

/// What main does, with every failure said once.
int guarded(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Exit& exit) {
    return exit.code;
  } catch (const Cancelled& error) {
    complain(error.what());
    return kInterrupted;
  } catch (const UsageError& error) {
    complain(error.what());
    return kUsage;
  } catch (const std::bad_alloc&) {
    complain("out of memory");
    return kFailure;
  } catch (const std::exception& error) {
    complain(error.what());
    return kFailure;
  }
}

}  // namespace
}  // namespace rarefy::cli

int main(int argc, char** argv) { return rarefy::cli::guarded(argc, argv); }
