#pragma once
/// Writes tensors as a safetensors file, as other programs would.
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "rarefy/weights.h"

namespace rarefy::test {

/// @param metadata  of the header; empty = none
inline std::string safetensors(const std::vector<std::pair<std::string, Tensor>>& tensors,
                               const std::vector<std::pair<std::string, std::string>>& metadata = {}) {
  nlohmann::ordered_json header;
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    std::string dtype(rarefy::name(tensor.dtype()));
    for (char& c : dtype) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const std::size_t begin = data.size();
    data.append(static_cast<const char*>(tensor.data()), static_cast<std::size_t>(tensor.bytes()));
    header[name] = {{"dtype", dtype}, {"shape", tensor.shape()}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  std::string bytes(8, '\0');
  const std::uint64_t length = text.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + text + data;
}

}  // namespace rarefy::test
