#pragma once
/// What ops that compare tokens share at run time.
#include "kernels/attention.h"
#include "runtime/op.h"

namespace rarefy::runtime {

/// The instruction set that a step was compiled for; what runs outside a plan takes the best.
inline cpu::Isa isa_of(const RunArgs& args) {
  return args.state != nullptr && args.state->has_value() ? std::any_cast<const ConvVariant*>(*args.state)->needs
                                                          : cpu::allowed_isa();
}
inline std::any remember_variant(const PrepareArgs& args) { return &args.variant; }

/// @param sizes  which input the sizes are, if there are any
inline AttentionInput attention_input(const RunArgs& args, std::size_t sizes) {
  AttentionInput in;
  in.q = args.input(0);
  in.k = args.input(1);
  if (args.node->inputs.size() > sizes) in.sizes = args.input(sizes);
  in.sample_begin = args.space_of(args.node->inputs[0]).sample_begin;
  in.heads = args.node->integer("heads");
  return in;
}

/// A space of rows without coordinates is what sample_begin says now.
inline void settle_rows(SpaceValue& space) {
  space.coords = nullptr;
  space.rows = space.sample_begin.empty() ? 0 : space.sample_begin.back();
}

}  // namespace rarefy::runtime
