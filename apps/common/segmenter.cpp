#include "common/segmenter.h"

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "common/interrupt.h"

namespace rarefy::cli {

Model load_segmenter(const std::string& path) {
  Model model = Model::load(path);
  RAREFY_CHECK(
      model.pipeline().has_value(), UnsupportedError,
      "{}: has no pipeline record, so nothing says what its input and classes mean; `rarefy run` executes any graph",
      path);
  bool labels = false, points = false;
  for (const GraphOutput& output : model.graph().outputs()) labels = labels || output.name == "labels";
  for (const std::int32_t input : model.graph().inputs()) {
    points = points || model.graph().nodes()[static_cast<std::size_t>(input)].name == "points";
  }
  RAREFY_CHECK(labels && points, UnsupportedError,
               "{}: is no segmentation model: it has no {} (`rarefy inspect {}` shows what it has)", path,
               points ? "output 'labels'" : "input 'points'", path);
  return model;
}

void interleave(const Scan& scan, std::vector<float>& rows) {
  rows.resize(4 * scan.intensity.size());
  for (std::size_t i = 0; i < scan.intensity.size(); ++i) {
    for (std::size_t axis = 0; axis < 3; ++axis) rows[4 * i + axis] = scan.xyz[3 * i + axis];
    rows[4 * i + 3] = scan.intensity[i];
  }
}

PointView view_of(const Scan& scan, const std::vector<float>& rows) {
  if (scan.intensity.empty()) return {.data = scan.xyz.data(), .count = scan.size(), .stride_bytes = 12};
  return {.data = rows.data(),
          .count = scan.size(),
          .stride_bytes = 16,
          .fields = {.x = 0, .y = 4, .z = 8, .intensity = 12}};
}

PlanOptions plan_of(const PlanChoice& choice) {
  PlanOptions plan;
  if (!choice.tuning.empty()) plan.tuning = std::make_shared<Tuning>(Tuning::load(choice.tuning));
  if (choice.device == "cuda") plan.device = Device::cuda;
  if (!choice.precision.empty()) plan.precision = precision_named(choice.precision);
  return plan;
}

nlohmann::ordered_json machine_json(const PlanChoice& choice) {
  nlohmann::ordered_json json = {{"cpu", cpu::model_name()}};
  if (choice.device == "cpu") {
    json["isa"] = cpu::name(cpu::allowed_isa());
    return json;
  }
  const std::vector<GpuInfo> found = gpus();
  json["gpu"] = found.empty() ? "" : found.front().name;
  json["precision"] = choice.precision.empty() ? "fp16" : choice.precision;
  return json;
}

Segmenter::Segmenter(const std::string& model_path, int threads, const PlanChoice& plan)
    : path_(model_path),
      model_(load_segmenter(model_path)),
      threads_(threads),
      session_(model_, {.threads = threads, .plan = plan_of(plan)}) {}

std::span<const std::uint8_t> Segmenter::run(const Scan& scan, bool strict, const Thinning& thinning) {
  interleave(scan, points_);
  const PointView view = view_of(scan, points_);
  const RunOptions options{.stop = interrupt_token(), .strict = strict, .thinning = thinning};
  return session_.run({{"points", view}}, options)["labels"].as<std::uint8_t>();
}

std::uint32_t Segmenter::raw_id(std::uint8_t label) const {
  const auto& classes = pipeline().classes;
  return label < classes.size() ? static_cast<std::uint32_t>(classes[label].raw_id) : 0;
}

std::vector<std::uint8_t> Segmenter::class_indices(std::span<const std::uint32_t> raw) const {
  std::vector<std::uint8_t> indices(raw.size(), kIgnored);
  if (const LabelMap* map = label_map_of(pipeline())) {
    map->to_training(raw, indices);
    return indices;
  }
  for (std::size_t i = 0; i < raw.size(); ++i) {
    for (std::size_t c = 0; c < pipeline().classes.size(); ++c) {
      if (pipeline().classes[c].raw_id == class_of(raw[i])) indices[i] = static_cast<std::uint8_t>(c);
    }
  }
  return indices;
}

const LabelMap* label_map_of(const Pipeline& pipeline) {
  if (pipeline.label_map.empty()) return nullptr;
  return &label_map(pipeline.label_map);
}

}  // namespace rarefy::cli
