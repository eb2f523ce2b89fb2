#include "compress/half.h"

#include <cmath>

#include "base/check.h"
#include "base/half.h"

namespace rarefy::compress {
namespace {

Tensor narrowed(const Tensor& tensor, const std::string& name) {
  Tensor result(Dtype::f16, tensor.shape());
  const auto from = tensor.as<float>();
  const auto to = result.mutable_as<Half>();
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i] = narrow(from[i]);
    RAREFY_CHECK(std::isfinite(widen(to[i])) || !std::isfinite(from[i]), UnsupportedError,
                 "parameter '{}' holds {}, 16 bits hold {} at most: this model needs fp32", name, from[i],
                 kLargestHalf);
  }
  return result;
}

}  // namespace

Model halve(const Model& model) {
  Weights weights = model.weights();
  bool any = false;
  for (const Node& node : model.graph().nodes()) {
    const bool layer = (node.op == "sparse_conv" || node.op == "linear") && node.integer("weight_bits") == 0;
    if (!layer && node.op != "embedding") continue;
    const std::string& name = node.parameters[0].name;
    any = any || layer;
    if (weights.at(name).dtype() == Dtype::f32) weights.set(name, narrowed(weights.at(name), name));
  }
  RAREFY_CHECK(any, UnsupportedError, "nothing to keep in 16 bits: no convolution or linear layer has real weights");
  Model halved(model.graph(), std::move(weights), model.pipeline());
  halved.notes = model.notes;
  return halved;
}

}  // namespace rarefy::compress
