#pragma once
/// Loss of a segmentation: value and gradient with respect to the logits. Needs no LibTorch.
#include <cstdint>
#include <span>
#include <vector>

#include "rarefy/executor.h"
#include "rarefy/tensor.h"

namespace rarefy::train {

/// Label of rows that take no part.
inline constexpr std::uint8_t kIgnoredLabel = 255;

struct LossOptions {
  std::vector<float> class_weights;  ///< [C] of the cross entropy; empty = all one
  double cross_entropy = 1.0;        ///< factor
  double lovasz = 1.0;               ///< factor; 0 = not computed
};

struct LossValue {
  double total = 0.0;
  double cross_entropy = 0.0;
  double lovasz = 0.0;
  std::int64_t counted = 0;  ///< rows with a label
};

/// Memory that is kept from call to call.
struct LossScratch {
  std::vector<float> probabilities;         ///< [N, C]
  std::vector<float> probability_gradient;  ///< [N, C]
  std::vector<std::int32_t> rows;           ///< rows with a label
};

/// Weighted cross entropy (mean over rows, weights normalised as in LibTorch: divided by the sum of the rows' weights)
/// plus Lovász-softmax over the classes that occur in the labels, all rows of the batch together. Source: Berman,
/// Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, algorithm 1 and section 3.1.
/// @param logits    [N, C], C <= 255
/// @param labels    [N] classes or 255; no labelled row (or no row) gives loss 0 and gradient 0
/// @param gradient  [N, C], overwritten
/// @throws ShapeError, UsageError (a label that is no class). Same bits for any executor.
LossValue segmentation_loss(Matrix<const float> logits, std::span<const std::uint8_t> labels,
                            const LossOptions& options, Executor& executor, LossScratch& scratch,
                            Matrix<float> gradient);

/// How far the shares of tokens that a predictor keeps are from the wanted one: mean over samples of (mean of keep -
/// wanted)^2. Samples without rows take no part. Source: Rao et al., DynamicViT, NeurIPS 2021, the ratio loss
/// of section 3.4.
/// @param keep      [N, 1] decisions, 0 or 1 (or between)
/// @param begin     [S+1] rows of each sample
/// @param gradient  [N, 1], overwritten
/// @throws ShapeError
double keep_ratio_loss(Matrix<const float> keep, std::span<const std::int64_t> begin, double wanted,
                       Matrix<float> gradient);

/// Class weights 1 / sqrt(share of the class), normalised to mean one over the classes that occur; absent classes get
/// one.
std::vector<float> balanced_weights(std::span<const std::int64_t> counts);

}  // namespace rarefy::train
