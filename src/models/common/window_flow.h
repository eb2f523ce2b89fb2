#pragma once
/// Transformer blocks over windows of an image, which windows may skip. Liu et al., ICCV 2021; Chen et al., CVPR 2023.
#include <string>
#include <vector>

#include "rarefy/builder.h"
#include "rarefy/models.h"

namespace rarefy::models {

/// Which windows go through the blocks of a stage.
struct WindowPolicy {
  enum class Scorer : std::uint8_t {
    none,       ///< all windows
    magnitude,  ///< mean of |x| over the channels of a token, length of the vector of a window's tokens: SparseViT
    random,     ///< a table of random numbers: the control
    learned,    ///< a small perceptron per token, mean over the window, which also scales what the window gains
  };
  Scorer scorer = Scorer::none;
  double drop = 0.0;       ///< share of the windows that skip every block; training and searches change it per block
  std::int64_t dense = 0;  ///< so many blocks at the beginning of each stage are never skipped
  bool light = false;      ///< windows that skip a block go through one linear layer instead
};

/// The settings "select", "drop", "dense_blocks" and "light".
std::vector<ModelSetting> window_settings();
/// @throws UsageError for a value out of range
WindowPolicy window_policy(const ModelDef& def, const ModelOptions& options);

/// The blocks of one stage.
struct StageOptions {
  std::int64_t height = 0, width = 0;                         ///< of the grid of tokens
  std::int64_t depth = 2, heads = 3, window = 7, hidden = 4;  ///< hidden: times the channels
  std::string name;                                           ///< "layers.0": blocks are NAME.blocks.N
};

/// Blocks with windows in turn plain and shifted by half a window. Tokens that are skipped keep what they had.
ValueId window_stage(Builder& b, ValueId x, const StageOptions& stage, const WindowPolicy& policy);

}  // namespace rarefy::models
