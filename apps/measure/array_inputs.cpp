#include "measure/array_inputs.h"

#include "base/check.h"

namespace rarefy::cli {

ArrayInputs::ArrayInputs(const Graph& graph, const std::string& file) : file_(file) {
  const NpzFile npz = NpzFile::read(file);
  for (const std::int32_t i : graph.inputs()) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(i)];
    inputs_.emplace_back(node.name, make(node, npz));
  }
}

/// The array as float32 rows. @throws InputError unless it has two axes
TensorView ArrayInputs::rows(const std::string& name, const NpyArray& array) {
  RAREFY_CHECK(array.shape().size() == 2, InputError, "{}: array '{}' is {}, expected two axes [rows, channels]", file_,
               name, array.describe());
  floats_.push_back(array.to_floats());
  const std::int64_t count = array.shape()[0], cols = array.shape()[1];
  return {floats_.back().data(), Dtype::f32, Device::cpu, count, cols, cols};
}

SparseView ArrayInputs::sparse(const Node& node, const NpzFile& npz) {
  const auto dims = node.integer("dims");
  const NpyArray& coords = npz.at(node.name + ".coords");
  RAREFY_CHECK(coords.shape().size() == 2 && coords.shape()[1] == dims + 1, InputError,
               "{}: array '{}.coords' is {}, expected int32 [N, {}] (batch first)", file_, node.name, coords.describe(),
               dims + 1);
  std::vector<std::int32_t> values;
  for (const std::int64_t v : coords.to_integers()) {
    RAREFY_CHECK(v >= INT32_MIN && v <= INT32_MAX, InputError,
                 "{}: array '{}.coords' holds {}, which does not fit int32", file_, node.name, v);
    values.push_back(static_cast<std::int32_t>(v));
  }
  integers_.push_back(std::move(values));
  SparseView view{integers_.back().data(), rows(node.name + ".features", npz.at(node.name + ".features"))};
  RAREFY_CHECK(view.features.rows == coords.shape()[0], InputError, "{}: '{}.coords' has {} rows, '{}.features' has {}",
               file_, node.name, coords.shape()[0], node.name, view.features.rows);
  return view;
}

Input ArrayInputs::make(const Node& node, const NpzFile& npz) {
  if (node.op == "input_sparse") return sparse(node, npz);
  const NpyArray* points = npz.find(node.name + ".points");
  const TensorView view = rows(node.name, points != nullptr ? *points : npz.at(node.name));
  const NpyArray* begin = npz.find(node.name + ".begin");
  if (begin == nullptr) return view;
  begins_.push_back(begin->to_integers());
  return RowsView{view, begins_.back()};
}

}  // namespace rarefy::cli
