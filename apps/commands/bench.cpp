// rarefy bench: how fast the kernels and whole networks are on this machine.
#include "bench/bench.h"

#include "common/command.h"

namespace rarefy::cli::commands {

void bench(CLI::App& command) {
  command.description("Measure convolutions or whole networks on a scan");
  command.require_subcommand(1);
  set_examples(command,
               "  rarefy bench conv --scan scan.bin --channels 64 --threads 1\n"
               "  rarefy bench model --builder minkunet --width 0.5 --scan scan.bin --threads 2\n");
  bench::declare_conv(
      *command.add_subcommand("conv", "Sparse convolutions on the voxels of a scan: forward and gradients"));
  bench::declare_model(*command.add_subcommand("model", "A whole network: voxels, neighbour search, layers"));
}

}  // namespace rarefy::cli::commands
