#include "kernels/attention.h"

#include <cmath>

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

/// One sample, [heads, n, channels of a head].
at::Tensor by_head(const at::Tensor& x, std::int64_t first, std::int64_t rows, std::int64_t heads) {
  return x.narrow(0, first, rows).reshape({rows, heads, x.size(1) / heads}).transpose(0, 1);
}
at::Tensor from_heads(const at::Tensor& x) { return x.transpose(0, 1).reshape({x.size(1), -1}); }

/// Gradients by LibTorch's dense operators, sample by sample; unlike the forward pass they hold n x n numbers per head
/// of one sample.
struct Gradient {
  std::shared_ptr<const Prepared> batch;
  const std::vector<std::int64_t>* begin;
  std::int64_t heads;
  at::Tensor q, k, v, sizes;

  void sample(std::int64_t first, std::int64_t rows, const at::Tensor& gradient,
              std::vector<std::vector<at::Tensor>>& parts) const {
    const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(1) / heads));
    const at::Tensor qs = by_head(q, first, rows, heads), ks = by_head(k, first, rows, heads),
                     vs = by_head(v, first, rows, heads), g = by_head(gradient, first, rows, heads);
    const at::Tensor scores = at::matmul(qs, ks.transpose(1, 2)) * scale;
    const at::Tensor own = sizes.defined() ? sizes.narrow(0, first, rows) : at::Tensor();
    const at::Tensor p = attention_probabilities(scores, own), gp = at::matmul(g, vs.transpose(1, 2));
    const at::Tensor away = gp - (gp * p).sum(2, true), gs = p * away;
    parts[0].push_back(from_heads(at::matmul(gs, ks) * scale));
    parts[1].push_back(from_heads(at::matmul(gs.transpose(1, 2), qs) * scale));
    parts[2].push_back(from_heads(at::matmul(p.transpose(1, 2), g)));
    if (sizes.defined()) parts[3].push_back(sizes_gradient(scores, own, away));
  }

  std::vector<at::Tensor> operator()(const at::Tensor& gradient, const std::vector<bool>&) const {
    std::vector<std::vector<at::Tensor>> parts(sizes.defined() ? 4 : 3);
    for (std::size_t s = 1; s < begin->size(); ++s)
      if ((*begin)[s] > (*begin)[s - 1]) sample((*begin)[s - 1], (*begin)[s] - (*begin)[s - 1], gradient, parts);
    std::vector<at::Tensor> result;
    for (const auto& part : parts) result.push_back(part.empty() ? at::Tensor() : at::cat(part));
    return result;
  }
};

}  // namespace

TrainOp attention() {
  return {[](const ForwardArgs& args) {
    const at::Tensor q = with_unit_columns(args.input(0)), k = with_unit_columns(args.input(1)),
                     v = with_unit_columns(args.input(2));
    const bool sized = args.node.inputs.size() > 3;
    const at::Tensor sizes = sized ? with_unit_columns(args.input(3)) : at::Tensor();
    const auto& begin = args.batch->space(args.graph.type(args.node.inputs[0]).space).sample_begin;
    AttentionInput in{matrix(q), matrix(k), matrix(v), {}, begin, args.node.integer("heads")};
    if (sized) in.sizes = matrix(sizes);
    at::Tensor y = empty_matrix(v.size(0), v.size(1));
    AlignedBuffer scratch;
    rarefy::attention(args.variant.needs, in, args.executor, scratch, matrix(y));
    std::vector<at::Tensor> inputs{args.input(0), args.input(1), args.input(2)};
    if (sized) inputs.push_back(args.input(3));
    return differentiable(y, inputs,
                          Gradient{args.batch, &begin, in.heads, q.detach(), k.detach(), v.detach(),
                                   sized ? sizes.detach() : at::Tensor()});
  }};
}

}  // namespace rarefy::train::ops
