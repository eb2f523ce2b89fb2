#include "rarefy/weights.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "base/check.h"
#include "base/half.h"
#include "base/text.h"

namespace rarefy {

Tensor::Tensor(Dtype dtype, std::vector<std::int64_t> shape) : dtype_(dtype), shape_(std::move(shape)) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape_) {
    RAREFY_CHECK(extent >= 0, UsageError, "tensor extent {} is negative", extent);
    RAREFY_CHECK(extent == 0 || count <= std::numeric_limits<std::int64_t>::max() / 16 / extent, UsageError,
                 "tensor with an extent of {} has more elements than can be addressed", extent);
    count *= extent;
  }
  const auto size = static_cast<std::size_t>(count * size_of(dtype_));
  void* memory = std::aligned_alloc(64, (size / 64 + 1) * 64);
  if (memory == nullptr) throw std::bad_alloc();
  data_ = std::shared_ptr<void>(memory, std::free);
  std::memset(memory, 0, size);
}

std::int64_t Tensor::size() const {
  std::int64_t count = data_ == nullptr ? 0 : 1;
  for (const std::int64_t extent : shape_) count *= extent;
  return count;
}

void* Tensor::mutable_data() {
  if (data_ != nullptr && data_.use_count() > 1) {
    Tensor copy(dtype_, shape_);
    std::memcpy(copy.data_.get(), data_.get(), static_cast<std::size_t>(bytes()));
    data_ = std::move(copy.data_);
  }
  return data_.get();
}

void Tensor::require(Dtype wanted) const {
  RAREFY_CHECK(dtype_ == wanted, UsageError, "tensor holds {}, asked for as {}", name(dtype_), name(wanted));
}

namespace {
std::vector<std::string> names(const Weights& weights) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : weights.all()) result.push_back(name);
  return result;
}
}  // namespace

bool Weights::contains(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }

const Tensor& Weights::at(std::string_view name) const {
  const auto found = tensors_.find(name);
  RAREFY_CHECK(found != tensors_.end(), UsageError, "there is no parameter '{}'{}", name,
               did_you_mean(name, names(*this)));
  return found->second;
}

Tensor& Weights::mutable_at(std::string_view name) { return const_cast<Tensor&>(std::as_const(*this).at(name)); }

void Weights::set(std::string name, Tensor tensor) { tensors_[std::move(name)] = std::move(tensor); }

void Weights::erase(std::string_view name) {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) tensors_.erase(found);
}

namespace {

Tensor widened(const Tensor& tensor) {
  if (tensor.dtype() != Dtype::f16) return tensor;
  Tensor result(Dtype::f32, tensor.shape());
  const auto from = tensor.as<Half>();
  std::transform(from.begin(), from.end(), result.mutable_as<float>().begin(), [](Half h) { return widen(h); });
  return result;
}

Tensor part_of(const Tensor& stored, const ParameterRef& ref) {
  const auto& shape = stored.shape();
  const auto& slices = ref.view.slices;
  RAREFY_CHECK(slices.size() == shape.size(), ShapeError, "view of parameter '{}' has {} axes, the parameter {}",
               ref.name, slices.size(), shape.size());
  std::vector<std::int64_t> extents;
  for (std::size_t a = 0; a < shape.size(); ++a) {
    RAREFY_CHECK(slices[a].begin >= 0 && slices[a].begin <= slices[a].end && slices[a].end <= shape[a], ShapeError,
                 "view of parameter '{}': axis {} takes [{}, {}) of {}", ref.name, a, slices[a].begin, slices[a].end,
                 shape[a]);
    extents.push_back(slices[a].end - slices[a].begin);
  }
  Tensor result(stored.dtype(), extents);
  const auto item = static_cast<std::size_t>(size_of(stored.dtype()));
  const auto* from = static_cast<const std::byte*>(stored.data());
  auto* to = static_cast<std::byte*>(result.mutable_data());
  for (std::int64_t i = 0; i < result.size(); ++i) {
    std::int64_t rest = i, offset = 0, stride = 1;
    for (std::size_t a = shape.size(); a-- > 0;) {
      offset += (slices[a].begin + rest % extents[a]) * stride;
      rest /= extents[a];
      stride *= shape[a];
    }
    std::memcpy(to + static_cast<std::size_t>(i) * item, from + static_cast<std::size_t>(offset) * item, item);
  }
  return result;
}

}  // namespace

Tensor Weights::resolve(const ParameterRef& ref) const {
  const Tensor& stored = at(ref.name);
  return widened(ref.view.empty() ? stored : part_of(stored, ref));
}

}  // namespace rarefy
