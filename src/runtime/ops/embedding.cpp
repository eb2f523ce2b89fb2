#include "runtime/embedding.h"

#include <cmath>

#include "base/check.h"
#include "runtime/elementwise.h"

namespace rarefy::runtime {
namespace {

template <class T>
void check_numbers(const Node& node, Matrix<const T> x) {
  const auto count = static_cast<double>(node.integer("count"));
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const auto number = static_cast<double>(x(r, 0));
    RAREFY_CHECK(number >= 0.0 && number < count && number == std::floor(number), InputError,
                 "node '{}' (embedding): row {} asks for row {} of a table of {}", node.name, r, number,
                 node.integer("count"));
  }
}

template <class T>
void copy_rows(Matrix<const T> x, Matrix<const float> table, Executor& executor, Matrix<float> y) {
  for_row_blocks(x.rows, executor, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      std::copy_n(table.row(static_cast<std::int64_t>(x(r, 0))), table.cols, y.row(r));
  });
}

}  // namespace

void embed(const Node& node, const TensorView& x, Matrix<const float> table, Executor& executor, Matrix<float> y) {
  if (x.dtype == Dtype::u8) {
    check_numbers(node, x.matrix<const std::uint8_t>());
    return copy_rows(x.matrix<const std::uint8_t>(), table, executor, y);
  }
  check_numbers(node, x.matrix<const float>());
  copy_rows(x.matrix<const float>(), table, executor, y);
}

namespace ops {

RuntimeOp embedding() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any { return args.weights.resolve(args.node.parameters[0]); };
  op.run = [](const RunArgs& args) {
    const Tensor& table = std::any_cast<const Tensor&>(*args.state);
    embed(*args.node, args.view(args.node->inputs[0]), {table.as<float>().data(), table.shape()[0], table.shape()[1]},
          *args.executor, args.output(0));
  };
  return op;
}

}  // namespace ops
}  // namespace rarefy::runtime
