#include <cmath>

#include "kernels/attention.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

/// Gradients by LibTorch's dense operators, sample by sample, with n x n numbers per head of one sample.
struct Gradient {
  std::shared_ptr<const Prepared> batch;
  const std::vector<std::int64_t>* begin;
  std::int64_t heads;
  Queries queries;
  at::Tensor q, k, sizes;

  at::Tensor by_head(const at::Tensor& x, std::int64_t first, std::int64_t rows) const {
    return x.narrow(0, first, rows).reshape({rows, heads, x.size(1) / heads}).transpose(0, 1);
  }

  std::vector<at::Tensor> operator()(const at::Tensor& gradient, const std::vector<bool>&) const {
    std::vector<at::Tensor> result{at::zeros_like(q), at::zeros_like(k)};
    if (sizes.defined()) result.push_back(at::zeros_like(sizes));
    const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(1) / heads));
    for (std::size_t s = 1; s < begin->size(); ++s) {
      const std::int64_t first = (*begin)[s - 1], rows = (*begin)[s] - first;
      if (rows == 0) continue;
      const std::int64_t asking = queries == Queries::first ? 1 : rows;
      const at::Tensor qs = by_head(q, first, asking), ks = by_head(k, first, rows);
      const at::Tensor scores = at::matmul(qs, ks.transpose(1, 2)) * scale;
      const at::Tensor own = sizes.defined() ? sizes.narrow(0, first, rows) : at::Tensor();
      const at::Tensor p = attention_probabilities(scores, own);
      const at::Tensor gp = gradient.narrow(0, first, rows).view({1, 1, rows}) / static_cast<double>(heads);
      const at::Tensor away = gp - (gp * p).sum(2, true), gs = p * away;
      result[0]
          .narrow(0, first, asking)
          .copy_(at::matmul(gs, ks).mul(scale).transpose(0, 1).reshape({asking, q.size(1)}));
      result[1]
          .narrow(0, first, rows)
          .copy_(at::matmul(gs.transpose(1, 2), qs).mul(scale).transpose(0, 1).reshape({rows, k.size(1)}));
      if (sizes.defined()) result[2].narrow(0, first, rows).copy_(sizes_gradient(scores, own, away));
    }
    return result;
  }
};

}  // namespace

TrainOp attention_scores() {
  return {[](const ForwardArgs& args) {
    const at::Tensor q = with_unit_columns(args.input(0)), k = with_unit_columns(args.input(1));
    const bool sized = args.node.inputs.size() > 2;
    const at::Tensor sizes = sized ? with_unit_columns(args.input(2)) : at::Tensor();
    const auto& begin = args.batch->space(args.graph.type(args.node.inputs[0]).space).sample_begin;
    AttentionInput in{matrix(q), matrix(k), {}, {}, begin, args.node.integer("heads")};
    if (sized) in.sizes = matrix(sizes);
    const Queries queries = args.node.text("queries") == "all" ? Queries::all : Queries::first;
    at::Tensor y = empty_matrix(q.size(0), 1);
    AlignedBuffer scratch;
    attention_received(args.variant.needs, in, queries, args.executor, scratch, matrix(y));
    std::vector<at::Tensor> inputs{args.input(0), args.input(1)};
    if (sized) inputs.push_back(args.input(2));
    return differentiable(
        y, inputs,
        Gradient{args.batch, &begin, in.heads, queries, q.detach(), k.detach(), sized ? sizes.detach() : at::Tensor()});
  }};
}

}  // namespace rarefy::train::ops
