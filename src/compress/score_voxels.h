#pragma once
/// What stages need to know of representative scans to drop voxels: learned scores, and thresholds.
#include <map>
#include <string>
#include <vector>

#include "compress/drop_voxels.h"
#include "rarefy/session.h"

namespace rarefy::compress {

/// Linear scores that predict, from a voxel's features at the beginning of a stage, how much the blocks of the stage
/// add to them: the sum over the blocks of the mean of |branch| over the channels, as the dense model computes it.
/// Ridge regression over the voxels of all scans; a function of model and scans alone, for any number of threads.
/// @param scans  inputs of the model
/// @return       by stage; @throws UsageError without scans, UnsupportedError without residual blocks
std::map<std::string, LinearScore> learn_scores(const Model& model, const std::vector<Inputs>& scans,
                                                Executor* executor = nullptr);

/// By block with a ratio: the score that this share of the voxels of all scans together does not exceed. With it as
/// threshold, scans in which less matters drop more.
/// @param options  ratios and scores; thresholds are not looked at
std::map<std::string, double> pooled_thresholds(const Model& model, const DropVoxelsOptions& options,
                                                const std::vector<Inputs>& scans, Executor* executor = nullptr);

}  // namespace rarefy::compress
