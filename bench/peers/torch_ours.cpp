#include "peers/ours.h"
#include "train/graph_module.h"

namespace rarefy::peer {

struct OurGradient::Impl {
  train::GraphModule module;
  const Node& conv;
  Executor& executor;
  std::vector<float> input;  ///< the prepared batch refers to it
  std::shared_ptr<train::Prepared> batch = std::make_shared<train::Prepared>();
  std::vector<at::Tensor> values, parameters;
  at::Tensor x, y;
};

OurGradient::OurGradient(const Model& model, std::span<const std::int32_t> rows, Matrix<const float> x,
                         Executor& executor) {
  train::GraphModule module(model.graph(), model.weights(), executor);
  const Graph& graph = module.graph();
  const Node& conv = graph.producer(module.output("y"));
  impl_.reset(new Impl{std::move(module), conv, executor, {}});
  Impl& i = *impl_;
  for (std::int64_t r = 0; r < x.rows; ++r) i.input.insert(i.input.end(), x.row(r), x.row(r) + x.cols);
  const SparseView view{rows.data(), {i.input.data(), Dtype::f32, Device::cpu, x.rows, x.cols, x.cols}, 1};
  i.module.preparer().prepare({{"x", view}}, executor, *i.batch);
  i.x = at::from_blob(i.input.data(), {x.rows, x.cols}, at::kFloat).clone().requires_grad_(true);
  i.values.resize(i.module.graph().values().size());
  i.values[static_cast<std::size_t>(conv.inputs[0])] = i.x;
  i.parameters.push_back(i.module.parameters()[0].value);
}
OurGradient::~OurGradient() = default;

void OurGradient::forward() {
  Impl& i = *impl_;
  i.module.clear_gradients();
  i.x.mutable_grad() = at::Tensor();
  i.y = train::train_op(i.conv.op).forward({i.module.graph(), i.conv, i.module.preparer(), i.batch, i.values,
                                            i.parameters, i.executor, select_conv_variant()});
}

void OurGradient::backward(Matrix<const float> gy) {
  impl_->y.backward(at::from_blob(const_cast<float*>(gy.data), {gy.rows, gy.cols}, {gy.row_stride, 1}, at::kFloat));
}

std::vector<float> OurGradient::gradients() const {
  std::vector<float> result;
  for (const at::Tensor& t : {impl_->x.grad(), impl_->parameters[0].grad()}) {
    const at::Tensor plain = t.contiguous();
    result.insert(result.end(), plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel());
  }
  return result;
}

}  // namespace rarefy::peer
