#pragma once
/// The table of ops that the GPU runs, filled by the ops_*.cpp beside.
#include <map>
#include <string>

#include "runtime/cuda/run.h"

namespace rarefy::runtime::cuda {

using DeviceOps = std::map<std::string, DeviceOp, std::less<>>;
void add_geometry_ops(DeviceOps& ops);
void add_row_ops(DeviceOps& ops);

/// Values in device memory, ready when it returns.
std::shared_ptr<DeviceBuffer> upload(const std::vector<float>& values);
/// Into how many ranges of offsets a map is cut before its rows are sorted by mask.
int splits_of(const DeviceMap& map);

}  // namespace rarefy::runtime::cuda
