#pragma once
/// The learning curve as CSV and as a picture.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rarefy::train {

/// One row: means over the steps since the row before.
struct CurvePoint {
  std::int64_t step = 0;
  std::int64_t scans = 0;
  double seconds = 0.0;
  double rate = 0.0;  ///< learning rate
  double loss = 0.0, cross_entropy = 0.0, lovasz = 0.0;
  double train_miou = 0.0;        ///< on rows of the training batches, 0..1
  double validation_miou = -1.0;  ///< on points of held-out scans; negative: not measured here
};

std::string curve_to_csv(const std::vector<CurvePoint>& curve);
/// @throws InputError naming the line
std::vector<CurvePoint> curve_from_csv(std::string_view text, const std::string& where);
/// A self-contained SVG: loss above, mIoU (training and held-out) below, over steps. Readable on light and dark pages.
std::string curve_to_svg(const std::vector<CurvePoint>& curve, const std::string& title);

}  // namespace rarefy::train
