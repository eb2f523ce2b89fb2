#include "kernels/token_merge.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp fuse_rows() {
  return {[](const ForwardArgs& args) {
    const Voxels *kept = &args.batch->index(args.node.inputs[2]), *place = &args.batch->index(args.node.inputs[3]);
    const at::Tensor x = with_unit_columns(args.input(0)), weights = with_unit_columns(args.input(1));
    at::Tensor y = empty_matrix(static_cast<std::int64_t>(kept->voxel_of_point.size()), x.size(1));
    rarefy::fuse_rows(*kept, *place, matrix(x), matrix(weights), args.executor, matrix(y));
    return differentiable(y, {args.input(0), args.input(1)},
                          [kept, place, x = x.detach(), weights = weights.detach(), batch = args.batch](
                              const at::Tensor& gradient, const std::vector<bool>&) {
                            std::vector<at::Tensor> result{at::zeros({x.size(0), x.size(1)}, at::kFloat),
                                                           at::zeros({x.size(0), 1}, at::kFloat)};
                            const Matrix<float> g = matrix(gradient), xs = matrix(x), w = matrix(weights);
                            const Matrix<float> gx = matrix(result[0]), gw = matrix(result[1]);
                            for (std::int64_t r = 0; r < xs.rows; ++r) {
                              const std::int64_t to = place->voxel_of_point[static_cast<std::size_t>(r)];
                              if (to < 0) continue;
                              const bool stays = kept->voxel_of_point[static_cast<std::size_t>(to)] >= 0;
                              for (std::int64_t c = 0; c < xs.cols; ++c) {
                                gx(r, c) = stays ? g(to, c) : g(to, c) * w(r, 0);
                                if (!stays) gw(r, 0) += g(to, c) * xs(r, c);
                              }
                            }
                            return result;
                          });
  }};
}

}  // namespace rarefy::train::ops
