#pragma once
/// Callers' mistakes, found before anything is queued.
#include "kernels/cuda/conv.h"

namespace rarefy::cuda {

void check_conv(const ConstRows& x, const DeviceWeights& weights, const MapView* map, const DeviceEpilogue& epilogue,
                const Rows& y);
void check_gradient(const ConstRows& x, const ConstRows& g, const MapView* map, Arithmetic arithmetic,
                    const float* weight_gradient);

}  // namespace rarefy::cuda
