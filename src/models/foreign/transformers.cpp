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
