#include "rarefy/session.h"

#include <unistd.h>

#include <memory>
#include <mutex>

#include "base/check.h"
#include "bindings.h"

namespace rarefy::python {
namespace {

/// What the arrays of one run hold on to. Empty as long as the results lie in the session's own memory.
struct Lease {
  std::shared_ptr<void> memory;
};

/// What the base of each array is.
struct ArrayOwner {
  std::shared_ptr<Lease> lease;
  py::object inputs;  ///< a result may be an input
};

py::object owner_object(std::shared_ptr<Lease> lease, py::object inputs) {
  auto* owner = new ArrayOwner{std::move(lease), std::move(inputs)};
  return py::capsule(owner, [](void* p) { delete static_cast<ArrayOwner*>(p); });
}

/// Where the samples begin; none given: one sample.
std::span<const std::int64_t> samples_of(const std::string& name, const py::object& given) {
  if (given.is_none()) return {};
  const auto begin = given.cast<py::array>();
  RAREFY_CHECK(begin.dtype().equal(numpy_dtype(Dtype::i64)) && begin.ndim() == 1 && begin.strides(0) == 8, UsageError,
               "input '{}': sample_begin must be a contiguous vector of int64", name);
  return {static_cast<const std::int64_t*>(begin.data()), static_cast<std::size_t>(begin.shape(0))};
}

/// One prepared input: ("points", array, stride_bytes, [x, y, z, intensity], sample_begin or None),
/// ("rows", array, sample_begin or None) or ("sparse", coords, features, batches).
Input input_of(const std::string& name, const py::tuple& given, std::int64_t coord_cols) {
  const std::string kind = given[0].cast<std::string>();
  const auto array = given[1].cast<py::array>();
  if (kind == "points") {
    PointView view;
    view.data = array.data();
    view.count = array.shape(0);
    view.stride_bytes = given[2].cast<std::int64_t>();
    const auto fields = given[3].cast<std::array<std::int64_t, 4>>();
    view.fields = {fields[0], fields[1], fields[2], fields[3]};
    view.sample_begin = samples_of(name, given[4]);
    return view;
  }
  const std::string what = "input '" + name + "'";
  if (kind == "rows") return RowsView{rows_of(array, Dtype::f32, what), samples_of(name, given[2])};
  const TensorView coords = rows_of(array, Dtype::i32, what + ": coords");
  const TensorView features = rows_of(given[2].cast<py::array>(), Dtype::f32, what + ": feats");
  RAREFY_CHECK(coords.rows == features.rows, UsageError, "{}: {} coordinates for {} rows of features", what,
               coords.rows, features.rows);
  RAREFY_CHECK(coord_cols == 0 || coords.cols == coord_cols, UsageError,
               "{}: coords have {} columns, expected {} (batch and {} axes)", what, coords.cols, coord_cols,
               coord_cols - 1);
  RAREFY_CHECK(coords.rows <= 1 || coords.row_stride == coords.cols, UsageError,
               "{}: coords must be contiguous: copy them with numpy.ascontiguousarray", what);
  return SparseView{static_cast<const std::int32_t*>(coords.data), features, given[3].cast<std::int64_t>()};
}

SessionOptions options_of(int threads, std::int64_t memory_limit, const std::string& isa, bool fuse,
                          const std::string& tuning, const std::string& device, const std::string& precision) {
  RAREFY_CHECK(device == "cpu" || device == "cuda", UsageError, "device is '{}', expected 'cpu' or 'cuda'", device);
  SessionOptions options;
  if (device == "cuda") options.plan.device = Device::cuda;
  if (!precision.empty()) options.plan.precision = precision_named(precision);
  options.threads = threads;
  options.memory_limit = memory_limit;
  options.plan.isa = isa;
  options.plan.fuse = fuse;
  if (!tuning.empty()) options.plan.tuning = std::make_shared<Tuning>(Tuning::load(tuning));
  return options;
}

/// Session with the rules of Python: arrays may be kept, threads may share it, a fork may happen.
class PySession {
 public:
  PySession(const Model& model, int threads, std::int64_t memory_limit, const std::string& isa, bool fuse,
            const std::string& tuning, const std::string& device, const std::string& precision)
      : session_(
            std::make_unique<Session>(model, options_of(threads, memory_limit, isa, fuse, tuning, device, precision))),
        threads_(threads),
        process_(getpid()) {}

  PySession(const PySession&) = delete;
  PySession& operator=(const PySession&) = delete;
  ~PySession() {
    leave_results();
    if (forked()) (void)session_.release();  // threads that stayed in the parent cannot be ended here
  }

  /// Results by name as (array, coords or None).
  py::dict run(const py::dict& given, bool strict, std::optional<double> deadline_ms) {
    RAREFY_CHECK(!forked(), UsageError,
                 "this session was opened before a fork, and its {} threads stayed behind: open one in each process",
                 threads_);
    Inputs inputs;
    for (const auto& [key, value] : given) {
      const std::string name = key.cast<std::string>();
      inputs.emplace_back(name, input_of(name, value.cast<py::tuple>(), coord_cols(name)));
    }
    RunOptions options;
    options.strict = strict;
    if (deadline_ms)
      options.deadline =
          std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                                 std::chrono::duration<double, std::milli>(*deadline_ms));
    std::vector<Outputs::Entry> entries;
    const std::shared_ptr<Lease> lease = run_unlocked(inputs, options, entries);
    return results(entries, owner_object(lease, given));
  }

  py::dict profile() {
    const std::lock_guard lock(mutex_);
    const RunStatistics& s = session_->statistics();
    py::list steps;
    for (const StepProfile& p : session_->profile())
      steps.append(py::dict(py::arg("name") = p.name, py::arg("op") = p.op, py::arg("kind") = p.kind,
                            py::arg("variant") = p.variant, py::arg("dataflow") = p.dataflow, py::arg("ms") = p.ms,
                            py::arg("macs") = p.macs, py::arg("rows") = p.rows, py::arg("pairs") = p.pairs,
                            py::arg("note") = p.note));
    return py::dict(py::arg("total_ms") = s.total_ms, py::arg("voxelize_ms") = s.voxelize_ms,
                    py::arg("maps_ms") = s.maps_ms, py::arg("network_ms") = s.network_ms, py::arg("macs") = s.macs,
                    py::arg("points") = s.points, py::arg("voxels") = s.voxels,
                    py::arg("points_not_finite") = s.points_not_finite, py::arg("points_outside") = s.points_outside,
                    py::arg("intensity_missing") = s.intensity_missing,
                    py::arg("memory_bytes") = session_->context().memory_bytes(), py::arg("steps") = steps);
  }

  std::string plan() const { return session_->plan().to_text(); }
  int threads() const { return threads_; }

 private:
  bool forked() const { return threads_ > 1 && getpid() != process_; }

  /// How many columns the coordinates of input `name` have; 0 where it is no sparse input (the run says so).
  std::int64_t coord_cols(const std::string& name) const {
    const Graph& graph = session_->plan().model().graph();
    for (const std::int32_t n : graph.inputs()) {
      const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
      if (node.name == name && node.op == "input_sparse") return 1 + graph.type(node.outputs[0]).dims;
    }
    return 0;
  }

  /// Results that somebody still holds keep their memory; the session takes fresh memory instead.
  void leave_results() {
    if (const std::shared_ptr<Lease> held = last_.lock()) held->memory = session_->context().release_outputs();
    last_.reset();
  }

  /// Without the GIL.
  std::shared_ptr<Lease> run_unlocked(const Inputs& inputs, const RunOptions& options,
                                      std::vector<Outputs::Entry>& entries) {
    const py::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    leave_results();
    auto lease = std::make_shared<Lease>();
    entries = session_->run(inputs, options).all();
    last_ = lease;
    return lease;
  }

  static py::dict results(const std::vector<Outputs::Entry>& entries, const py::object& owner) {
    py::dict dict;
    for (const Outputs::Entry& entry : entries) {
      py::object coords = py::none();
      if (entry.coords != nullptr) {
        auto* data = const_cast<std::int32_t*>(entry.coords->data());
        coords =
            array_over({data, Dtype::i32, Device::cpu, entry.view.rows, entry.coord_cols, entry.coord_cols}, owner);
      }
      dict[py::str(entry.name)] = py::make_tuple(array_over(entry.view, owner), coords);
    }
    return dict;
  }

  std::unique_ptr<Session> session_;
  int threads_;
  pid_t process_;
  std::mutex mutex_;
  std::weak_ptr<Lease> last_;
};

}  // namespace

void bind_session(py::module_& m) {
  py::class_<PySession>(m, "Session")
      .def(py::init<const Model&, int, std::int64_t, const std::string&, bool, const std::string&, const std::string&,
                    const std::string&>(),
           py::arg("model"), py::arg("threads") = 1, py::arg("memory_limit") = 0, py::arg("isa") = "",
           py::arg("fuse") = true, py::arg("tuning") = "", py::arg("device") = "cpu", py::arg("precision") = "",
           py::call_guard<py::gil_scoped_release>())
      .def("run", &PySession::run, py::arg("inputs"), py::arg("strict") = false, py::arg("deadline_ms") = py::none(),
           "Runs prepared inputs; results by name as (array, coords or None).")
      .def("profile", &PySession::profile, "Times and counts of the last run, per step and in all.")
      .def("plan", &PySession::plan, "One line per step.")
      .def_property_readonly("threads", &PySession::threads, "Threads that a run uses.");
}

}  // namespace rarefy::python
