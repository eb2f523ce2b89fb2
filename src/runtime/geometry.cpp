#include <cstring>
#include <numeric>

#include "base/check.h"
#include "graph/geometry_part.h"
#include "runtime/op.h"

namespace rarefy::runtime {
namespace {

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

/// One float at any address: callers' layouts need not be aligned.
float load(const std::byte* p) {
  float v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

bool is_matrix_of_floats(const PointView& points, std::int64_t channels) {
  const PointFields& f = points.fields;
  return f.x == 0 && f.y == 4 && f.z == 8 && (channels == 3 || f.intensity == 12) && points.stride_bytes % 4 == 0 &&
         points.stride_bytes >= channels * 4 && reinterpret_cast<std::uintptr_t>(points.data) % alignof(float) == 0;
}

float missing_intensity(const Pipeline* pipeline) {
  if (pipeline != nullptr)
    for (const FeatureSpec& f : pipeline->features)
      if (f.name == "intensity") return static_cast<float>(f.missing);
  return 0.0f;
}

void check_points(const Node& node, const PointView& points, std::int64_t channels) {
  RAREFY_CHECK(points.count >= 0 && points.count <= INT32_MAX, UsageError, "input '{}': {} points, expected 0 to {}",
               node.name, points.count, INT32_MAX);
  RAREFY_CHECK(points.count == 0 || points.data != nullptr, UsageError,
               "input '{}': {} points, but the pointer is null", node.name, points.count);
  RAREFY_CHECK(
      channels == 3 || channels == 4, UsageError,
      "input '{}': the graph wants {} columns per point; give a TensorView, a PointView has x, y, z and intensity",
      node.name, channels);
  const PointFields& f = points.fields;
  for (const std::int64_t offset : {f.x, f.y, f.z, f.intensity < 0 ? 0 : f.intensity})
    RAREFY_CHECK(offset >= 0 && offset + 4 <= points.stride_bytes, UsageError,
                 "input '{}': a field at byte {} does not fit into points of {} bytes", node.name, offset,
                 points.stride_bytes);
}

TensorView bind_points(const Node& node, const PointView& points, std::int64_t channels, const Pipeline* pipeline,
                       AlignedBuffer& buffer, bool* intensity_missing) {
  check_points(node, points, channels);
  if (channels == 4 && points.fields.intensity < 0) *intensity_missing = true;
  if (is_matrix_of_floats(points, channels))
    return {const_cast<void*>(points.data), Dtype::f32, Device::cpu, points.count, channels, points.stride_bytes / 4};
  float* rows = buffer.reserve_for<float>(points.count * channels);
  const float missing = missing_intensity(pipeline);
  const auto* from = static_cast<const std::byte*>(points.data);
  const PointFields& f = points.fields;
  for (std::int64_t p = 0; p < points.count; ++p, from += points.stride_bytes) {
    float* to = rows + p * channels;
    to[0] = load(from + f.x);
    to[1] = load(from + f.y);
    to[2] = load(from + f.z);
    if (channels == 4) to[3] = f.intensity < 0 ? missing : load(from + f.intensity);
  }
  return {rows, Dtype::f32, Device::cpu, points.count, channels, channels};
}

void check_matrix(const Node& node, const TensorView& x, std::int64_t channels) {
  RAREFY_CHECK(x.dtype == Dtype::f32 && x.device == Device::cpu, UsageError,
               "input '{}': expected f32 in host memory, got {}", node.name, name(x.dtype));
  RAREFY_CHECK(x.cols == channels, UsageError, "input '{}': the graph wants {} columns, got {}", node.name, channels,
               x.cols);
  RAREFY_CHECK(x.rows >= 0 && x.rows <= INT32_MAX && x.row_stride >= x.cols, UsageError,
               "input '{}': {} rows {} elements apart make no matrix of {} columns", node.name, x.rows, x.row_stride,
               x.cols);
  RAREFY_CHECK(x.rows == 0 || x.data != nullptr, UsageError, "input '{}': {} rows, but the pointer is null", node.name,
               x.rows);
}

TensorView bind_sparse(const Graph& graph, const Node& node, const SparseView& input, SpaceValue& space,
                       AlignedBuffer& buffer, std::vector<std::int32_t>& order) {
  const ValueType& type = graph.type(node.outputs[0]);
  const std::int64_t channels = node.integer("channels");
  check_matrix(node, input.features, channels);
  const std::int64_t rows = input.features.rows;
  RAREFY_CHECK(rows == 0 || input.coords != nullptr, UsageError, "input '{}': {} rows, but no coordinates", node.name,
               rows);
  Extent stride;
  stride.fill(1);
  for (std::size_t a = 0; a < type.stride.size(); ++a) stride[a] = static_cast<std::int32_t>(type.stride[a]);
  try {
    make_coords({input.coords, static_cast<std::size_t>(rows * (1 + type.dims))}, type.dims, stride, input.batches,
                space.own, &order);
  } catch (const InputError& error) {
    fail<InputError>("input '{}': {}", node.name, error.what());
  }
  space.coords = &space.own;
  space.rows = rows;
  space.sample_begin.assign(space.own.batch_begin.begin(), space.own.batch_begin.end());
  float* to = buffer.reserve_for<float>(rows * channels);
  const auto from = input.features.matrix<const float>();
  for (std::int64_t r = 0; r < rows; ++r)
    std::memcpy(to + r * channels, from.row(order[static_cast<std::size_t>(r)]),
                static_cast<std::size_t>(channels) * sizeof(float));
  return {to, Dtype::f32, Device::cpu, rows, channels, channels};
}

}  // namespace

void bind_input(const Graph& graph, const Node& node, const Input& input, const Pipeline* pipeline,
                GeometryValues& values, AlignedBuffer& buffer, std::vector<std::int32_t>& order,
                std::vector<TensorView>& features, bool* intensity_missing) {
  SpaceValue& space = *values.spaces[at(node.outputs[0])];
  TensorView& view = features[at(node.outputs[1])];
  if (node.op == "input_sparse") {
    const auto* sparse = std::get_if<SparseView>(&input);
    RAREFY_CHECK(sparse != nullptr, UsageError,
                 "input '{}' is a sparse tensor: give a SparseView (coordinates and features)", node.name);
    view = bind_sparse(graph, node, *sparse, space, buffer, order);
    return;
  }
  const std::int64_t channels = node.integer("channels");
  RAREFY_CHECK(!std::holds_alternative<SparseView>(input), UsageError,
               "input '{}' takes points: give a PointView or a TensorView, not a SparseView", node.name);
  std::span<const std::int64_t> sample_begin;
  if (const auto* points = std::get_if<PointView>(&input)) {
    view = bind_points(node, *points, channels, pipeline, buffer, intensity_missing);
    sample_begin = points->sample_begin;
  } else {
    const auto* rows = std::get_if<RowsView>(&input);
    view = rows != nullptr ? rows->features : std::get<TensorView>(input);
    check_matrix(node, view, channels);
    if (rows != nullptr) sample_begin = rows->sample_begin;
  }
  space.rows = view.rows;
  space.coords = nullptr;
  if (sample_begin.empty()) {
    space.sample_begin.assign({0, view.rows});
    return;
  }
  RAREFY_CHECK(sample_begin.front() == 0 && sample_begin.back() == view.rows, UsageError,
               "input '{}': sample_begin runs from {} to {}, expected 0 to {}", node.name, sample_begin.front(),
               sample_begin.back(), view.rows);
  for (std::size_t s = 1; s < sample_begin.size(); ++s)
    RAREFY_CHECK(sample_begin[s] >= sample_begin[s - 1], UsageError,
                 "input '{}': sample_begin descends from {} to {} at sample {}", node.name, sample_begin[s - 1],
                 sample_begin[s], s);
  space.sample_begin.assign(sample_begin.begin(), sample_begin.end());
}

GeometryRunner::GeometryRunner(const Graph& graph) : graph_(graph) {
  const std::vector<bool> ahead = geometry_part(graph);
  for (std::size_t n = 0; n < graph.nodes().size(); ++n)
    if (ahead[n] && !graph.ops().at(graph.nodes()[n].op).is_input) nodes_.push_back(n);
}

void GeometryRunner::allocate(GeometryValues& values) const {
  const std::size_t count = graph_.values().size();
  values.spaces.resize(count);
  values.maps.resize(count);
  values.indices.resize(count);
  values.interpolations.resize(count);
  for (std::size_t v = 0; v < count; ++v) {
    const ValueKind kind = graph_.values()[v].type.kind;
    if (kind == ValueKind::space && !values.spaces[v]) values.spaces[v] = std::make_shared<SpaceValue>();
    if (kind == ValueKind::map && !values.maps[v]) values.maps[v] = std::make_shared<KernelMap>();
    if (kind == ValueKind::index && !values.indices[v]) values.indices[v] = std::make_shared<Voxels>();
    if (kind == ValueKind::interpolation && !values.interpolations[v])
      values.interpolations[v] = std::make_shared<Interpolation>();
  }
}

void GeometryRunner::run_node(std::size_t n, GeometryValues& values, const std::vector<TensorView>& features,
                              Executor& executor) const {
  const Node& node = graph_.nodes()[n];
  std::string_view variant, dataflow;
  RunArgs args;
  args.graph = &graph_;
  args.node = &node;
  args.geometry = &values;
  args.features = &features;
  args.executor = &executor;
  args.variant = &variant;
  args.dataflow = &dataflow;
  runtime_op(node.op).run(args);
}

void GeometryRunner::run(GeometryValues& values, const std::vector<TensorView>& features, Executor& executor) const {
  for (const std::size_t n : nodes_) run_node(n, values, features, executor);
}

}  // namespace rarefy::runtime
