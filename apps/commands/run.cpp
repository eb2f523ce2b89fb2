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
#include "measure/array_inputs.h"
#include "rarefy/session.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model, input, output;
  bool json = false, strict = false, profile = false;
  int threads = 0;
};

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
  const ArrayInputs arrays(model.graph(), o.input);
  Session session(model, {.threads = threads_or_all(o.threads)});
  const Outputs& outputs = session.run(arrays.inputs(), {.stop = interrupt_token(), .strict = o.strict});
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
      "NAME.points or NAME, float32 [P, C], as are tokens and pixels; with NAME.begin [B+1], rows where samples begin, "
      "they\n"
      "are a batch. Outputs likewise; labels are uint8.\n");
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
