#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/optim/adamw.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/check.h"
#include "measure/timing.h"
#include "peers/peer.h"
#include "peers/torch_dense.h"
#include "peers/torch_network.h"

namespace rarefy::peer {
namespace {

/// The caller's memory as a tensor; nothing is copied.
at::Tensor view(Matrix<const float> x) {
  return at::from_blob(const_cast<float*>(x.data), {x.rows, x.cols}, {x.row_stride, 1}, at::kFloat);
}

at::Tensor weights_of(std::span<const float> weight, std::int64_t size, std::int64_t in, std::int64_t out) {
  const std::int64_t volume = size * size * size;
  RAREFY_CHECK(static_cast<std::int64_t>(weight.size()) == volume * in * out, ShapeError,
               "the peer's layer needs {} x {} x {} weights, got {}", volume, in, out, weight.size());
  at::Tensor result = at::empty({volume, in, out}, at::kFloat);
  std::copy(weight.begin(), weight.end(), result.data_ptr<float>());
  return result;
}

at::Tensor rows_of(std::span<const std::int32_t> rows) {
  return at::from_blob(const_cast<std::int32_t*>(rows.data()), {static_cast<std::int64_t>(rows.size()) / 4, 4},
                       at::kInt)
      .to(at::kLong);
}

void append(const at::Tensor& tensor, std::vector<float>& to) {
  const at::Tensor plain = tensor.detach().contiguous();
  to.insert(to.end(), plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel());
}

std::vector<float> values_of(const at::Tensor& tensor) {
  std::vector<float> result;
  append(tensor, result);
  return result;
}

}  // namespace

void set_threads(int threads) {
  at::set_num_threads(threads);
  // LibTorch does not tell an OpenBLAS with threads of its own.
  using SetThreads = void (*)(int);
  static const auto set_blas_threads = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set_blas_threads != nullptr) set_blas_threads(threads);
}

double matrix_product_gflops() {
  set_threads(1);
  at::NoGradGuard no_gradient;
  constexpr std::int64_t n = 1024;
  const at::Tensor a = at::ones({n, n}), b = at::ones({n, n});
  at::mm(a, b);  // threads of an earlier product may still be about
  double best = 1e30;
  for (int i = 0; i < 8; ++i) {
    const double start = cli::bench::thread_ms();
    const at::Tensor c = at::mm(a, b);
    best = std::min(best, cli::bench::thread_ms() - start);
  }
  return 2e-6 * n * n * n / best;
}

struct Layer::Impl {
  Sites sites;
  std::int64_t size;
  at::Tensor x, weight, y;
  Map map;
};

Layer::Layer(std::span<const std::int32_t> rows, std::int64_t stride, std::int64_t size, Matrix<const float> x,
             std::span<const float> weight, std::int64_t out_channels)
    : impl_(new Impl{make_sites(rows_of(rows), stride),
                     size,
                     view(x).clone(),
                     weights_of(weight, size, x.cols, out_channels),
                     {},
                     {}}) {}
Layer::~Layer() = default;

void Layer::build_map() {
  at::NoGradGuard no_gradient;
  impl_->map = peer::build_map(impl_->sites, impl_->sites, impl_->size);
}
std::int64_t Layer::pairs() const { return impl_->map.pairs(); }

void Layer::forward() {
  at::NoGradGuard no_gradient;
  impl_->y = convolve(impl_->x, impl_->weight, {}, impl_->map);
}
void Layer::forward_for_gradient() {
  for (at::Tensor* t : {&impl_->x, &impl_->weight}) {
    t->requires_grad_(true);
    t->mutable_grad() = at::Tensor();
  }
  impl_->y = convolve(impl_->x, impl_->weight, {}, impl_->map);
}
void Layer::backward(Matrix<const float> gy) { impl_->y.backward(view(gy)); }
std::vector<float> Layer::output() const { return values_of(impl_->y); }
std::vector<float> Layer::gradients() const {
  std::vector<float> result;
  append(impl_->x.grad(), result);
  append(impl_->weight.grad(), result);
  return result;
}

struct DenseLayer::Impl {
  std::optional<DenseRunner> runner;
  at::Tensor y, cell;  ///< cell: int64 [N], of each site
};

DenseLayer::DenseLayer(std::span<const std::int32_t> rows, std::int64_t stride, std::int64_t size,
                       Matrix<const float> x, std::span<const float> weight, std::int64_t out_channels)
    : impl_(new Impl) {
  const at::Tensor position = rows_of(rows).narrow(1, 1, 3).div(stride, "floor");
  const at::Tensor low = std::get<0>(position.min(0)), extent = std::get<0>(position.max(0)) - low + 1;
  const std::int64_t *e = extent.data_ptr<std::int64_t>(), cells = e[0] * e[1] * e[2];
  const std::vector<at::Tensor> p = (position - low).unbind(1);
  impl_->cell = (p[0] * e[1] + p[1]) * e[2] + p[2];
  impl_->runner.emplace(at::zeros({x.cols, cells})
                            .index_copy_(1, impl_->cell, view(x).t().contiguous())
                            .view({1, x.cols, e[0], e[1], e[2]}),
                        weights_of(weight, size, x.cols, out_channels)
                            .permute({2, 1, 0})
                            .contiguous()
                            .view({out_channels, x.cols, size, size, size}),
                        size / 2);
}
DenseLayer::~DenseLayer() = default;
void DenseLayer::forward() { impl_->y = impl_->runner->run(); }
std::vector<float> DenseLayer::output() const {
  const at::Tensor cells = impl_->y.contiguous().view({impl_->y.size(1), -1});
  return values_of(cells.index_select(1, impl_->cell).t());
}

struct Network::Impl {
  Interpreter interpreter;
  Geometry geometry;
  std::map<std::string, at::Tensor> outputs;
};

Network::Network(const Model& model)
    : impl_(new Impl{{model.graph(), model.weights(), Use::inference, Derivative::composed}, {}, {}}) {}
Network::~Network() = default;
void Network::run(Matrix<const float> points) {
  at::NoGradGuard no_gradient;
  impl_->geometry = {};  // as one would: nothing is kept from scan to scan
  impl_->geometry = impl_->interpreter.geometry(view(points));
  run_features();
}
void Network::run_features() {
  at::NoGradGuard no_gradient;
  impl_->outputs = impl_->interpreter.features(impl_->geometry, {"logits", "labels"});
}
std::vector<float> Network::logits() const { return values_of(impl_->outputs.at("logits")); }
std::vector<std::uint8_t> Network::labels() const {
  const at::Tensor plain = impl_->outputs.at("labels").contiguous();
  return {plain.data_ptr<std::uint8_t>(), plain.data_ptr<std::uint8_t>() + plain.numel()};
}

struct Trainer::Impl {
  Impl(const Model& model, double rate, Derivative derivative)
      : interpreter(model.graph(), model.weights(), Use::training, derivative),
        optimizer(trainable(), torch::optim::AdamWOptions(rate)) {}
  std::vector<at::Tensor> trainable() const {
    std::vector<at::Tensor> list;
    for (const auto& [name, value] : interpreter.parameters())
      if (value.requires_grad()) list.push_back(value);
    return list;
  }
  Interpreter interpreter;
  torch::optim::AdamW optimizer;
  double loss = 0;
};

Trainer::Trainer(const Model& model, double rate, Backward backward)
    : impl_(new Impl(model, rate, backward == Backward::autograd ? Derivative::composed : Derivative::handwritten)) {}
Trainer::~Trainer() = default;
void Trainer::step(Matrix<const float> points, std::span<const std::uint8_t> labels) {
  Geometry geometry;
  {
    at::NoGradGuard no_gradient;
    geometry = impl_->interpreter.geometry(view(points));
  }
  const at::Tensor target =
      at::from_blob(const_cast<std::uint8_t*>(labels.data()), {static_cast<std::int64_t>(labels.size())}, at::kByte)
          .to(at::kLong);
  for (const at::Tensor& value : impl_->trainable()) value.mutable_grad() = at::Tensor();
  const at::Tensor logits = impl_->interpreter.features(geometry, {"logits"}).at("logits");
  const at::Tensor loss = at::cross_entropy_loss(logits, target, {}, at::Reduction::Mean, 255);
  loss.backward();
  impl_->optimizer.step();
  impl_->loss = loss.item<double>();
}
double Trainer::loss() const { return impl_->loss; }
std::map<std::string, std::vector<float>> Trainer::gradients() const {
  std::map<std::string, std::vector<float>> result;
  for (const auto& [name, value] : impl_->interpreter.parameters())
    if (value.requires_grad() && value.grad().defined()) result[name] = values_of(value.grad());
  return result;
}

}  // namespace rarefy::peer
