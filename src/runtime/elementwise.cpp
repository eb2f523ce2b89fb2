#include "runtime/elementwise.h"

#include <cmath>

#include "kernels/row_norm.h"
#include "runtime/attention_step.h"

namespace rarefy::runtime {
namespace {

using std::erf;
using std::exp;
using std::expm1;
using std::log1p;
using std::tanh;

template <class F>
RuntimeOp unary(F f) {
  RuntimeOp op;
  op.run = [f](const RunArgs& args) {
    const auto x = args.input(0);
    const auto y = args.output(0);
    const auto alpha = static_cast<float>(args.node->number("alpha"));
    for_row_blocks(x.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t c = 0; c < x.cols; ++c) y(r, c) = f(x(r, c), alpha);
    });
  };
  return op;
}

template <class F>
RuntimeOp binary(F f) {
  RuntimeOp op;
  op.run = [f](const RunArgs& args) {
    const auto a = args.input(0), b = args.input(1);
    const auto y = args.output(0);
    for_row_blocks(a.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t c = 0; c < a.cols; ++c) y(r, c) = f(a(r, c), b(r, c));
    });
  };
  return op;
}

RuntimeOp vector_gelu() {
  RuntimeOp op;
  op.prepare = remember_variant;
  op.run = [](const RunArgs& args) {
    gelu(isa_of(args), args.input(0), *args.executor, args.output(0));
    *args.variant = cpu::name(isa_of(args));
  };
  return op;
}

}  // namespace

std::map<std::string, RuntimeOp, std::less<>> elementwise_runtime_ops() {
  std::map<std::string, RuntimeOp, std::less<>> ops;
#define RAREFY_UNARY(name, alpha_default, forward, derivative, doc) \
  ops[#name] = unary([](float x, [[maybe_unused]] float alpha) -> float { return forward; });
#define RAREFY_BINARY(name, forward, derivative_a, derivative_b, doc) \
  ops[#name] = binary([](float a, float b) -> float { return forward; });
#include "graph/elementwise.inc"
#undef RAREFY_UNARY
#undef RAREFY_BINARY
  ops["gelu"] = vector_gelu();  // the error function of the library, number by number, costs as much as a layer
  return ops;
}

}  // namespace rarefy::runtime
