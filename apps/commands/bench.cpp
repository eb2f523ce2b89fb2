// rarefy bench: how fast the kernels and whole networks are on this machine.
#include "bench/bench.h"

#include <memory>

#include "base/check.h"
#include "common/command.h"

namespace rarefy::cli::commands {
namespace {

struct Options {
  bool self_check = false;
  bool json = false;
};

}  // namespace

void bench(CLI::App& command) {
  command.description("Measure convolutions or whole networks, or prove the kernels on this CPU");
  command.require_subcommand(0, 1);
  set_examples(command,
               "  rarefy bench conv --scan scan.bin --channels 64 --threads 1\n"
               "  rarefy bench model --builder minkunet --width 0.5 --scan scan.bin --threads 2\n"
               "  rarefy bench crossover --channels 64     from which density on dense convolution is faster\n"
               "  rarefy bench scale --scan scan.bin       from a thousand points to a million\n"
               "  rarefy bench --self-check                 every kernel variant against plain double precision\n");
  bench::declare_conv(
      *command.add_subcommand("conv", "Sparse convolutions on the voxels of a scan: forward and gradients"));
  bench::declare_crossover(
      *command.add_subcommand("crossover", "The density above which dense convolution is faster than sparse"));
  bench::declare_ablation(*command.add_subcommand("ablation", "What each idea of the kernels and plans gained"));
  bench::declare_dataflows(*command.add_subcommand("dataflows", "What each dataflow takes, per type of layer"));
  bench::declare_batches(
      *command.add_subcommand("batches", "The same voxels as one scan, uneven batches and many small events"));
  bench::declare_model(*command.add_subcommand("model", "A whole network: voxels, neighbour search, layers"));
  bench::declare_precision(
      *command.add_subcommand("precision", "A whole network on real numbers and on 8-bit integers"));
  bench::declare_scale(*command.add_subcommand("scale", "Time and memory from a thousand points to millions"));
  auto o = std::make_shared<Options>();
  CLI::Option* self_check = command.add_flag(
      "--self-check", o->self_check, "Prove every kernel variant that this CPU runs; exit code 1 when one fails");
  command.add_flag("--json", o->json, "With --self-check: print JSON")->needs(self_check);
  command.callback([o, &command] {
    if (o->self_check) return bench::run_self_check(o->json);
    RAREFY_CHECK(!command.get_subcommands().empty(), UsageError,
                 "bench: a subcommand or --self-check is required (see rarefy bench --help)");
  });
}

}  // namespace rarefy::cli::commands
