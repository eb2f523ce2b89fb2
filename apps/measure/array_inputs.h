#pragma once
/// Inputs of any model from arrays in a .npz file.
#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "data/formats/npy_array.h"
#include "rarefy/graph.h"
#include "rarefy/session.h"

namespace rarefy::cli {

/// Reads what a graph needs, by the names of its inputs. Rows without coordinates: array NAME (or NAME.points) [rows,
/// channels], and, for more than one sample, NAME.begin [samples + 1], where samples begin. Sparse tensors:
/// NAME.coords int32 [N, 1 + dims] (batch first) and NAME.features.
class ArrayInputs {
 public:
  /// @throws IoError, InputError naming file and array
  ArrayInputs(const Graph& graph, const std::string& file);
  /// Views of this object, which must outlive them.
  const Inputs& inputs() const { return inputs_; }

 private:
  Input make(const Node& node, const NpzFile& npz);
  TensorView rows(const std::string& name, const NpyArray& array);
  SparseView sparse(const Node& node, const NpzFile& npz);

  std::string file_;
  std::list<std::vector<float>> floats_;  // lists: what views point to stays where it is
  std::list<std::vector<std::int32_t>> integers_;
  std::list<std::vector<std::int64_t>> begins_;
  Inputs inputs_;
};

}  // namespace rarefy::cli
