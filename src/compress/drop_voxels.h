#pragma once
/// Voxels that matter less skip the residual blocks of a stage.
///
/// At the first of a stage's blocks each voxel gets a score. Of each scan, or over all scans by one threshold, the
/// voxels with the highest scores run through the block on a space of their own, with its own neighbours; the others
/// keep what they had: the block's shortcut is all that happens to them. Later blocks of the stage use the same scores,
/// so that what they keep is part of what the earlier ones kept. Skipping is exact: nothing is computed for a voxel
/// that was dropped. The next stage scores all voxels anew.
/// Source: SparseViT (Chen et al., CVPR 2023, section 3): windows of an image there, voxels here.
#include <map>
#include <string>
#include <vector>

#include "compress/residual_blocks.h"
#include "rarefy/model.h"

namespace rarefy::compress {

/// A linear score per voxel, learned (score_voxels.h): weight times features plus bias.
struct LinearScore {
  std::vector<float> weight;  ///< [C] of the stage's input
  float bias = 0.0f;
  float deviation = 1.0f;  ///< standard deviation of the score over the voxels that it was learned from
};

/// Which voxels stages have in common.
enum class Scores : std::uint8_t {
  per_stage,  ///< every stage scores its own input
  per_space,  ///< stages over one space (encoder and decoder) use the scores of the first: half as many kernel maps
};

/// What voxels without a learned score are ordered by.
enum class PlainScore : std::uint8_t {
  magnitude,  ///< mean of |x| over the channels
  random,     ///< a hash of their place: the control of every other score
  spread,     ///< their place: every part of the scene keeps a voxel that stands for it (op site_order)
};

/// What the kept voxels see, and what the others get.
enum class Surroundings : std::uint8_t {
  kept,  ///< dropped voxels are no neighbours, and get nothing: the published way
  /// The block's first convolution reads all voxels: what a kept voxel makes of them is what it would make without
  /// dropping. A dropped voxel gets the mean of what the block added to the kept voxels of its cell, if any.
  cells,
};

struct DropVoxelsOptions {
  /// By block or by stage ("down1.res2", "down1"): share of the voxels that skips it, 0 <= ratio < 1. What is not named
  /// stays dense. Within a stage (or space) ratios must not fall.
  std::map<std::string, double> ratios;
  /// By block: voxels with a score above this run, however many they are; the best of a scan always does. Of a block
  /// that has a ratio, in its place.
  std::map<std::string, double> thresholds = {};
  std::map<std::string, LinearScore> scores = {};  ///< by stage
  PlainScore plain = PlainScore::magnitude;        ///< of stages without one
  /// Learned scores: how many of their standard deviations it is worth to stand for a cell of twice the edge (see
  /// site_order); 0 = place does not count.
  double spread = 0;
  Scores sharing = Scores::per_stage;
  Surroundings surroundings = Surroundings::kept;
  std::int64_t cell = 2;  ///< edge of the cells, in voxels of the block's space; at least 2
};

/// The model with the chosen blocks so changed. Parameters keep their names: what was learned, fits.
/// @throws UsageError for an unknown name (naming what there is), a ratio outside [0, 1) or one that falls;
///         UnsupportedError when the model has no residual block, or drops voxels already
Model drop_voxels(const Model& model, const DropVoxelsOptions& options);

/// Whether the model drops voxels in some block.
bool drops_voxels(const Graph& graph);

/// A residual block, dropping or not.
struct BlockRows {
  std::string block;
  ValueId space = -1;        ///< of the rows that run through it
  std::int32_t select = -1;  ///< the node (select_best) that chooses them, or -1: all run
};
/// Of a model made by drop_voxels, or of any other: its residual blocks. How many rows run through each is
/// RunStatistics::sizes of the space.
std::vector<BlockRows> block_rows(const Graph& graph);
/// Mean over the blocks of the shares that the graph asks for; thresholds count as the share 0.
double left_out_as_asked(const Graph& graph);

}  // namespace rarefy::compress
