// rarefy run: executes any graph on arrays, so that every operator can be checked from outside.
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/model_source.h"
#include "common/profile_json.h"
#include "data/formats/npy_array.h"
#include "rarefy/session.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model, input, output;
  bool json = false, strict = false, profile = false;
  int threads = 0;
};

/// Arrays converted to what the runtime reads; must outlive the run.
struct Holder {
  std::vector<std::vector<float>> floats;
  std::vector<std::vector<std::int32_t>> integers;
};

/// The array as float32 rows. @throws InputError unless it has two axes
TensorView float_rows(const std::string& file, const std::string& name, const NpyArray& array, Holder& holder) {
  RAREFY_CHECK(array.shape().size() == 2, InputError, "{}: array '{}' is {}, expected two axes [rows, channels]", file,
               name, array.describe());
  holder.floats.push_back(array.to_floats());
  const std::int64_t rows = array.shape()[0], cols = array.shape()[1];
  return {holder.floats.back().data(), Dtype::f32, Device::cpu, rows, cols, cols};
}

SparseView sparse_input(const std::string& file, const std::string& name, const NpyArray& coords,
                        const NpyArray& features, int dims, Holder& holder) {
  RAREFY_CHECK(coords.shape().size() == 2 && coords.shape()[1] == dims + 1, InputError,
               "{}: array '{}.coords' is {}, expected int32 [N, {}] (batch first)", file, name, coords.describe(),
               dims + 1);
  std::vector<std::int32_t> values;
  for (const std::int64_t v : coords.to_integers()) {
    RAREFY_CHECK(v >= INT32_MIN && v <= INT32_MAX, InputError,
                 "{}: array '{}.coords' holds {}, which does not fit int32", file, name, v);
    values.push_back(static_cast<std::int32_t>(v));
  }
  holder.integers.push_back(std::move(values));
  SparseView view{holder.integers.back().data(), float_rows(file, name + ".features", features, holder)};
  RAREFY_CHECK(view.features.rows == coords.shape()[0], InputError, "{}: '{}.coords' has {} rows, '{}.features' has {}",
               file, name, coords.shape()[0], name, view.features.rows);
  return view;
}

Input make_input(const Graph& graph, const Node& node, const NpzFile& npz, const std::string& file, Holder& holder) {
  if (node.op == "input_sparse") {
    const NpyArray& coords = npz.at(node.name + ".coords");
    return sparse_input(file, node.name, coords, npz.at(node.name + ".features"),
                        static_cast<int>(node.integer("dims")), holder);
  }
  const NpyArray* points = npz.find(node.name + ".points");
  return float_rows(file, node.name, points != nullptr ? *points : npz.at(node.name), holder);
}

template <class T>
NpyArray dense_array(const TensorView& view) {
  const Matrix<const T> m = view.matrix<const T>();
  std::vector<T> values;
  values.reserve(static_cast<std::size_t>(view.rows * view.cols));
  for (std::int64_t r = 0; r < m.rows; ++r) values.insert(values.end(), m.row(r), m.row(r) + m.cols);
  std::vector<std::int64_t> shape{view.rows, view.cols};
  // One number per row (labels, row indices) is a vector.
  if (view.dtype != Dtype::f32 && view.cols == 1) shape.pop_back();
  return NpyArray::of<T>(shape, values);
}

NpyArray to_array(const std::string& name, const TensorView& view) {
  switch (view.dtype) {
    case Dtype::f32:
      return dense_array<float>(view);
    case Dtype::f64:
      return dense_array<double>(view);
    case Dtype::u8:
      return dense_array<std::uint8_t>(view);
    case Dtype::i8:
      return dense_array<std::int8_t>(view);
    case Dtype::i32:
      return dense_array<std::int32_t>(view);
    case Dtype::i64:
      return dense_array<std::int64_t>(view);
    default:
      fail<UnsupportedError>("output '{}' has elements of type {}, which .npz files do not get yet", name,
                             rarefy::name(view.dtype));
  }
}

void report(const Options& o, const Session& session, const Json& outputs) {
  const RunStatistics& s = session.statistics();
  if (o.json) {
    Json json = {
        {"ms", {{"voxelize", s.voxelize_ms}, {"maps", s.maps_ms}, {"network", s.network_ms}, {"total", s.total_ms}}},
        {"macs", s.macs},
        {"outputs", outputs}};
    if (o.profile) json["profile"] = profile_json(session.profile());
    return print_json(json);
  }
  print("{:.3f} ms, {:.3f} M multiply-adds\n", s.total_ms, static_cast<double>(s.macs) / 1e6);
  for (const auto& [name, shape] : outputs.items()) print("  {}: {}\n", name, shape.get<std::string>());
  if (!o.profile) return;
  print("{:<28} {:<34} {:<10} {:>9} {:>9} {:>8} {:>9}\n", "step", "op", "kernel", "rows", "pairs", "GFLOP/s", "ms");
  for (const StepProfile& step : session.profile()) {
    print("{:<28} {:<34} {:<10} {:>9} {:>9} {:>8.1f} {:>9.3f}{}\n", step.name, step.op, step.variant, step.rows,
          step.pairs, step.ms > 0 ? 2e-6 * static_cast<double>(step.macs) / step.ms : 0.0, step.ms,
          step.note.empty() ? "" : "  " + step.note);
  }
}

void run_graph(const Options& o) {
  const Model model = Model::load(o.model);
  const NpzFile npz = NpzFile::read(o.input);
  Holder holder;
  holder.floats.reserve(model.graph().inputs().size() * 2);
  holder.integers.reserve(model.graph().inputs().size());
  Inputs inputs;
  for (const std::int32_t i : model.graph().inputs()) {
    const Node& node = model.graph().nodes()[static_cast<std::size_t>(i)];
    inputs.emplace_back(node.name, make_input(model.graph(), node, npz, o.input, holder));
  }
  Session session(model, {.threads = threads_or_all(o.threads)});
  const Outputs& outputs = session.run(inputs, {.stop = interrupt_token(), .strict = o.strict});
  NpzFile result;
  Json listed;
  const auto keep = [&](const std::string& name, NpyArray array) {
    listed[name] = array.describe();
    result.set(name, std::move(array));
  };
  for (const Outputs::Entry& entry : outputs.all()) {
    if (entry.coords != nullptr) {
      keep(entry.name + ".coords", to_array(entry.name, outputs.coords(entry.name)));
      keep(entry.name + ".features", to_array(entry.name, entry.view));
    } else {
      keep(entry.name, to_array(entry.name, entry.view));
    }
  }
  if (!o.output.empty()) result.write(o.output);
  report(o, session, listed);
}

}  // namespace

void run(CLI::App& command) {
  command.description("Execute any graph on arrays of an .npz file");
  set_examples(
      command,
      "  rarefy run model.safetensors --input in.npz --output out.npz\n"
      "  rarefy run model.safetensors --input in.npz --profile      where the time goes\n\n"
      "A sparse tensor is NAME.coords int32 [N, 1+D] (batch first) and NAME.features float32 [N, C]; points are\n"
      "NAME.points or NAME, float32 [P, C]. Outputs likewise; labels are uint8.\n");
  auto o = std::make_shared<Options>();
  command.add_option("MODEL", o->model, "Model file")->required();
  command.add_option("--input", o->input, "Arrays of all inputs (.npz)")->required();
  command.add_option("--output", o->output, "Where the arrays of all outputs go (.npz)");
  command.add_flag("--strict", o->strict, "Points that are NaN, infinite or out of range are an error");
  command.add_flag("--profile", o->profile, "Time and rate of every step");
  add_json(command, o->json);
  add_threads(command, o->threads);
  command.callback([o] { run_graph(*o); });
}

}  // namespace rarefy::cli::commands
