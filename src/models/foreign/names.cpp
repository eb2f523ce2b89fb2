#include "models/foreign/names.h"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>

namespace rarefy::models::foreign {
namespace {

/// A layer of the network, taken apart.
struct Layer {
  std::string part;  ///< "stem", "down", "up", "classifier"
  int stage = 0;     ///< 1..4
  int residual = 0;  ///< 1, 2; 0: the (transposed) convolution between stages
  int conv = 0;      ///< 1, 2; 3 = shortcut
  bool norm = false;
};

/// Takes `prefix` and a number off the front.
bool take(std::string& text, const std::string& prefix, int& number) {
  if (text.rfind(prefix, 0) != 0 || text.size() <= prefix.size()) return false;
  char* end = nullptr;
  const long value = std::strtol(text.c_str() + prefix.size(), &end, 10);
  if (end == text.c_str() + prefix.size() || value < 1 || value > 9) return false;
  number = static_cast<int>(value);
  text = end;
  if (!text.empty() && text.front() == '.') text.erase(0, 1);
  return true;
}

std::optional<Layer> parse(std::string name) {
  Layer layer;
  if (name == "classifier") {
    layer.part = name;
    return layer;
  }
  if (name.size() > 3 && name.compare(name.size() - 3, 3, ".bn") == 0) {
    layer.norm = true;
    name.resize(name.size() - 3);
  }
  if (name.rfind("stem.", 0) == 0) {
    layer.part = "stem";
    name.erase(0, 5);
    return take(name, "conv", layer.conv) && name.empty() ? std::optional(layer) : std::nullopt;
  }
  for (const char* part : {"down", "up"}) {
    if (!take(name, part, layer.stage)) continue;
    layer.part = part;
    if (name == "conv") return layer;
    if (!take(name, "res", layer.residual)) return std::nullopt;
    if (name == "shortcut") {
      layer.conv = 3;
      return layer;
    }
    return take(name, "conv", layer.conv) && name.empty() ? std::optional(layer) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> spvnas_names(const std::string& module) {
  const auto layer = parse(module);
  if (!layer) return {};
  if (layer->part == "classifier") return {"classifier.0"};
  const int norm = layer->norm ? 1 : 0;
  const int in_chain = 3 * (layer->conv - 1) + norm;  // convolution, norm, activation, convolution, norm
  if (layer->part == "stem") return {fmt::format("stem.{}", in_chain)};
  const bool down = layer->part == "down";
  const std::string stage = fmt::format("{}{}", down ? "stage" : "up", layer->stage);
  if (layer->residual == 0) return {fmt::format("{}.0.net.{}", stage, norm)};
  const std::string block =
      down ? fmt::format("{}.{}", stage, layer->residual) : fmt::format("{}.1.{}", stage, layer->residual - 1);
  if (layer->conv == 3) return {fmt::format("{}.downsample.{}", block, norm)};
  return {fmt::format("{}.net.{}", block, in_chain)};
}

std::vector<std::string> mmdet3d_names(const std::string& module) {
  const auto layer = parse(module);
  if (!layer) return {};
  if (layer->part == "classifier") return {"decode_head.conv_seg"};
  const int norm = layer->norm ? 1 : 0;
  // Back ends in this order: torchsparse, spconv, MinkowskiEngine (whose norms hold one of PyTorch's, "bn").
  const std::string wrapped = layer->norm ? ".bn" : "";
  const auto module_of = [&](const std::string& at) {
    return std::vector<std::string>{fmt::format("{}.net.{}", at, norm), fmt::format("{}.{}", at, norm),
                                    fmt::format("{}.net.{}{}", at, norm, wrapped)};
  };
  if (layer->part == "stem") return module_of(fmt::format("backbone.conv_input.{}", layer->conv - 1));
  const bool down = layer->part == "down";
  const std::string stage = fmt::format("backbone.{}.{}", down ? "encoder" : "decoder", layer->stage - 1);
  if (layer->residual == 0) return module_of(stage + ".0");
  const std::string block =
      down ? fmt::format("{}.{}", stage, layer->residual) : fmt::format("{}.1.{}", stage, layer->residual - 1);
  if (layer->conv == 3) {
    return {fmt::format("{}.downsample.{}", block, norm), fmt::format("{}.downsample.net.{}{}", block, norm, wrapped)};
  }
  if (layer->norm) {
    return {fmt::format("{}.net.{}", block, 3 * layer->conv - 2), fmt::format("{}.bn{}", block, layer->conv),
            fmt::format("{}.norm{}.bn", block, layer->conv)};
  }
  return {fmt::format("{}.net.{}", block, 3 * layer->conv - 3), fmt::format("{}.conv{}", block, layer->conv)};
}

}  // namespace rarefy::models::foreign
