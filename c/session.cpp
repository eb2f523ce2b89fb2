#include "rarefy/session.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "handles.h"

namespace rarefy::c {
namespace {

static_assert(RAREFY_F32 == static_cast<int>(Dtype::f32) && RAREFY_F64 == static_cast<int>(Dtype::f64) &&
              RAREFY_F16 == static_cast<int>(Dtype::f16) && RAREFY_BF16 == static_cast<int>(Dtype::bf16) &&
              RAREFY_I8 == static_cast<int>(Dtype::i8) && RAREFY_U8 == static_cast<int>(Dtype::u8) &&
              RAREFY_I32 == static_cast<int>(Dtype::i32) && RAREFY_I64 == static_cast<int>(Dtype::i64));

constexpr std::int64_t kMaxRows = std::numeric_limits<std::int32_t>::max();

Context make_context(const std::shared_ptr<const Plan>& plan, int threads, std::int64_t memory_limit) {
  ContextOptions options;
  options.threads = threads;
  options.memory_limit = memory_limit;
  return Context(plan, options);
}

/// Where input `name` is kept. @throws UsageError also when it takes something else.
std::size_t slot(rarefy_session& session, const char* name, bool sparse, const char* function) {
  const Graph& graph = session.plan->model().graph();
  const std::size_t index = input_index(graph, name);
  RAREFY_CHECK((input_node(graph, index).op == "input_sparse") == sparse, UsageError, "{}: input '{}' takes {}: {}",
               function, name, sparse ? "points" : "a sparse tensor",
               sparse ? "use rarefy_session_set_points or rarefy_session_set_rows" : "use rarefy_session_set_sparse");
  return index;
}

void give(rarefy_session& session, std::size_t index, Input input) {
  session.inputs[index].second = input;
  session.given[index] = 1;
}

/// A caller's tensor as a view. @throws UsageError naming what does not fit.
TensorView view_of(const rarefy_tensor& t, Dtype dtype, const char* function, const char* argument) {
  RAREFY_CHECK(t.dtype == static_cast<int>(dtype), UsageError, "{}: {} must have dtype {} ({}), found {}", function,
               argument, static_cast<int>(dtype), name(dtype), t.dtype);
  const std::int64_t rows = t.shape[0], cols = t.shape[1], item = size_of(dtype);
  RAREFY_CHECK(rows >= 0 && rows <= kMaxRows && cols >= 0 && cols <= kMaxRows, UsageError,
               "{}: {} has the shape [{}, {}], expected 0 to {} rows and columns", function, argument, rows, cols,
               kMaxRows);
  RAREFY_CHECK(rows == 0 || cols == 0 || t.data != nullptr, UsageError, "{}: {} has {} rows, but its data are null",
               function, argument, rows);
  RAREFY_CHECK(reinterpret_cast<std::uintptr_t>(t.data) % static_cast<std::uintptr_t>(item) == 0, UsageError,
               "{}: the data of {} are not aligned to {} bytes", function, argument, item);
  RAREFY_CHECK(cols <= 1 || t.strides[1] == item, UsageError, "{}: the columns of {} are {} bytes apart, expected {}",
               function, argument, t.strides[1], item);
  const std::int64_t stride = rows > 1 ? t.strides[0] : cols * item;
  RAREFY_CHECK(stride % item == 0 && stride >= cols * item, UsageError,
               "{}: the rows of {} are {} bytes apart, expected a multiple of {} and at least {}", function, argument,
               stride, item, cols * item);
  RAREFY_CHECK(stride == 0 || rows <= std::numeric_limits<std::int64_t>::max() / stride, UsageError,
               "{}: {} has {} rows {} bytes apart, more than there can be", function, argument, rows, stride);
  return {t.data, dtype, Device::cpu, rows, cols, stride / item};
}

PointView points_of(const rarefy_points& p, const char* function) {
  RAREFY_CHECK(p.count >= 0 && p.count <= kMaxRows, UsageError, "{}: {} points, expected 0 to {}", function, p.count,
               kMaxRows);
  RAREFY_CHECK(p.count == 0 || p.data != nullptr, UsageError, "{}: {} points, but their data are null", function,
               p.count);
  RAREFY_CHECK(p.stride_bytes >= 0 && p.stride_bytes <= kMaxRows, UsageError, "{}: points are {} bytes apart", function,
               p.stride_bytes);
  PointView view;
  view.data = p.data;
  view.count = p.count;
  view.stride_bytes = p.stride_bytes;
  view.fields = {p.x, p.y, p.z, p.intensity < 0 ? -1 : p.intensity};
  for (const std::int64_t field : {p.x, p.y, p.z, view.fields.intensity})
    RAREFY_CHECK(field <= p.stride_bytes, UsageError, "{}: a field at byte {} does not fit into points of {} bytes",
                 function, field, p.stride_bytes);
  return view;
}

/// Three or four columns are points of that layout, which may carry batches.
Input rows_of(const TensorView& view) {
  if (view.cols != 3 && view.cols != 4) return view;
  PointView points;
  points.data = view.data;
  points.count = view.rows;
  points.stride_bytes = view.row_stride * 4;
  points.fields = {0, 4, 8, view.cols == 4 ? 12 : -1};
  return points;
}

void run(rarefy_session& session) {
  session.outputs = nullptr;
  const bool complete = std::all_of(session.given.begin(), session.given.end(), [](char g) { return g != 0; });
  const std::vector<char> given = complete ? std::vector<char>() : session.given;
  std::fill(session.given.begin(), session.given.end(), static_cast<char>(0));
  if (complete) {
    session.outputs = &session.context.run(session.inputs);
    return;
  }
  Inputs some;  // the context says what is missing
  for (std::size_t i = 0; i < given.size(); ++i)
    if (given[i] != 0) some.push_back(session.inputs[i]);
  session.outputs = &session.context.run(some);
}

const Outputs& results(const rarefy_session& session, const char* function) {
  RAREFY_CHECK(session.outputs != nullptr, UsageError,
               "{}: there are no results: no run has succeeded since the session was opened or a run failed", function);
  return *session.outputs;
}

void fill(const TensorView& view, rarefy_tensor* out) {
  const std::int64_t item = size_of(view.dtype);
  *out = {view.data, static_cast<rarefy_dtype>(view.dtype), {view.rows, view.cols}, {view.row_stride * item, item}};
}

void label(rarefy_session& session, const rarefy_points& points, std::uint8_t* labels) {
  const char* function = "rarefy_session_label";
  RAREFY_CHECK(session.inputs.size() == 1, UsageError,
               "{}: the model has {} inputs, not one: set them by name and call rarefy_session_run", function,
               session.inputs.size());
  const PointView view = points_of(points, function);
  give(session, slot(session, session.inputs[0].first.c_str(), false, function), view);
  run(session);
  const auto found = (*session.outputs)["labels"].as<std::uint8_t>();
  RAREFY_CHECK(static_cast<std::int64_t>(found.size()) == points.count, UsageError,
               "{}: output 'labels' has {} values for {} points: it is not one per point", function, found.size(),
               points.count);
  if (!found.empty()) std::memcpy(labels, found.data(), found.size());
}

}  // namespace
}  // namespace rarefy::c

namespace rc = rarefy::c;

extern "C" {

rarefy_status rarefy_session_open(const rarefy_model* model, int32_t threads, rarefy_session** session) {
  return rarefy_session_open_on(model, threads, "cpu", nullptr, session);
}

rarefy_status rarefy_session_open_on(const rarefy_model* model, int32_t threads, const char* device,
                                     const char* precision, rarefy_session** session) {
  return rc::guarded([&] {
    rc::require(session, "rarefy_session_open", "session");
    *session = nullptr;
    rc::require(model, "rarefy_session_open", "model");
    rc::require(device, "rarefy_session_open_on", "device");
    const std::string_view where = device;
    RAREFY_CHECK(where == "cpu" || where == "cuda", rarefy::UsageError, "device is '{}', expected 'cpu' or 'cuda'",
                 where);
    rarefy::PlanOptions options;
    if (where == "cuda") options.device = rarefy::Device::cuda;
    if (precision != nullptr) options.precision = rarefy::precision_named(precision);
    const auto plan = rarefy::Plan::compile(model->model, options);
    const rarefy::Graph& graph = plan->model().graph();
    auto made = std::make_unique<rarefy_session>(
        rarefy_session{plan, threads, rc::make_context(plan, threads, 0), {}, {}, nullptr});
    for (std::size_t i = 0; i < graph.inputs().size(); ++i)
      made->inputs.emplace_back(rc::input_node(graph, i).name, rarefy::PointView{});
    made->given.assign(made->inputs.size(), 0);
    *session = made.release();
  });
}

void rarefy_session_free(rarefy_session* session) { delete session; }

rarefy_status rarefy_session_set_memory_limit(rarefy_session* session, int64_t bytes) {
  return rc::guarded([&] {
    rc::require(session, "rarefy_session_set_memory_limit", "session");
    rarefy::Context fresh = rc::make_context(session->plan, session->threads, bytes);
    session->outputs = nullptr;
    session->context = std::move(fresh);
  });
}

rarefy_status rarefy_session_set_points(rarefy_session* session, const char* name, const rarefy_points* points) {
  return rc::guarded([&] {
    const char* function = "rarefy_session_set_points";
    rc::require(session, function, "session");
    rc::require(name, function, "name");
    rc::require(points, function, "points");
    const std::size_t index = rc::slot(*session, name, false, function);
    rc::give(*session, index, rc::points_of(*points, function));
  });
}

rarefy_status rarefy_session_set_rows(rarefy_session* session, const char* name, const rarefy_tensor* rows) {
  return rc::guarded([&] {
    const char* function = "rarefy_session_set_rows";
    rc::require(session, function, "session");
    rc::require(name, function, "name");
    rc::require(rows, function, "rows");
    const std::size_t index = rc::slot(*session, name, false, function);
    const rarefy::TensorView view = rc::view_of(*rows, rarefy::Dtype::f32, function, "rows");
    const std::int64_t channels = rc::input_node(session->plan->model().graph(), index).integer("channels");
    RAREFY_CHECK(view.cols == channels || (view.cols == 3 && channels == 4), rarefy::UsageError,
                 "{}: input '{}' takes {} columns, found {}", function, name, channels, view.cols);
    rc::give(*session, index, rc::rows_of(view));
  });
}

rarefy_status rarefy_session_set_batches(rarefy_session* session, const char* name, const int64_t* begin,
                                         int64_t batches) {
  return rc::guarded([&] {
    const char* function = "rarefy_session_set_batches";
    rc::require(session, function, "session");
    rc::require(name, function, "name");
    rc::require(begin, function, "begin");
    const std::size_t index = rc::slot(*session, name, false, function);
    RAREFY_CHECK(session->given[index] != 0, rarefy::UsageError, "{}: set the points of input '{}' first", function,
                 name);
    auto* points = std::get_if<rarefy::PointView>(&session->inputs[index].second);
    RAREFY_CHECK(points != nullptr, rarefy::UnsupportedError,
                 "{}: input '{}' has neither 3 nor 4 columns: one scan per run", function, name);
    RAREFY_CHECK(batches >= 1 && batches <= 65536, rarefy::UsageError, "{}: {} batches, expected 1 to 65536", function,
                 batches);
    for (std::int64_t b = 0; b < batches; ++b)
      RAREFY_CHECK(begin[b] >= 0 && begin[b] <= begin[b + 1] && begin[b + 1] <= points->count, rarefy::UsageError,
                   "{}: batch {} has rows {} to {} of {}", function, b, begin[b], begin[b + 1], points->count);
    points->sample_begin = {begin, static_cast<std::size_t>(batches) + 1};
  });
}

rarefy_status rarefy_session_set_sparse(rarefy_session* session, const char* name, const rarefy_tensor* coords,
                                        const rarefy_tensor* features, int64_t batches) {
  return rc::guarded([&] {
    const char* function = "rarefy_session_set_sparse";
    rc::require(session, function, "session");
    rc::require(name, function, "name");
    rc::require(coords, function, "coords");
    rc::require(features, function, "features");
    const std::size_t index = rc::slot(*session, name, true, function);
    const rarefy::Graph& graph = session->plan->model().graph();
    const int dims = graph.type(rc::input_node(graph, index).outputs[0]).dims;
    const rarefy::TensorView rows = rc::view_of(*features, rarefy::Dtype::f32, function, "features");
    const rarefy::TensorView sites = rc::view_of(*coords, rarefy::Dtype::i32, function, "coords");
    RAREFY_CHECK(sites.cols == 1 + dims && sites.rows == rows.rows, rarefy::UsageError,
                 "{}: coords must be [{}, {}] (batch and {} axes per row of features), found [{}, {}]", function,
                 rows.rows, 1 + dims, dims, sites.rows, sites.cols);
    RAREFY_CHECK(sites.row_stride == sites.cols, rarefy::UsageError,
                 "{}: the rows of coords are {} bytes apart, expected {}: they must be contiguous", function,
                 sites.row_stride * 4, sites.cols * 4);
    rc::give(*session, index, rarefy::SparseView{static_cast<const std::int32_t*>(sites.data), rows, batches});
  });
}

rarefy_status rarefy_session_run(rarefy_session* session) {
  return rc::guarded([&] {
    rc::require(session, "rarefy_session_run", "session");
    rc::run(*session);
  });
}

rarefy_status rarefy_session_output(const rarefy_session* session, const char* name, rarefy_tensor* output) {
  return rc::guarded([&] {
    const char* function = "rarefy_session_output";
    rc::require(session, function, "session");
    rc::require(name, function, "name");
    rc::require(output, function, "output");
    rc::fill(rc::results(*session, function)[name], output);
  });
}

rarefy_status rarefy_session_output_coords(const rarefy_session* session, const char* name, rarefy_tensor* coords) {
  return rc::guarded([&] {
    const char* function = "rarefy_session_output_coords";
    rc::require(session, function, "session");
    rc::require(name, function, "name");
    rc::require(coords, function, "coords");
    rc::fill(rc::results(*session, function).coords(name), coords);
  });
}

rarefy_status rarefy_session_statistics(const rarefy_session* session, rarefy_statistics* statistics) {
  return rc::guarded([&] {
    const char* function = "rarefy_session_statistics";
    rc::require(session, function, "session");
    rc::require(statistics, function, "statistics");
    (void)rc::results(*session, function);
    const rarefy::RunStatistics& s = session->context.statistics();
    *statistics = {s.total_ms, s.voxelize_ms, s.maps_ms,           s.network_ms,     s.macs,
                   s.points,   s.voxels,      s.points_not_finite, s.points_outside, session->context.memory_bytes()};
  });
}

rarefy_status rarefy_session_label(rarefy_session* session, const rarefy_points* points, uint8_t* labels) {
  return rc::guarded([&] {
    const char* function = "rarefy_session_label";
    rc::require(session, function, "session");
    rc::require(points, function, "points");
    if (points->count > 0) rc::require(labels, function, "labels");
    rc::label(*session, *points, labels);
  });
}

}  // extern "C"
