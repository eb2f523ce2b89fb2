#pragma once
/// Checkpoints: all that a training run needs to go on as if it had never stopped, in one file that is replaced
/// atomically.
#include <cstdint>
#include <string>

#include "train/learner.h"

namespace rarefy::train {

struct Checkpoint {
  std::int64_t step = 0;  ///< steps done
  double seconds = 0.0;   ///< time spent so far, over all parts of the run
  std::string settings;   ///< what determines the result, as text; must be equal to go on
  std::string curve;      ///< rows of the curve so far, as CSV
  Learner::State state;
};

/// Writes to a temporary name, then renames: killed at any moment, the previous checkpoint or the new one is there.
/// @throws IoError
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);
/// @throws IoError, InputError (names file, position and what is wrong; a checksum guards the content)
Checkpoint load_checkpoint(const std::string& path);

}  // namespace rarefy::train
