#include "peers/torch_dense.h"

#include <chrono>
#include <optional>

#include "measure/crossover.h"
#include "measure/timing.h"
#include "peers/peer.h"

namespace rarefy::peer {

DenseRunner::DenseRunner(const at::Tensor& x, const at::Tensor& weight, std::int64_t padding)
    : padding_(static_cast<std::size_t>(x.dim()) - 2, padding) {
  std::vector<at::MemoryFormat> formats{at::MemoryFormat::Contiguous};
  if (x.dim() > 3) formats.push_back(x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::ChannelsLast3d);
  double best = 1e30;
  DenseRunner chosen = *this;
  for (const at::MemoryFormat format : formats) {
    for (const bool onednn : {false, true}) {
      if (onednn && x.dim() < 4) continue;
      x_ = x.contiguous(format);
      weight_ = weight.contiguous(format);
      onednn_ = onednn;
      for (int i = 0; i < 3; ++i) {
        const auto start = std::chrono::steady_clock::now();
        run();
        const double ms = cli::bench::ms_since(start);
        if (ms >= best) continue;
        best = ms;
        chosen = *this;
      }
    }
  }
  *this = chosen;
}

at::Tensor DenseRunner::run() const {
  at::NoGradGuard no_gradient;
  const std::vector<std::int64_t> one(padding_.size(), 1), none(padding_.size(), 0);
  return onednn_ ? at::mkldnn_convolution(x_, weight_, {}, padding_, one, one, 1)
                 : at::convolution(x_, weight_, {}, one, padding_, one, false, none, 1);
}

namespace {

class TorchDense final : public cli::bench::DenseConvolution {
 public:
  void prepare(const cli::bench::DenseProblem& p) override {
    at::NoGradGuard no_gradient;
    set_threads(p.threads);
    const auto dims = static_cast<std::size_t>(p.dims);
    std::vector<std::int64_t> grid{1, p.channels}, window{p.channels, p.channels}, behind;
    grid.insert(grid.end(), dims, p.extent);
    window.insert(window.end(), dims, p.kernel);
    at::Tensor x =
        at::from_blob(const_cast<float*>(p.x), {p.cells(), p.channels}, at::kFloat).t().contiguous().view(grid);
    const at::Tensor weight =
        at::from_blob(const_cast<float*>(p.weights), {p.volume(), p.channels, p.channels}, at::kFloat)
            .permute({2, 1, 0})
            .contiguous()
            .view(window);
    const bool odd = p.kernel % 2 == 1;  // even kernels begin at the cell itself
    for (std::size_t axis = 0; axis < dims; ++axis) behind.insert(behind.end(), {0, p.kernel - 1});
    if (!odd) x = at::constant_pad_nd(x, behind);
    runner_.emplace(x, weight, odd ? p.kernel / 2 : 0);
  }

  void run() override { y_ = runner_->run(); }

  std::vector<float> result() override {
    const at::Tensor rows = y_.contiguous().view({y_.size(1), -1}).t().contiguous();
    return {rows.data_ptr<float>(), rows.data_ptr<float>() + rows.numel()};
  }

  std::string name() const override { return "LibTorch"; }

 private:
  std::optional<DenseRunner> runner_;
  at::Tensor y_;
};

}  // namespace

std::unique_ptr<cli::bench::DenseConvolution> torch_dense() { return std::make_unique<TorchDense>(); }

}  // namespace rarefy::peer
