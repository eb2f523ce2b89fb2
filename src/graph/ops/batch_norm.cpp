#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef batch_norm() {
  OpDef op;
  op.name = "batch_norm";
  op.doc =
      "Batch normalisation over rows: running statistics at inference, those of the batch in training. Ioffe, Szegedy "
      "2015.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"epsilon", 1e-5, "added to the variance"},
                   {"momentum", 0.1, "running = (1 - momentum) running + momentum batch (training)"}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    using Init = ParameterSpec::Init;
    const std::vector<std::int64_t> shape{x.channels};
    return {{x},
            {{"weight", shape, Init::ones, 1, true},
             {"bias", shape, Init::zeros, 1, true},
             {"running_mean", shape, Init::zeros, 1, false},
             {"running_var", shape, Init::ones, 1, false}}};
  };
  op.channels = {{ChannelRule::Flow::shares, 0, "weight", 0},
                 {ChannelRule::Flow::shares, 0, "bias", 0},
                 {ChannelRule::Flow::shares, 0, "running_mean", 0},
                 {ChannelRule::Flow::shares, 0, "running_var", 0}};
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng&) { return b.batch_norm(x); });
  };
  return op;
}

}  // namespace rarefy::ops
