#pragma once
/// Any safetensors file: the tensors alone, whoever wrote it. Model::load reads our own, with the graph.
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rarefy/weights.h"

namespace rarefy {

struct TensorFile {
  std::vector<std::pair<std::string, Tensor>> tensors;  ///< in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// @param name  stands for the file in messages
/// @throws InputError (no safetensors file, truncated, overlapping tensors, ...), UnsupportedError (element type)
TensorFile parse_tensor_file(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace rarefy
