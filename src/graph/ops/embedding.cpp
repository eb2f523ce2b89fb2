#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef embedding() {
  OpDef op;
  op.name = "embedding";
  op.doc = "Row x of a table of parameters, for whole numbers x from 0: what stands for words and positions.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"count", std::int64_t{1}, "rows of the table; a number beyond it is an error of the run"},
                   {"channels", std::int64_t{1}, "columns of the table"}};
  op.channels = {{ChannelRule::Flow::produces, 0, "weight", 1}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_kind(args, 0, ValueKind::features);
    RAREFY_CHECK((x.dtype == Dtype::f32 || x.dtype == Dtype::u8) && x.channels == 1, ShapeError,
                 "node '{}' (embedding): {} has {} channels of {}, expected one number per row, f32 or u8",
                 args.node.name, args.producers[0], x.channels, name(x.dtype));
    const std::int64_t count = args.node.integer("count"), channels = args.node.integer("channels");
    // Beyond 2^24 float32 has no whole number of its own for each.
    RAREFY_CHECK(count >= 1 && count <= (1 << 24) && channels >= 1 && channels <= 65536, ShapeError,
                 "node '{}' (embedding): a table of {} x {}, expected 1 to {} rows and 1 to 65536 columns",
                 args.node.name, count, channels, 1 << 24);
    ValueType y = x;
    y.dtype = Dtype::f32;
    y.channels = channels;
    // U(-0.035, 0.035): a standard deviation of 0.02, as in BERT and ViT.
    return {{y}, {{"weight", {count, channels}, ParameterSpec::Init::kaiming_uniform, 833, true}}};
  };
  op.examples = [](std::uint64_t seed) {
    return token_examples(seed, 5, [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t channels = rng.integer(1, 20);
      const ValueId position = b.embedding(b.positions(x), 41, channels);
      return b.add_values(position, b.embedding(b.argmax(x), 5, channels));
    });
  };
  return op;
}

}  // namespace rarefy::ops
