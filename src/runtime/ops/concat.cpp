#include <cstring>

#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

namespace {

/// Inputs that the plan placed inside the output are there already; the others are copied.
template <class T>
void concatenate(const RunArgs& args) {
  const auto y = args.output<T>(0);
  std::int64_t column = 0;
  for (std::size_t i = 0; i < args.node->inputs.size(); ++i) {
    const auto x = args.input<T>(i);
    T* const place = y.data + column;
    column += x.cols;
    if (x.data == place || x.empty()) continue;
    for_row_blocks(x.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        std::memcpy(place + r * y.row_stride, x.row(r), static_cast<std::size_t>(x.cols) * sizeof(T));
    });
  }
}

}  // namespace

RuntimeOp concat() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    switch (args.view(args.node->outputs[0]).dtype) {
      case Dtype::u8:
        return concatenate<std::uint8_t>(args);
      case Dtype::f16:
        return concatenate<Half>(args);
      default:
        return concatenate<float>(args);
    }
  };
  return op;
}

}  // namespace rarefy::runtime::ops
