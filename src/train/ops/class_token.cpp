#include <algorithm>

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp class_token() {
  return {[](const ForwardArgs& args) {
    const Voxels* index = &args.batch->index(args.node.inputs[1]);
    const at::Tensor x = with_unit_columns(args.input(0)), token = args.parameters[0].contiguous();
    const std::int64_t rows = x.size(0), cols = x.size(1);
    at::Tensor y = empty_matrix(static_cast<std::int64_t>(index->voxel_of_point.size()), cols);
    gather_rows(index->voxel_of_point, matrix(x), 0.0f, args.executor, matrix(y));
    for (std::int64_t r = 0; r < y.size(0); ++r)
      if (index->voxel_of_point[static_cast<std::size_t>(r)] < 0)
        std::copy_n(token.data_ptr<float>(), cols, y.data_ptr<float>() + r * cols);
    Executor* executor = &args.executor;
    return differentiable(y, {args.input(0), args.parameters[0]},
                          [=, batch = args.batch](const at::Tensor& gradient, const std::vector<bool>&) {
                            std::vector<at::Tensor> result{empty_matrix(rows, cols), at::zeros({cols}, at::kFloat)};
                            const Matrix<float> g = matrix(gradient);
                            gather_rows_gradient(*index, g, *executor, matrix(result[0]));
                            for (std::int64_t r = 0; r < g.rows; ++r)
                              for (std::int64_t c = 0;
                                   index->voxel_of_point[static_cast<std::size_t>(r)] < 0 && c < cols; ++c)
                                result[1].data_ptr<float>()[c] += g(r, c);
                            return result;
                          });
  }};
}

}  // namespace rarefy::train::ops
