#pragma once
/// What stages need to know of representative scans to drop voxels: learned scores, and thresholds.
#include <map>
#include <string>
#include <vector>

#include "compress/drop_voxels.h"
#include "rarefy/session.h"

namespace rarefy::compress {

/// Linear scores that predict, from a voxel's features at the beginning of a stage, what would be wrong without the
/// blocks of the stage: the sum over the blocks of the mean over the channels of |branch - what it gets instead|, as
/// the dense model computes it. Instead it gets nothing, or (Surroundings::cells) its cell's mean of the branch: what
/// matters there is to differ from those around. Ridge regression over the voxels of all scans; a function of model,
/// scans and options alone, for any number of threads.
/// @param scans    inputs of the model
/// @param options  surroundings and cell
/// @return       by stage; @throws UsageError without scans, UnsupportedError without residual blocks
std::map<std::string, LinearScore> learn_scores(const Model& model, const std::vector<Inputs>& scans,
                                                Executor* executor = nullptr, const DropVoxelsOptions& options = {});

/// By block with a ratio: the score that this share of the voxels of all scans together does not exceed. With it as
/// threshold, scans in which less matters drop more.
/// @param options  ratios and scores; thresholds are not looked at
std::map<std::string, double> pooled_thresholds(const Model& model, const DropVoxelsOptions& options,
                                                const std::vector<Inputs>& scans, Executor* executor = nullptr);

/// A model that drops voxels by the share of each scan, after training, say, with one threshold over all scans in place
/// of each share: the same share of the voxels of these scans together.
/// @throws UsageError without scans; UnsupportedError unless the model drops voxels
Model with_pooled_thresholds(const Model& dropped, const std::vector<Inputs>& scans, Executor* executor = nullptr);

}  // namespace rarefy::compress
