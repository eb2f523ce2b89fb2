#include "base/check.h"
#include "kernels/cuda/geometry/reduce_kernels.h"
#include "kernels/cuda/geometry/sites_impl.h"

namespace rarefy::cuda {

void reduce_to_voxels(const PointVoxels& voxels, Matrix<const float> x, Reduction reduction, Stream stream,
                      Matrix<float> y) {
  RAREFY_CHECK(x.rows == voxels.points, ShapeError, "features of the points must be [{}, {}], got [{}, {}]",
               voxels.points, x.cols, x.rows, x.cols);
  const std::int64_t most = geometry::most_rows(voxels.sites);
  RAREFY_CHECK(y.rows >= most && y.cols == x.cols, ShapeError,
               "features of the voxels must be [{} or more, {}], got [{}, {}]", most, x.cols, y.rows, y.cols);
  RAREFY_CHECK(reduction != Reduction::sum, UnsupportedError, "sums of points are reduce_rows' (rows.h), not voxels'");
  const geometry::ReduceJob job{voxels.sites.count.as<std::int32_t>(),
                                voxels.point_begin.as<std::int32_t>(),
                                voxels.point_order.as<std::int32_t>(),
                                x.data,
                                x.row_stride,
                                y.data,
                                y.row_stride,
                                most,
                                x.cols};
  static_assert(static_cast<int>(geometry::Reduce::mean) == static_cast<int>(Reduction::mean) &&
                static_cast<int>(geometry::Reduce::max) == static_cast<int>(Reduction::max));
  geometry::reduce(job, static_cast<geometry::Reduce>(reduction), stream);
}

}  // namespace rarefy::cuda
