// rarefy train: runs rarefy-train, as git runs its own.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "common/command.h"
#include "common/train_program.h"

namespace rarefy::cli::commands {

void train(CLI::App& command) {
  command.description("Train a network (runs rarefy-train, which needs LibTorch)");
  // Everything after "train" belongs to rarefy-train, --help included.
  command.set_help_flag();
  command.prefix_command();
  command.callback([&command] {
    const std::string program = find_train_program();
    RAREFY_CHECK(
        !program.empty(), UnsupportedError,
        "train needs the program rarefy-train, which is neither beside rarefy nor on PATH; build it with LibTorch: "
        "./dev build full, or cmake -DRAREFY_TRAIN=ON");
    std::vector<std::string> arguments = command.remaining();
    std::vector<char*> pointers{const_cast<char*>(program.c_str())};
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    execv(program.c_str(), pointers.data());
    fail<IoError>("{}: {}", program, std::strerror(errno));
  });
}

}  // namespace rarefy::cli::commands
