#include "models/common/mobilenet.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace rarefy::models {
namespace {

/// A line of table 2 of the paper, block by block.
struct Block {
  std::int64_t expansion, channels, stride;
};

std::vector<Block> blocks() {
  struct Line {
    std::int64_t expansion, channels, repeats, stride;
  };
  std::vector<Block> result;
  for (const Line& line :
       {Line{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}})
    for (std::int64_t i = 0; i < line.repeats; ++i)
      result.push_back({line.expansion, line.channels, i == 0 ? line.stride : 1});
  return result;
}

struct Stack {
  Builder& b;
  const MobileNetOptions& options;
  ImageFeatures at;

  /// @param norm  name of the batch norm that follows
  void layer(ConvOptions o, const std::string& norm, bool depthwise, bool activation) {
    o.bias = !options.norms;
    if (o.stride[0] == 2) {  // a convolution of padding 1 over a grid that ends
      at.height = (at.height + 1) / 2;
      at.width = (at.width + 1) / 2;
      o.padding = {1};
      o.rule = Rule::padded;
      o.cells = {at.height, at.width};
    }
    at.x = depthwise ? b.depthwise_conv(at.x, o) : b.conv(at.x, o);
    if (options.norms) at.x = b.batch_norm(at.x, 1e-5, 0.1, norm);
    if (activation) at.x = b.relu(at.x);
  }

  void stem() {
    layer({.channels = mobile_channels(32, options.width),
           .kernel = {3},
           .stride = {2},
           .name = options.prefix + "features.0.0"},
          options.prefix + "features.0.1", false, true);
  }

  /// "features.NUMBER", 1 to 17.
  void inverted_residual(int number) {
    const Block block = blocks()[static_cast<std::size_t>(number) - 1];
    const std::string name = options.prefix + "features." + std::to_string(number);
    const ValueId before = at.x;
    const std::int64_t in = b.type(before).channels, out = mobile_channels(block.channels, options.width);
    std::string conv = name + ".conv.0";
    if (block.expansion != 1) {
      layer({.channels = in * block.expansion, .kernel = {1}, .name = conv + ".0"}, conv + ".1", false, true);
      conv = name + ".conv.1";
    }
    layer({.kernel = {3}, .stride = {block.stride}, .name = conv + ".0"}, conv + ".1", true, true);
    const int last = block.expansion != 1 ? 2 : 1;
    layer({.channels = out, .kernel = {1}, .name = name + ".conv." + std::to_string(last)},
          name + ".conv." + std::to_string(last + 1), false, false);
    if (block.stride == 1 && in == out) at.x = b.add_values(before, at.x);
  }
};

}  // namespace

std::int64_t mobile_channels(std::int64_t channels, double width) {
  const double wanted = static_cast<double>(channels) * width;
  const std::int64_t rounded = std::max<std::int64_t>(8, static_cast<std::int64_t>(wanted + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * wanted ? rounded + 8 : rounded;
}

ValueId normalised_image(Builder& b, ValueId image) {
  return b.select_columns(image, {0, 1, 2}, {0.485, 0.456, 0.406}, {1 / 0.229, 1 / 0.224, 1 / 0.225}, "normalised");
}

ImageFeatures mobilenet_features(Builder& b, ValueId image, std::int64_t height, std::int64_t width,
                                 const MobileNetOptions& options) {
  Stack net{b, options, {b.image_sites(image, height, width), height, width}};
  net.stem();
  for (int i = 1; i <= 17; ++i) net.inverted_residual(i);
  net.layer({.channels = mobile_channels(1280, std::max(1.0, options.width)),
             .kernel = {1},
             .name = options.prefix + "features.18.0"},
            options.prefix + "features.18.1", false, true);
  return net.at;
}

MobileNetStem mobilenet_stem(Builder& b, ValueId image, std::int64_t height, std::int64_t width,
                             const MobileNetOptions& options) {
  Stack net{b, options, {b.image_sites(image, height, width), height, width}};
  net.stem();
  MobileNetStem made;
  for (int i = 1; i <= 6; ++i) {
    net.inverted_residual(i);
    if (i == 3) made.stride4 = net.at;
  }
  made.stride8 = net.at;
  return made;
}

}  // namespace rarefy::models
