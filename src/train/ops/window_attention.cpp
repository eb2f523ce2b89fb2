#include "kernels/window_attention.h"

#include "graph/images/windows.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

/// What the backward pass needs of the forward one: the inputs.
struct Saved {
  std::shared_ptr<const Prepared> batch;
  at::Tensor q, k, v, table;
  const std::vector<std::int64_t>* begin;
  const Voxels* token_of_row;
  WindowGrid grid;
  std::int64_t heads;

  WindowAttentionInput input() const {
    return {{matrix(q), matrix(k), matrix(v), {}, *begin, heads}, token_of_row->voxel_of_point, grid, matrix(table)};
  }
};

}  // namespace

TrainOp window_attention() {
  return {[](const ForwardArgs& args) {
    const Node& node = args.node;
    const Saved saved{args.batch,
                      with_unit_columns(args.input(0)).detach(),
                      with_unit_columns(args.input(1)).detach(),
                      with_unit_columns(args.input(2)).detach(),
                      args.parameters[0].detach().contiguous(),
                      &args.batch->space(args.graph.type(node.inputs[0]).space).sample_begin,
                      &args.batch->index(node.inputs[3]),
                      window_grid(node),
                      node.integer("heads")};
    at::Tensor y = empty_matrix(saved.v.size(0), saved.v.size(1));
    AlignedBuffer scratch;
    const cpu::Isa isa = args.variant.needs;
    Executor* executor = &args.executor;
    rarefy::window_attention(isa, saved.input(), *executor, scratch, matrix(y));
    return differentiable(y, {args.input(0), args.input(1), args.input(2), args.parameters[0]},
                          [=](const at::Tensor& gradient, const std::vector<bool>&) {
                            std::vector<at::Tensor> result;
                            for (const at::Tensor* like : {&saved.q, &saved.k, &saved.v, &saved.table})
                              result.push_back(empty_matrix(like->size(0), like->size(1)));
                            AlignedBuffer memory;
                            window_attention_gradient(
                                isa, saved.input(), matrix(gradient), *executor, memory,
                                {matrix(result[0]), matrix(result[1]), matrix(result[2]), matrix(result[3])});
                            return result;
                          });
  }};
}

}  // namespace rarefy::train::ops
