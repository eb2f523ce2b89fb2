#include "base/check.h"
#include "bindings.h"
#include "rarefy/executor.h"
#include "sparse/coords.h"
#include "sparse/voxelize.h"

namespace rarefy::python {
namespace {

VoxelizeOptions options_of(const std::vector<float>& voxel_size, const std::string& rounding,
                           const std::vector<float>& crop_min, const std::vector<float>& crop_max) {
  RAREFY_CHECK(!voxel_size.empty() && voxel_size.size() <= kMaxDims, UsageError,
               "voxel_size has {} entries, expected one per axis, 1 to {}", voxel_size.size(), kMaxDims);
  VoxelizeOptions options;
  options.dims = static_cast<int>(voxel_size.size());
  std::copy(voxel_size.begin(), voxel_size.end(), options.voxel_size.begin());
  for (const auto& [given, bound, what] :
       {std::tuple(&crop_min, &options.crop_min, "crop_min"), std::tuple(&crop_max, &options.crop_max, "crop_max")}) {
    if (given->empty()) continue;
    RAREFY_CHECK(given->size() == voxel_size.size(), UsageError, "{} has {} entries, voxel_size {}", what,
                 given->size(), voxel_size.size());
    std::copy(given->begin(), given->end(), bound->begin());
  }
  set_rounding(rounding, options);
  return options;
}

Reduction reduction_of(const std::string& text) {
  if (text == "first") return Reduction::first;
  if (text == "mean") return Reduction::mean;
  RAREFY_CHECK(text == "max", UsageError, "reduction must be 'first', 'mean' or 'max', found '{}'", text);
  return Reduction::max;
}

/// (coords int32 [V, 1 + D], features float32 [V, C], index int32 [P], points not finite, points outside)
py::tuple voxelize_points(const py::array& points, const py::array& features,
                          const std::vector<std::int64_t>& sample_begin, const std::vector<float>& voxel_size,
                          const std::string& rounding, const std::vector<float>& crop_min,
                          const std::vector<float>& crop_max, const std::string& reduction) {
  const VoxelizeOptions options = options_of(voxel_size, rounding, crop_min, crop_max);
  const Reduction how = reduction_of(reduction);
  const auto p = rows_of(points, Dtype::f32, "points").matrix<const float>();
  const auto x = rows_of(features, Dtype::f32, "features").matrix<const float>();
  auto voxels = std::make_shared<Voxels>();
  auto coords = std::make_shared<std::vector<std::int32_t>>();
  auto values = std::make_shared<std::vector<float>>();
  {
    const py::gil_scoped_release release;
    voxelize(p, sample_begin, options, serial_executor(), *voxels);
    const std::int64_t rows = voxels->coords.rows();
    coords->resize(static_cast<std::size_t>(rows * (1 + options.dims)));
    write_coords(voxels->coords, coords->data());
    values->resize(static_cast<std::size_t>(rows * x.cols));
    reduce_to_voxels(*voxels, x, how, serial_executor(), {values->data(), rows, x.cols});
  }
  const std::int64_t rows = voxels->coords.rows(), width = 1 + options.dims;
  auto& index = voxels->voxel_of_point;
  const auto indices = static_cast<std::int64_t>(index.size());
  return py::make_tuple(array_over({coords->data(), Dtype::i32, Device::cpu, rows, width, width}, owner_of(coords)),
                        array_over({values->data(), Dtype::f32, Device::cpu, rows, x.cols, x.cols}, owner_of(values)),
                        array_over({index.data(), Dtype::i32, Device::cpu, indices, 1, 1}, owner_of(voxels)),
                        voxels->not_finite, voxels->outside);
}

}  // namespace

void bind_sparse(py::module_& m) {
  m.def("voxelize", &voxelize_points, py::arg("points"), py::arg("features"), py::arg("sample_begin"),
        py::arg("voxel_size"), py::arg("rounding"), py::arg("crop_min"), py::arg("crop_max"), py::arg("reduction"),
        "Voxels of points: (coords, features, index, points not finite, points outside).");
}

}  // namespace rarefy::python
