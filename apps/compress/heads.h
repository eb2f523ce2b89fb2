#pragma once
/// rarefy compress --what heads.
#include <string>
#include <vector>

namespace rarefy::cli {

struct HeadOptions {
  std::string model, out;
  std::vector<std::string> inputs;  ///< arrays as of `rarefy run`
  double ratio = 0;                 ///< share of the heads that the last block loses
  bool cascade = true;              ///< else each block by itself
  int threads = 1, repetitions = 5;
  bool json = false;
};

/// Writes the model without the heads that matter least on the inputs and says what that changed.
void drop_heads(const HeadOptions& options);

}  // namespace rarefy::cli
