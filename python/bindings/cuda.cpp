// rarefy.torch on a GPU: sites, kernel maps and convolutions on raw device addresses and the caller's stream. Neither
// torch nor a CUDA compiler is needed to build this. The caller holds the memory until the stream has passed.
//
// Sites and maps are made anew for every scan, and giving device memory back stops the device: what Python drops goes
// into a pool of its stream and is made again from there. Queued work is safe: whatever is made from the pool is queued
// on the same stream, behind it.
#include "bindings.h"

#ifdef RAREFY_WITH_CUDA
#include <algorithm>
#include <map>
#include <mutex>

#include "base/check.h"
#include "kernels/cuda/conv.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernel_map.h"
#include "kernels/cuda/sites.h"

namespace rarefy::python {
namespace {

namespace cuda = rarefy::cuda;
using Address = std::uintptr_t;
using Numbers = std::vector<std::int64_t>;

template <class T>
T* pointer(Address address) {
  return reinterpret_cast<T*>(address);  // NOLINT
}

/// What is kept per device and stream: objects to make again, working memory.
struct Pool {
  int device = 0;
  cuda::Stream stream = nullptr;
  std::mutex mutex;  ///< of everything below
  std::vector<std::unique_ptr<cuda::Sites>> sites;
  std::vector<std::unique_ptr<cuda::DeviceMap>> maps;
  cuda::DeviceBuffer workspace;
  cuda::DeviceWeights weights;  ///< packed for one convolution, where the caller keeps none
  cuda::PinnedBuffer counts;
};

/// Lives as long as the process: objects of Python may outlast any other owner.
struct Pools {
  std::mutex mutex;
  std::map<std::pair<int, Address>, std::unique_ptr<Pool>> by_stream;
};
Pools& pools() {
  static auto* made = new Pools;  // NOLINT: the driver may be gone when destructors run
  return *made;
}

/// Makes `device` current for this thread. The caller's CUDA runtime has a current device of its own.
void enter(int device) {
  thread_local int current = -1;
  if (current == device) return;
  cuda::use_device(device);
  current = device;
}

Pool& pool_of(int device, Address stream) {
  enter(device);
  Pools& all = pools();
  const std::lock_guard lock(all.mutex);
  std::unique_ptr<Pool>& pool = all.by_stream[{device, stream}];
  if (!pool) {
    pool = std::make_unique<Pool>();
    pool->device = device;
    pool->stream = pointer<CUstream_st>(stream);
  }
  return *pool;
}

template <class T>
std::vector<std::unique_ptr<T>>& free_list(Pool& pool) {
  if constexpr (std::is_same_v<T, cuda::Sites>)
    return pool.sites;
  else
    return pool.maps;
}
std::int64_t room(const cuda::Sites& sites) { return sites.keys.capacity(); }
std::int64_t room(const cuda::DeviceMap& map) { return map.in_row.capacity(); }

/// One with room for `bytes`, the smallest such; else the largest there is; else a new one. Goes back by itself.
template <class T>
std::shared_ptr<T> take(Pool& pool, std::int64_t bytes) {
  std::unique_ptr<T> found;
  {
    const std::lock_guard lock(pool.mutex);
    auto& list = free_list<T>(pool);
    auto best = list.end();
    for (auto i = list.begin(); i != list.end(); ++i) {
      if (best == list.end()) {
        best = i;
        continue;
      }
      const std::int64_t a = room(**i), b = room(**best);
      if (a >= bytes ? b < bytes || a < b : b < bytes && a > b) best = i;
    }
    if (best != list.end()) {
      found = std::move(*best);
      list.erase(best);
    }
  }
  if (!found) found = std::make_unique<T>();
  return {found.release(), [&pool](T* object) {
            const std::lock_guard lock(pool.mutex);
            free_list<T>(pool).emplace_back(object);
          }};
}

/// What Python holds: the object and the stream that it belongs to.
struct HeldSites {
  std::shared_ptr<cuda::Sites> sites;
  Pool* pool = nullptr;
};
struct HeldMap {
  std::shared_ptr<cuda::DeviceMap> map;
  Pool* pool = nullptr;
};

/// On another stream than its own an object is used only once its own has been passed; and it could go back to its pool
/// while that other stream still reads it, so it must not.
void require_stream(const Pool& own, const Pool& now) {
  RAREFY_CHECK(&own == &now, UsageError,
               "sites and kernel maps on a GPU belong to the stream that was current when they were made: use them "
               "there, or make them again");
}

Extent extent_of(const Numbers& numbers, const char* what) {
  RAREFY_CHECK(!numbers.empty() && numbers.size() <= kMaxDims, UsageError, "{} has {} entries, expected 1 to {}", what,
               numbers.size(), kMaxDims);
  Extent extent{1, 1, 1, 1};
  for (std::size_t a = 0; a < numbers.size(); ++a) extent[a] = static_cast<std::int32_t>(numbers[a]);
  return extent;
}

HeldSites make(Address rows, std::int64_t count, int dims, const Numbers& stride, std::int64_t batches, Address order,
               int device, Address stream) {
  RAREFY_CHECK(count >= 0 && count <= INT32_MAX, UsageError, "{} sites, expected 0 to {}", count, INT32_MAX);
  const Extent extent = extent_of(stride, "stride");
  Pool& pool = pool_of(device, stream);
  HeldSites held{take<cuda::Sites>(pool, count * 8), &pool};
  cuda::make_sites(pointer<const std::int32_t>(rows), count, dims, extent, batches, pool.stream, *held.sites,
                   pointer<std::int32_t>(order));
  return held;
}

void read_rows(Pool& pool, cuda::Sites& sites) {
  const std::lock_guard lock(pool.mutex);
  cuda::Sites* all[] = {&sites};
  cuda::read_rows(all, pool.counts, pool.stream);
}

HeldSites coarser(const HeldSites& fine, const KernelShape& kernel, const Numbers& shape, Address stream) {
  Pool& pool = pool_of(fine.pool->device, stream);
  require_stream(*fine.pool, pool);
  KernelShape bounded = kernel;
  for (std::size_t a = 0; a < shape.size(); ++a) bounded.cells[a] = static_cast<std::int32_t>(shape[a]);
  HeldSites held{take<cuda::Sites>(pool, fine.sites->rows * 8), &pool};
  cuda::downsample(*fine.sites, bounded, pool.stream, *held.sites);
  read_rows(pool, *held.sites);
  return held;
}

HeldSites finer(const HeldSites& coarse, const KernelShape& kernel, Address stream) {
  Pool& pool = pool_of(coarse.pool->device, stream);
  require_stream(*coarse.pool, pool);
  HeldSites held{take<cuda::Sites>(pool, coarse.sites->rows * 8 * kernel.volume()), &pool};
  cuda::generate(*coarse.sites, kernel, pool.stream, *held.sites);
  read_rows(pool, *held.sites);
  return held;
}

void write_keys(const HeldSites& held, Address to, Address stream) {
  Pool& pool = pool_of(held.pool->device, stream);
  require_stream(*held.pool, pool);
  cuda::copy_on_device(pointer<void>(to), held.sites->keys.data(), held.sites->rows * 8, pool.stream);
}

HeldMap build(const HeldSites& in, const HeldSites& out, const KernelShape& kernel, Address stream) {
  Pool& pool = pool_of(in.pool->device, stream);
  require_stream(*in.pool, pool);
  require_stream(*out.pool, pool);
  HeldMap held{take<cuda::DeviceMap>(pool, out.sites->rows * kernel.volume() * 4), &pool};
  cuda::build_kernel_map(*in.sites, *out.sites, kernel, pool.stream, *held.map);
  cuda::sort_map(*held.map, cuda::default_splits(held.map->out_rows, held.map->volume), pool.stream);
  return held;
}

HeldMap transpose(const HeldMap& map, Address stream) {
  Pool& pool = pool_of(map.pool->device, stream);
  require_stream(*map.pool, pool);
  HeldMap held{take<cuda::DeviceMap>(pool, map.map->in_rows * map.map->volume * 4), &pool};
  cuda::transpose_map(*map.map, pool.stream, *held.map);
  cuda::sort_map(*held.map, cuda::default_splits(held.map->out_rows, held.map->volume), pool.stream);
  return held;
}

/// Waits.
std::int64_t pairs(const HeldMap& held) {
  std::int64_t count = 0;
  enter(held.pool->device);
  cuda::copy_to_host(&count, held.map->pairs.data(), sizeof count, held.pool->stream);
  cuda::synchronize(held.pool->stream);
  return count;
}

/// Address, rows, columns and row stride in elements.
using RowsArgument = std::tuple<Address, std::int64_t, std::int64_t, std::int64_t>;
cuda::ConstRows read(const RowsArgument& a) {
  return {pointer<const void>(std::get<0>(a)), std::get<1>(a), std::get<2>(a), std::get<3>(a)};
}
cuda::Rows write(const RowsArgument& a) {
  return {pointer<void>(std::get<0>(a)), std::get<1>(a), std::get<2>(a), std::get<3>(a)};
}

/// Weights float32 [K, C_in, C_out] on the device; 0: those that `kept` already holds.
using WeightsArgument = std::tuple<Address, std::int64_t, std::int64_t, std::int64_t>;
const cuda::DeviceWeights& packed(const WeightsArgument& a, WeightOrder order, cuda::Arithmetic arithmetic, Pool& pool,
                                  cuda::DeviceWeights* kept) {
  cuda::DeviceWeights& to = kept != nullptr ? *kept : pool.weights;
  if (std::get<0>(a) != 0)
    cuda::pack_weights(pointer<const float>(std::get<0>(a)), std::get<1>(a), std::get<2>(a), std::get<3>(a), order,
                       arithmetic, pool.stream, to);
  return to;
}

void check_shapes(const WeightsArgument& weights, std::int64_t in, std::int64_t out) {
  RAREFY_CHECK(std::get<2>(weights) == in && std::get<3>(weights) == out, ShapeError,
               "weights of {} to {} channels, features of {} to {}", std::get<2>(weights), std::get<3>(weights), in,
               out);
}

void forward(int device, Address stream, cuda::Arithmetic arithmetic, const RowsArgument& x,
             const WeightsArgument& weights, cuda::DeviceWeights* kept, const HeldMap& map, Address bias,
             const RowsArgument& y) {
  Pool& pool = pool_of(device, stream);
  require_stream(*map.pool, pool);
  check_shapes(weights, std::get<2>(x), std::get<2>(y));
  RAREFY_CHECK(map.map->in_rows == std::get<1>(x) && map.map->out_rows == std::get<1>(y), ShapeError,
               "the map reads {} rows and writes {}, found {} and {}", map.map->in_rows, map.map->out_rows,
               std::get<1>(x), std::get<1>(y));
  const std::lock_guard lock(pool.mutex);
  const cuda::DeviceWeights& w = packed(weights, WeightOrder::forward, arithmetic, pool, kept);
  cuda::DeviceEpilogue epilogue;
  epilogue.bias = pointer<const float>(bias);
  const cuda::MapView view = map.map->by_mask();
  cuda::conv(read(x), w, &view, epilogue, cuda::Flow::automatic, pool.stream, pool.workspace, write(y));
}

/// Both gradients of one convolution; an address of 0 leaves its gradient out. `adjoint` is the transposed map; none:
/// the map is symmetric, its own transposed with flipped offsets.
void backward(int device, Address stream, cuda::Arithmetic arithmetic, const RowsArgument& x, const RowsArgument& g,
              const WeightsArgument& weights, const HeldMap& map, const HeldMap* adjoint, const RowsArgument& gx,
              Address gw) {
  Pool& pool = pool_of(device, stream);
  require_stream(*map.pool, pool);
  if (adjoint != nullptr) require_stream(*adjoint->pool, pool);
  check_shapes(weights, std::get<2>(x), std::get<2>(g));
  const std::lock_guard lock(pool.mutex);
  if (std::get<0>(gx) != 0) {
    const WeightOrder order = adjoint != nullptr ? WeightOrder::transposed : WeightOrder::transposed_flipped;
    const cuda::DeviceWeights& w = packed(weights, order, arithmetic, pool, nullptr);
    const cuda::MapView view = (adjoint != nullptr ? adjoint : &map)->map->by_mask();
    cuda::conv(read(g), w, &view, {}, cuda::Flow::automatic, pool.stream, pool.workspace, write(gx));
  }
  if (gw != 0) {
    const cuda::MapView view = map.map->plain();
    cuda::conv_weight_gradient(read(x), read(g), &view, arithmetic, false, pool.stream, pool.workspace,
                               pointer<float>(gw));
  }
}

/// Gives the memory of unused sites and maps back to the system. Waits for the device.
void release() {
  Pools& all = pools();
  const std::lock_guard lock(all.mutex);
  for (auto& [key, pool] : all.by_stream) {
    enter(pool->device);
    cuda::synchronize(pool->stream);
    const std::lock_guard inner(pool->mutex);
    pool->sites.clear();
    pool->maps.clear();
    pool->workspace = {};
    pool->weights = {};
  }
}

std::int64_t unused_bytes() {
  std::int64_t bytes = 0;
  Pools& all = pools();
  const std::lock_guard lock(all.mutex);
  for (auto& [key, pool] : all.by_stream) {
    const std::lock_guard inner(pool->mutex);
    bytes += pool->workspace.capacity() + pool->weights.data.capacity() + pool->weights.units.capacity();
    for (const auto& s : pool->sites) bytes += s->memory_bytes();
    for (const auto& m : pool->maps) bytes += m->memory_bytes();
  }
  return bytes;
}

py::list device_list() {
  py::list result;
  for (const cuda::DeviceInfo& d : cuda::devices()) {
    py::dict info;
    info["name"] = d.name;
    info["capability"] = py::make_tuple(d.major, d.minor);
    info["multiprocessors"] = d.multiprocessors;
    info["memory_bytes"] = d.memory_bytes;
    info["l2_bytes"] = d.l2_bytes;
    result.append(info);
  }
  return result;
}

void bind_objects(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  py::class_<HeldSites>(m, "Sites")
      .def_static("make", &make, py::arg("address"), py::arg("rows"), py::arg("dims"), py::arg("stride"),
                  py::arg("batches"), py::arg("order"), py::arg("device"), py::arg("stream"), NoGil(),
                  "Sites, sorted, of int32 rows (batch, x, y, ...) on the device. Waits for the device.")
      .def_property_readonly(
          "rows", [](const HeldSites& s) { return s.sites->rows; }, "N.")
      .def_property_readonly(
          "batches", [](const HeldSites& s) { return s.sites->batches; }, "Number of samples.")
      .def_property_readonly(
          "dims", [](const HeldSites& s) { return s.sites->dims; }, "D.")
      .def_property_readonly(
          "stride",
          [](const HeldSites& s) { return Numbers(s.sites->stride.begin(), s.sites->stride.begin() + s.sites->dims); },
          "Per axis.")
      .def("write_keys", &write_keys, py::arg("address"), py::arg("stream"),
           "Writes the packed keys, uint64 [N]: fields of `layout`, batch first.");
  py::class_<HeldMap>(m, "KernelMap")
      .def_property_readonly(
          "in_rows", [](const HeldMap& k) { return k.map->in_rows; }, "Rows that it reads.")
      .def_property_readonly(
          "out_rows", [](const HeldMap& k) { return k.map->out_rows; }, "Rows that it writes.")
      .def_property_readonly(
          "volume", [](const HeldMap& k) { return k.map->volume; }, "Number of offsets.")
      .def_property_readonly("pairs", &pairs, "Pairs (input row, output row, offset). Waits for the device.");
  py::class_<cuda::DeviceWeights, std::shared_ptr<cuda::DeviceWeights>>(m, "Weights")
      .def(py::init<>())
      .def_property_readonly(
          "bytes", [](const cuda::DeviceWeights& w) { return w.data.capacity(); }, "What they take on the device.");
  py::enum_<cuda::Arithmetic>(m, "Arithmetic", "What is stored and how it is multiplied.")
      .value("f16", cuda::Arithmetic::f16)
      .value("bf16", cuda::Arithmetic::bf16)
      .value("tf32", cuda::Arithmetic::tf32)
      .value("f32", cuda::Arithmetic::f32);
}

}  // namespace

void bind_cuda(py::module_& parent) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  py::module_ m = parent.def_submodule("cuda", "Kernels on a GPU, for rarefy.torch.");
  bind_objects(m);
  m.def("devices", &device_list, "Those that the kernels run on, each as a dict.");
  m.def(
      "layout",
      [](int dims) {
        const KeyLayout layout = key_layout(dims);
        const Extent origin{0, 0, 0, 0};
        return py::make_tuple(layout.axis_bits, pack_key(layout, 0, origin.data()));
      },
      py::arg("dims"), "Bits of an axis in a key, and the key of the origin.");
  m.def("downsample", &coarser, py::arg("fine"), py::arg("kernel"), py::arg("shape"), py::arg("stream"), NoGil(),
        "Sites of a strided convolution. Waits for the device.");
  m.def("generate", &finer, py::arg("coarse"), py::arg("kernel"), py::arg("stream"), NoGil(),
        "Sites that a transposed one creates. Waits for the device.");
  m.def("kernel_map", &build, py::arg("input"), py::arg("output"), py::arg("kernel"), py::arg("stream"),
        "Which sites meet under which offset.");
  m.def("transpose_map", &transpose, py::arg("map"), py::arg("stream"), "The same pairs, input and output exchanged.");
  m.def("conv", &forward, py::arg("device"), py::arg("stream"), py::arg("arithmetic"), py::arg("x"), py::arg("weights"),
        py::arg("kept"), py::arg("map"), py::arg("bias"), py::arg("y"),
        "y = sum of x W over the map's pairs, plus bias (0 = none). Weights at address 0 are those that `kept` holds.");
  m.def("conv_gradients", &backward, py::arg("device"), py::arg("stream"), py::arg("arithmetic"), py::arg("x"),
        py::arg("gradient"), py::arg("weights"), py::arg("map"), py::arg("adjoint"), py::arg("gx"), py::arg("gw"),
        "Gradients of the input and of the weights; an address of 0 leaves one out.");
  m.def("release", &release, NoGil(), "Gives memory that no sites or maps use back to the system. Waits.");
  m.def("unused_bytes", &unused_bytes, "What release() would give back.");
}

}  // namespace rarefy::python

#else

namespace rarefy::python {
void bind_cuda(py::module_& parent) { parent.attr("cuda") = py::none(); }
}  // namespace rarefy::python

#endif
