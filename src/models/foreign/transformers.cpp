#include "models/foreign/transformers.h"

#include <algorithm>
#include <cstring>

namespace rarefy::models::foreign {
namespace {

bool starts_with(const std::string& text, std::string_view start) { return text.rfind(start, 0) == 0; }
bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Third `part` of the first axis.
Tensor third(const Tensor& tensor, std::int64_t part) {
  std::vector<std::int64_t> shape = tensor.shape();
  shape[0] /= 3;
  Tensor result(tensor.dtype(), shape);
  if (result.bytes() > 0)
    std::memcpy(result.mutable_data(), static_cast<const char*>(tensor.data()) + part * result.bytes(),
                static_cast<std::size_t>(result.bytes()));
  return result;
}

/// Where column (channel, line, column) of our patches of 2 x 2 stands in Swin's: (column, line, channel).
std::int64_t swin_column(std::int64_t ours, std::int64_t channels) {
  const std::int64_t channel = ours / 4, line = ours / 2 % 2, column = ours % 2;
  return (2 * column + line) * channels + channel;
}

/// A copy whose last axis has our order.
Tensor in_our_order(const Tensor& tensor) {
  const Tensor from = to_float(tensor);
  Tensor result(Dtype::f32, from.shape());
  const std::int64_t columns = from.shape().back(), rows = columns == 0 ? 0 : from.size() / columns;
  const auto in = from.as<float>();
  auto out = result.mutable_as<float>();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      out[static_cast<std::size_t>(r * columns + c)] =
          in[static_cast<std::size_t>(r * columns + swin_column(c, columns / 4))];
  return result;
}

/// "layers.0.downsample.norm" becomes "layers.1.downsample.norm".
std::string in_next_stage(const std::string& name) {
  constexpr std::size_t kNumber = 7;  // behind "layers."
  const std::size_t dot = name.find('.', kNumber);
  return name.substr(0, kNumber) + std::to_string(std::stoi(name.substr(kNumber, dot - kNumber)) + 1) +
         name.substr(dot);
}

bool merges_patches(const std::string& name) {
  return starts_with(name, "layers.") && name.find(".downsample.") != std::string::npos;
}

}  // namespace

StateDict timm_vit(StateDict dict) {
  StateDict result;
  result.ordered = dict.ordered;
  for (auto& [name, tensor] : dict.tensors) {
    const auto& shape = tensor.shape();
    constexpr std::string_view kPacked = ".attn.qkv.";
    const std::size_t packed = name.find(kPacked);
    if (packed != std::string::npos && !shape.empty() && shape[0] % 3 == 0) {
      const std::string before = name.substr(0, packed + 6), after = name.substr(packed + kPacked.size() - 1);
      const char* parts[] = {"q", "k", "v"};
      for (std::int64_t part = 0; part < 3; ++part)
        result.tensors.emplace_back(before + parts[part] + after, third(tensor, part));
    } else if (name == "cls_token" && shape.size() == 3 && shape[0] == 1 && shape[1] == 1) {
      result.tensors.emplace_back("cls_token.weight", reshaped(tensor, {shape[2]}));
    } else if (name == "pos_embed" && shape.size() == 3 && shape[0] == 1) {
      result.tensors.emplace_back("pos_embed.weight", reshaped(tensor, {shape[1], shape[2]}));
    } else if (name == "patch_embed.proj.weight" && shape.size() == 4) {
      result.tensors.emplace_back(name, reshaped(tensor, {shape[0], shape[1] * shape[2] * shape[3]}));
    } else {
      result.tensors.emplace_back(name, std::move(tensor));
    }
  }
  return result;
}

StateDict timm_swin(StateDict dict) {
  StateDict result;
  const StateDict parts = timm_vit(std::move(dict));
  result.ordered = parts.ordered;
  // The authors count the step between stages to the stage before it, timm to the one behind.
  const bool behind = std::none_of(parts.tensors.begin(), parts.tensors.end(),
                                   [](const auto& t) { return starts_with(t.first, "layers.0.downsample."); });
  for (const auto& [name, tensor] : parts.tensors) {
    if (ends_with(name, "relative_position_index") || ends_with(name, "attn_mask")) continue;
    if (merges_patches(name) && !tensor.shape().empty() && tensor.shape().back() % 4 == 0) {
      result.tensors.emplace_back(behind ? name : in_next_stage(name), in_our_order(tensor));
    } else if (starts_with(name, "head.") && !starts_with(name, "head.fc.") && tensor.shape().size() <= 2) {
      result.tensors.emplace_back("head.fc" + name.substr(4), tensor);
    } else {
      result.tensors.emplace_back(name, tensor);
    }
  }
  return result;
}

StateDict timm(StateDict dict) {
  const bool windows = std::any_of(dict.tensors.begin(), dict.tensors.end(), [](const auto& t) {
    return t.first.find("relative_position_bias_table") != std::string::npos;
  });
  return windows ? timm_swin(std::move(dict)) : timm_vit(std::move(dict));
}

StateDict hugging_face_bert(StateDict dict) {
  constexpr std::string_view kPrefix = "bert.";
  StateDict result;
  result.ordered = dict.ordered;
  for (auto& [name, tensor] : dict.tensors) {
    if (starts_with(name, kPrefix)) name.erase(0, kPrefix.size());
    if (ends_with(name, "position_ids") || starts_with(name, "pooler.")) continue;
    result.tensors.emplace_back(std::move(name), std::move(tensor));
  }
  return result;
}

}  // namespace rarefy::models::foreign
