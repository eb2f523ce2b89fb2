#pragma once
/// Named parameters, kept beside the graph. Copies share memory until they are written (copy on write).
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rarefy/export.h"
#include "rarefy/tensor.h"

namespace rarefy {

/// A dense array of any rank, contiguous, last axis fastest. Copying is cheap: memory is shared until written.
class RAREFY_API Tensor {
 public:
  Tensor() = default;
  /// Zero-filled. @throws UsageError when an extent is negative or the size overflows.
  Tensor(Dtype dtype, std::vector<std::int64_t> shape);

  Dtype dtype() const { return dtype_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::int64_t size() const;  ///< number of elements
  std::int64_t bytes() const { return size() * size_of(dtype_); }
  const void* data() const { return data_.get(); }
  /// Writable memory; copied first when another Tensor shares it.
  void* mutable_data();
  /// All elements. @throws UsageError when T is not the stored type.
  template <class T>
  std::span<const T> as() const {
    require(DtypeOf<T>::value);
    return {static_cast<const T*>(data()), static_cast<std::size_t>(size())};
  }
  template <class T>
  std::span<T> mutable_as() {
    require(DtypeOf<T>::value);
    return {static_cast<T*>(mutable_data()), static_cast<std::size_t>(size())};
  }

 private:
  void require(Dtype wanted) const;
  Dtype dtype_ = Dtype::f32;
  std::vector<std::int64_t> shape_;
  std::shared_ptr<void> data_;
};

/// Part of a parameter: a range per axis, and (for kernels) the offsets that remain. Empty = the whole parameter.
struct ParameterView {
  struct Slice {
    std::int64_t begin = 0;
    std::int64_t end = 0;  ///< one past the last
    bool operator==(const Slice&) const = default;
  };
  std::vector<Slice> slices;  ///< one per axis of the stored parameter, or empty
  bool empty() const { return slices.empty(); }
  bool operator==(const ParameterView&) const = default;
};

/// A node's reference to a parameter: its name in the store, and optionally a part of it.
struct ParameterRef {
  std::string name;
  ParameterView view;
  bool operator==(const ParameterRef&) const = default;
};

/// The store. Iteration is in order of names.
class RAREFY_API Weights {
 public:
  bool contains(std::string_view name) const;
  /// @throws UsageError naming the nearest candidates when absent.
  const Tensor& at(std::string_view name) const;
  Tensor& mutable_at(std::string_view name);
  void set(std::string name, Tensor tensor);
  void erase(std::string_view name);
  const std::map<std::string, Tensor, std::less<>>& all() const { return tensors_; }
  /// The referenced values, materialised: the tensor itself, or a copy of the view. Halves come as f32.
  /// @throws ShapeError when the view leaves it.
  Tensor resolve(const ParameterRef& ref) const;

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace rarefy
