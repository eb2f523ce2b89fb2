#include "compress/rewrite.h"

namespace rarefy::compress {

Model with_outputs(const Model& model, const std::vector<std::pair<std::string, ValueId>>& outputs) {
  Copier copier(model.graph());
  for (const Node& node : model.graph().nodes()) copier.copy(node);
  for (const auto& [name, value] : outputs) copier.builder.output(name, copier.at(value));
  return Model(copier.builder.build(), model.weights(), model.pipeline());
}

}  // namespace rarefy::compress
