#pragma once
/// Tensors of a foreign checkpoint, and which parameter of a graph each becomes.
#include <string>
#include <utility>
#include <vector>

#include "models/foreign/layout.h"
#include "rarefy/graph.h"

namespace rarefy::models::foreign {

/// A state dict as read from a safetensors file.
struct StateDict {
  std::vector<std::pair<std::string, Tensor>> tensors;
  /// The tensors stand in the order of the state dict, as tools/pt_to_safetensors.py writes them; else they were sorted
  /// by name (numbers by value) when read.
  bool ordered = false;
};

/// Reads any safetensors file; a prefix "module." that all names share is dropped.
/// @throws IoError, InputError (damaged), UnsupportedError (element type)
StateDict load_state_dict(const std::string& path);

/// A library or a project whose checkpoints can be read.
struct Source {
  std::string name;
  std::string doc;  ///< one line for users
  KernelLayout layout = KernelLayout::rarefy;
  AxisOrder axes = AxisOrder::xyz;
  /// Where a parameter of the builder "minkunet" is found: modules of the project by module of ours ("down1.res2.conv1"
  /// or "down1.res2.conv1.bn"); empty where the names are the user's own.
  std::vector<std::string> (*names)(const std::string& module) = nullptr;
  /// Brings a state dict to names and shapes of ours first; or null.
  StateDict (*prepare)(StateDict dict) = nullptr;
};
/// All sources.
const std::vector<Source>& sources();
/// @throws UsageError naming the candidates
const Source& source(std::string_view name);

/// "mmdet3d" stands for three back ends: the one that a state dict was made with, told by its names.
Source resolve(const Source& source, const StateDict& dict);

}  // namespace rarefy::models::foreign
