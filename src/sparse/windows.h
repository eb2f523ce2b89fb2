#pragma once
/// Windows of tokens that fill images, line by line. Source: Liu et al., ICCV 2021 (Swin), section 3.2.
#include <algorithm>
#include <cstdint>
#include <span>

#include "sparse/row_sets.h"

namespace rarefy {

/// How one axis is cut: every `window` tokens, or, shifted, at `shift` and every `window` from there. What a shifted
/// cut leaves at both ends are windows of their own, smaller ones: in Swin they meet in one window after a cyclic
/// shift, and a mask keeps them apart. An axis that one window covers is not cut.
struct AxisCuts {
  std::int64_t length = 1, window = 1, shift = 0;

  bool shifted() const { return shift > 0 && length > window; }
  std::int64_t count() const {
    return shifted() ? 1 + (length - shift + window - 1) / window : (length + window - 1) / window;
  }
  std::int64_t of(std::int64_t token) const {
    if (!shifted()) return token / window;
    return token < shift ? 0 : 1 + (token - shift) / window;
  }
  std::int64_t begin(std::int64_t number) const {
    if (!shifted()) return number * window;
    return number == 0 ? 0 : shift + (number - 1) * window;
  }
  std::int64_t end(std::int64_t number) const {
    return std::min(length, shifted() && number == 0 ? shift : begin(number) + window);
  }
};

/// Windows are numbered line by line, image after image.
struct WindowGrid {
  std::int64_t height = 1, width = 1;  ///< tokens of an image
  std::int64_t window = 7, shift = 0;

  AxisCuts lines() const { return {height, window, shift}; }
  AxisCuts columns() const { return {width, window, shift}; }
  std::int64_t tokens() const { return height * width; }
  std::int64_t windows() const { return lines().count() * columns().count(); }
};

/// Of each token of `images` images its window; inverted.
void windows_of_tokens(const WindowGrid& grid, std::int64_t images, RowIndex& window_of_token);

/// The tokens of the windows `kept` (all of them where it is null), window by window, line by line.
/// @param begin  gets where each window begins
/// @param token_of_row, row_of_token  each other's inverse; row_of_token is -1 for tokens of other windows; both
/// inverted
void rows_of_windows(const WindowGrid& grid, std::int64_t images, const RowIndex* kept, SampleBegin& begin,
                     RowIndex& token_of_row, RowIndex& row_of_token);

}  // namespace rarefy
