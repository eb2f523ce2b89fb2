#pragma once
/// Groups of layers that the sparse U-Nets share. Source: Choy et al., CVPR 2019; Tang et al., ECCV 2020.
#include <string>

#include "rarefy/builder.h"

namespace rarefy::models {

/// Adds groups of layers to a graph. Names of layers start with the given name. Kernels have the dimension of x.
struct Layers {
  Builder& b;

  /// Convolution and batch norm (NAME.bn).
  ValueId conv_bn(ValueId x, const ConvOptions& options);
  ValueId conv_bn_relu(ValueId x, const ConvOptions& options);
  /// Two convolutions of kernel 3 around a shortcut (kernel 1 where the channels change).
  ValueId residual(ValueId x, std::int64_t channels, const std::string& name);
  /// Kernel 2, stride 2.
  ValueId down(ValueId x, std::int64_t channels, const std::string& name);
  /// Its inverse back to the sites of `skip`, then the channels of `skip` behind.
  ValueId up_concat(ValueId x, ValueId skip, std::int64_t channels, const std::string& name);
};

/// The nine channel counts of the published MinkUNet and SPVCNN, int(width * c): stem, four encoder stages, four
/// decoder stages. @throws UsageError naming `model` for a width that is not in (0, 16].
struct UNetChannels {
  std::int64_t c[9];
};
UNetChannels unet_channels(double width, const std::string& model);

}  // namespace rarefy::models
