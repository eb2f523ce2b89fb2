#pragma once
/// Runtime side of the element-wise table.
#include <map>
#include <string>

#include "runtime/op.h"

namespace rarefy::runtime {

std::map<std::string, RuntimeOp, std::less<>> elementwise_runtime_ops();

/// Calls f(first_row, last_row) over fixed blocks of rows, in parallel.
inline constexpr std::int64_t kRowBlock = 1024;
template <class F>
void for_row_blocks(std::int64_t rows, Executor& executor, F f) {
  executor.parallel_for((rows + kRowBlock - 1) / kRowBlock,
                        [&](std::int64_t part, int) { f(part * kRowBlock, std::min(rows, (part + 1) * kRowBlock)); });
}

}  // namespace rarefy::runtime
