#include "rarefy/tensor.h"

#include "base/check.h"

namespace rarefy {

std::string_view name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "f32";
    case Dtype::f64:
      return "f64";
    case Dtype::f16:
      return "f16";
    case Dtype::bf16:
      return "bf16";
    case Dtype::i8:
      return "i8";
    case Dtype::u8:
      return "u8";
    case Dtype::i32:
      return "i32";
    case Dtype::i64:
      return "i64";
  }
  return "?";
}

void TensorView::require(Dtype wanted) const {
  RAREFY_CHECK(dtype == wanted, UsageError, "tensor holds {}, asked for as {}", name(dtype), name(wanted));
}

void TensorView::require_contiguous() const {
  RAREFY_CHECK(row_stride == cols || rows <= 1, UsageError,
               "tensor rows are {} elements apart but {} long: read it through matrix<T>()", row_stride, cols);
}

}  // namespace rarefy
