#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef select_columns() {
  OpDef op;
  op.name = "select_columns";
  op.doc =
      "y[:, i] = (x[:, columns[i]] - offset[i]) * scale[i]: the network's features from the columns of the points.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"columns", std::vector<std::int64_t>{0}, "columns of x"},
                   {"offset", std::vector<double>{0.0}, "one per column"},
                   {"scale", std::vector<double>{1.0}, "one per column"}};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const Node& node = args.node;
    ValueType y = require_features(args, 0);
    const auto& columns = node.integers("columns");
    RAREFY_CHECK(
        !columns.empty() && node.numbers("offset").size() == columns.size() &&
            node.numbers("scale").size() == columns.size(),
        ShapeError,
        "node '{}' (select_columns): {} columns, {} offsets, {} scales: the numbers must be equal and positive",
        node.name, columns.size(), node.numbers("offset").size(), node.numbers("scale").size());
    for (const std::int64_t c : columns)
      RAREFY_CHECK(c >= 0 && c < y.channels, ShapeError, "node '{}' (select_columns): column {} of {}, which has {}",
                   node.name, c, args.producers[0], y.channels);
    y.channels = static_cast<std::int64_t>(columns.size());
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return point_examples(seed, [](Builder& b, ValueId points, Rng&) {
      return b.select_columns(points, {2, 0, 3}, {0.5, 0.0, -1.0}, {2.0, 1.0, 0.25});
    });
  };
  return op;
}

}  // namespace rarefy::ops
