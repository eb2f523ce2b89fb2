#include "runtime/embedding.h"

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp embedding() {
  return {[](const ForwardArgs& args) {
    const at::Tensor x = args.input(0).contiguous(), table = args.parameters[0].contiguous();
    const Dtype dtype = x.scalar_type() == at::kByte ? Dtype::u8 : Dtype::f32;
    at::Tensor y = empty_matrix(x.size(0), table.size(1));
    runtime::embed(args.node, {x.data_ptr(), dtype, Device::cpu, x.size(0), 1, 1}, matrix(table), args.executor,
                   matrix(y));
    const at::Tensor rows = x.reshape({-1}).to(at::kLong);
    return differentiable(y, {at::Tensor(), args.parameters[0]},
                          [rows, shape = table.sizes().vec()](const at::Tensor& gradient, const std::vector<bool>&) {
                            at::Tensor result = at::zeros(shape, at::kFloat);
                            const Matrix<float> g = matrix(gradient), sum = matrix(result);
                            for (std::int64_t r = 0; r < g.rows; ++r) {
                              float* to = sum.row(rows.data_ptr<std::int64_t>()[r]);
                              for (std::int64_t c = 0; c < g.cols; ++c) to[c] += g(r, c);
                            }
                            return std::vector<at::Tensor>{at::Tensor(), result};
                          });
  }};
}

}  // namespace rarefy::train::ops
