#include "models/common/layers.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace rarefy::models {

ValueId Layers::conv_bn(ValueId x, const ConvOptions& options) {
  return b.batch_norm(b.conv(x, options), 1e-5, 0.1, options.name + ".bn");
}

ValueId Layers::conv_bn_relu(ValueId x, const ConvOptions& options) { return b.relu(conv_bn(x, options)); }

ValueId Layers::residual(ValueId x, std::int64_t channels, const std::string& name) {
  const ValueId first = conv_bn_relu(x, {.channels = channels, .kernel = {3}, .name = name + ".conv1"});
  const ValueId second = conv_bn(first, {.channels = channels, .kernel = {3}, .name = name + ".conv2"});
  const ValueId shortcut = b.type(x).channels == channels
                               ? x
                               : conv_bn(x, {.channels = channels, .kernel = {1}, .name = name + ".shortcut"});
  return b.relu(b.add_values(second, shortcut));
}

ValueId Layers::down(ValueId x, std::int64_t channels, const std::string& name) {
  return conv_bn_relu(x, {.channels = channels, .kernel = {2}, .stride = {2}, .name = name + ".conv"});
}

ValueId Layers::up_concat(ValueId x, ValueId skip, std::int64_t channels, const std::string& name) {
  const ValueId up =
      b.conv_transposed(x, skip, {.channels = channels, .kernel = {2}, .stride = {2}, .name = name + ".conv"});
  return b.concat({b.relu(b.batch_norm(up, 1e-5, 0.1, name + ".conv.bn")), skip});
}

UNetChannels unet_channels(double width, const std::string& model) {
  RAREFY_CHECK(width > 0.0 && width <= 16.0, UsageError, "{}: width is {}, expected more than 0, at most 16", model,
               width);
  constexpr double kPublished[] = {32, 32, 64, 128, 256, 256, 128, 96, 96};
  UNetChannels result{};
  for (int i = 0; i < 9; ++i)
    result.c[i] = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::floor(width * kPublished[i])));
  return result;
}

}  // namespace rarefy::models
