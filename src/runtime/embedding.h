#pragma once
/// Rows of a table by number.
#include "runtime/op.h"

namespace rarefy::runtime {

/// y[r] = table[x[r]]. @param x  [N, 1], f32 or u8
/// @throws InputError naming the node and the first row that asks for what is no row of the table
void embed(const Node& node, const TensorView& x, Matrix<const float> table, Executor& executor, Matrix<float> y);

}  // namespace rarefy::runtime
