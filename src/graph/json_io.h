#pragma once
/// Graphs and pipelines as JSON: the inside of a model file. See docs/model-file.md.
#include <string>

#include "rarefy/model.h"

namespace rarefy {

std::string graph_to_json(const Graph& graph);
/// @param where  stands for the file in messages
/// @throws InputError, UnsupportedError (unknown op, newer version), ShapeError (the graph contradicts itself)
Graph graph_from_json(const std::string& text, const OpSet& ops, const std::string& where);

std::string pipeline_to_json(const Pipeline& pipeline);
Pipeline pipeline_from_json(const std::string& text, const std::string& where);

/// Header of a safetensors file, parsed and checked: no duplicate keys, no absurd depth.
struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< in the data section
  std::uint64_t end = 0;
};
struct FileHeader {
  std::vector<TensorEntry> tensors;
  std::map<std::string, std::string> metadata;
};
FileHeader header_from_json(const std::string& text, const std::string& where);
std::string header_to_json(const FileHeader& header);

}  // namespace rarefy
