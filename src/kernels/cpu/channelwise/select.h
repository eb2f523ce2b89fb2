#pragma once
/// The channel-wise loops of an instruction set, and what the drivers over a kernel map share.
#include "base/cpu.h"
#include "kernels/cpu/channelwise/kernels.h"
#include "rarefy/tensor.h"
#include "sparse/kernel_map.h"

namespace rarefy::channelwise_cpu {

const ChannelwiseKernels& channelwise_kernels(cpu::Isa isa);

inline Rows rows_of(Matrix<const float> m) { return {m.data, m.row_stride}; }
inline OutputRows rows_of(Matrix<float> m) { return {m.data, m.row_stride}; }

/// Pairs of block b and offset k.
inline Pairs pairs_of(const KernelMap& map, std::int64_t b, std::int64_t k) {
  const std::int64_t* range = map.begin.data() + b * map.volume + k;
  return {map.in_row.data() + range[0], map.out_row.data() + range[0], range[1] - range[0]};
}

}  // namespace rarefy::channelwise_cpu
