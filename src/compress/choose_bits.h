#pragma once
/// Bits of every layer, chosen by accuracy and by measured speed.
///
/// 7 bits have faster kernels than 8 on a CPU without VNNI, but cost accuracy; some layers are fastest on real numbers.
/// The search therefore measures both. Accuracy: what each group of layers that share a scale (quantize.h) does to the
/// network's output on a few scans when it alone has 7 bits. Groups go from 8 to 7 bits in the order of time gained per
/// error made, as many as a bound on the labels that change allows; every network on the way is run, never predicted.
/// Greedy by sensitivity as Dong et al., HAWQ-V2, NeurIPS 2020, with measured errors in place of second derivatives.
/// Speed: a layer whose step takes longer on integers, conversions included, keeps real numbers if that makes the whole
/// network no slower. A function of the model, the scans and the measured times alone, for any number of threads.
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "compress/quantize.h"
#include "compress/timing.h"

namespace rarefy::compress {

struct ChooseBitsOptions {
  /// 7 bits may change the label of this share of the rows (0..1) more than 8 bits in all layers do.
  double loss = 0.005;
  ScaleRule rule = ScaleRule::mse;
  TimeNetworks time;  ///< time_in_turns(), or known times
  /// Whether 7 bits have faster kernels than 8; unset: as this CPU has them. If not, no layer gets 7.
  std::optional<bool> seven_pays = {};
  Executor* executor = nullptr;  ///< of the runs that measure accuracy; null: this thread
  Progress progress = {};        ///< after every network that was run on the scans; may throw to stop
};

/// What became of one layer.
struct LayerChoice {
  std::string layer;
  int group = -1;          ///< of Calibration::groups(); -1: it reads the network's input
  int bits = 0;            ///< 0: real numbers
  double ms_real = 0;      ///< on real numbers
  double ms_integers = 0;  ///< on integers of the group's bits; 0 for group -1
  /// Squared error of the output, relative to its own squares, when this group alone has 7 bits; unset where nobody
  /// asked: 7 bits do not pay.
  std::optional<double> sensitivity = {};
  std::string why;
};

/// The network that was found and how it compares.
struct BitsChoice {
  /// Layers that keep real numbers because they are faster so have a note "kept_real.LAYER", which profiles show.
  Model model;
  std::vector<LayerChoice> layers;  ///< all convolutions and linear layers, in the graph's order
  /// Share of rows whose label is not that of real numbers: of 8 bits everywhere, and of the choice. The latter is at
  /// most the former plus the loss.
  double changed_eight = 0, changed = 0;
  double ms_real = 0, ms_eight = 0, ms = 0;  ///< whole networks, timed together
};

/// Labels are the positions of the largest value per row of the output "logits", or else of the first output with
/// several channels.
/// @param scans  inputs to measure accuracy on; those of the calibration will do
/// @throws UsageError before the calibration observed anything, without scans, or for a loss that is no share;
///         UnsupportedError for a network without such an output
BitsChoice choose_bits(const Calibration& calibration, const std::vector<Inputs>& scans,
                       const ChooseBitsOptions& options);

}  // namespace rarefy::compress
