#include "runtime/embedding.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/half.h"
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

float real(float v) { return v; }
float real(Half v) { return widen(v); }

template <class T, class Stored>
void copy_rows(Matrix<const T> x, Matrix<const Stored> table, Executor& executor, Matrix<float> y) {
  for_row_blocks(x.rows, executor, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const Stored* const from = table.row(static_cast<std::int64_t>(x(r, 0)));
      std::transform(from, from + table.cols, y.row(r), [](Stored v) { return real(v); });
    }
  });
}

template <class Stored>
void embed_from(const Node& node, const TensorView& x, Matrix<const Stored> table, Executor& executor,
                Matrix<float> y) {
  if (x.dtype == Dtype::u8) {
    check_numbers(node, x.matrix<const std::uint8_t>());
    return copy_rows(x.matrix<const std::uint8_t>(), table, executor, y);
  }
  check_numbers(node, x.matrix<const float>());
  copy_rows(x.matrix<const float>(), table, executor, y);
}

template <class Stored>
Matrix<const Stored> matrix_of(const Tensor& table) {
  return {table.as<Stored>().data(), table.shape()[0], table.shape()[1]};
}

}  // namespace

void embed(const Node& node, const TensorView& x, Matrix<const float> table, Executor& executor, Matrix<float> y) {
  embed_from(node, x, table, executor, y);
}

namespace ops {

RuntimeOp embedding() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any {
    const ParameterRef& table = args.node.parameters[0];
    // Whole tables are shared with the model, in 16 bits where it has them so.
    return table.view.empty() ? args.weights.at(table.name) : args.weights.resolve(table);
  };
  op.run = [](const RunArgs& args) {
    const Tensor& table = std::any_cast<const Tensor&>(*args.state);
    const TensorView& x = args.view(args.node->inputs[0]);
    if (table.dtype() == Dtype::f16)
      return embed_from(*args.node, x, matrix_of<Half>(table), *args.executor, args.output(0));
    embed_from(*args.node, x, matrix_of<float>(table), *args.executor, args.output(0));
  };
  return op;
}

}  // namespace ops
}  // namespace rarefy::runtime
