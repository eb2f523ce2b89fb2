#pragma once
/// The program that trains: it alone links LibTorch, so it is apart.
#include <string>

namespace rarefy::cli {

/// Path of rarefy-train beside this program, else on PATH; empty when there is none.
std::string find_train_program();

}  // namespace rarefy::cli
