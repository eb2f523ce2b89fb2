#pragma once
/// Dense boxes of sites, and features between sparse and dense: a dense image is a sparse tensor that holds every site
/// of a box, so everything that runs on sparse tensors runs on it.
#include <cstdint>

#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/coords.h"

namespace rarefy {

/// A box on a space's grid. Its first `image_dims` axes are those of an image; cells along the others become channels.
struct Box {
  int dims = 3;
  int image_dims = 3;
  Extent low{0, 0, 0, 0};    ///< first site per axis, in finest voxels; a multiple of the stride
  Extent cells{1, 1, 1, 1};  ///< sites per axis
  Extent stride{1, 1, 1, 1};

  std::int64_t pixels() const;  ///< of one sample
  std::int64_t depth() const;   ///< Z, the cells of a pixel: channel c of cell z is channel c * Z + z of the image
};

/// All sites of the image for each of `batches` samples. @throws InputError when there are more than 2^31 - 1, or one
/// lies outside the range of coordinates.
void fill_box(const Box& box, std::int64_t batches, Coords& out);

/// dense[pixel, c * Z + z] = x[site, c], zeros elsewhere; sites outside the box are left out.
/// @param dense  [batches * pixels, C * Z] @throws ShapeError when it has another shape
void to_dense(const Coords& sites, const Box& box, Matrix<const float> x, Executor& executor, Matrix<float> dense);

/// x[site, c] = dense[pixel, c * Z + z], zeros for sites outside the box: the gradient of to_dense, and the way back.
void from_dense(const Coords& sites, const Box& box, Matrix<const float> dense, Executor& executor, Matrix<float> x);

}  // namespace rarefy
