#include "models/foreign/state_dict.h"

#include <algorithm>
#include <cctype>

#include "base/check.h"
#include "base/file.h"
#include "base/text.h"
#include "graph/tensor_file.h"
#include "models/foreign/names.h"
#include "models/foreign/transformers.h"

namespace rarefy::models::foreign {
namespace {

/// "layer.10" after "layer.9".
bool before(const std::string& a, const std::string& b) {
  std::size_t i = 0, j = 0;
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      std::size_t m = i, n = j;
      while (m < a.size() && digit(a[m])) ++m;
      while (n < b.size() && digit(b[n])) ++n;
      if (m - i != n - j) return m - i < n - j;
      const int order = a.compare(i, m - i, b, j, n - j);
      if (order != 0) return order < 0;
      i = m;
      j = n;
      continue;
    }
    if (a[i] != b[j]) return a[i] < b[j];
    ++i;
    ++j;
  }
  return a.size() - i < b.size() - j;
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

StateDict load_state_dict(const std::string& path) {
  const Bytes bytes = read_file(path);
  TensorFile file = parse_tensor_file({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, path);
  StateDict dict;
  dict.tensors = std::move(file.tensors);
  const auto order = file.metadata.find("order");
  dict.ordered = order != file.metadata.end() && order->second == "state_dict";
  if (!dict.ordered) {
    std::sort(dict.tensors.begin(), dict.tensors.end(),
              [](const auto& a, const auto& b) { return before(a.first, b.first); });
  }
  constexpr std::string_view kWrapper = "module.";  // of data-parallel training
  const bool wrapped =
      !dict.tensors.empty() && std::all_of(dict.tensors.begin(), dict.tensors.end(),
                                           [&](const auto& t) { return t.first.rfind(kWrapper, 0) == 0; });
  if (wrapped)
    for (auto& [name, tensor] : dict.tensors) name.erase(0, kWrapper.size());
  return dict;
}

const std::vector<Source>& sources() {
  static const std::vector<Source> all = {
      {"spvnas", "MinkUNet of the spvnas code (torchsparse)", KernelLayout::torchsparse, AxisOrder::xyz, spvnas_names},
      {"mmdet3d", "MinkUNet of mmdetection3d (torchsparse, spconv or MinkowskiEngine, told by the names)",
       KernelLayout::torchsparse, AxisOrder::xyz, mmdet3d_names},
      {"openpcdet", "OpenPCDet: spconv 1 or 2, coordinates (z, y, x)", KernelLayout::spconv, AxisOrder::zyx, nullptr},
      {"spconv", "spconv 1 or 2, coordinates (x, y, z) unless --axes says otherwise", KernelLayout::spconv,
       AxisOrder::xyz, nullptr},
      {"torchsparse", "torchsparse 1 or 2", KernelLayout::torchsparse, AxisOrder::xyz, nullptr},
      {"minkowski", "MinkowskiEngine 0.5", KernelLayout::minkowski, AxisOrder::xyz, nullptr},
      {"timm", "ViT, DeiT and Swin of timm (PyTorch)", KernelLayout::dense, AxisOrder::xyz, nullptr, timm},
      {"huggingface", "BERT of Hugging Face's transformers (PyTorch)", KernelLayout::dense, AxisOrder::xyz, nullptr,
       hugging_face_bert},
      {"pytorch", "dense convolutions of PyTorch; MobileNetV2 of torchvision", KernelLayout::dense, AxisOrder::xyz,
       nullptr},
      {"rarefy", "kernels as rarefy stores them", KernelLayout::rarefy, AxisOrder::xyz, nullptr}};
  return all;
}

const Source& source(std::string_view name) {
  std::vector<std::string> known;
  for (const Source& source : sources()) {
    if (source.name == name) return source;
    known.push_back(source.name);
  }
  fail<UsageError>("there is no importer '{}'{}", name, did_you_mean(name, known));
}

Source resolve(const Source& source, const StateDict& dict) {
  Source found = source;
  if (source.name != "mmdet3d") return found;
  bool kernels = false, wrapped_norms = false;
  for (const auto& [name, tensor] : dict.tensors) {
    kernels = kernels || ends_with(name, ".kernel");
    wrapped_norms = wrapped_norms || ends_with(name, ".bn.running_mean");
  }
  found.layout = !kernels ? KernelLayout::spconv : wrapped_norms ? KernelLayout::minkowski : KernelLayout::torchsparse;
  return found;
}

}  // namespace rarefy::models::foreign
