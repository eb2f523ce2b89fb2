#pragma once
/// Bilinear interpolation between grids over the same images. Same bits for any executor.
#include <cstdint>

#include "rarefy/executor.h"
#include "rarefy/tensor.h"

namespace rarefy {

/// From a grid of lines and columns to another one; the rows of an image are line by line.
struct GridResize {
  std::int64_t height = 1, width = 1, to_height = 1, to_width = 1;
};

/// y at the centre of cell (i, j) is x between the centres around it; beyond the outermost centres x is constant:
/// PyTorch's interpolate(mode="bilinear", align_corners=False), without antialiasing.
/// @param x  [images * height * width, C]
/// @param y  [images * to_height * to_width, C]
/// @throws ShapeError when the rows are no whole images, or not equally many
void resize_grid(const GridResize& resize, Matrix<const float> x, Executor& executor, Matrix<float> y);
/// Its transpose: gx from gy.
void resize_grid_gradient(const GridResize& resize, Matrix<const float> gy, Executor& executor, Matrix<float> gx);

}  // namespace rarefy
