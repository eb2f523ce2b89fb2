#include "train/evaluate.h"

#include <algorithm>

#include "base/check.h"
#include "rarefy/session.h"

namespace rarefy::train {

const LabelMap& label_map_of(const Pipeline& pipeline) { return label_map(pipeline.label_map); }

Evaluation evaluate(const Model& model, const std::vector<ScanSource>& sources, std::int64_t most, Executor& executor,
                    const std::function<bool()>& stop) {
  RAREFY_CHECK(model.pipeline().has_value(), UsageError,
               "the model has no pipeline record: it does not say how to read scans");
  const LabelMap& map = label_map_of(*model.pipeline());
  Evaluation result{ConfusionMatrix(map.classes()), 0};
  Session session(model, {.executor = &executor});
  const std::string input = model.graph().nodes()[static_cast<std::size_t>(model.graph().inputs()[0])].name;
  std::int64_t total = 0;
  for (const ScanSource& source : sources) total += source.size();
  const std::int64_t take = std::min(most, total);
  for (std::int64_t i = 0; i < take && !(stop && stop()); ++i) {
    std::int64_t index = i * total / take;
    const ScanSource* source = sources.data();
    while (index >= source->size()) index -= (source++)->size();
    const Sample sample = source->load_sample(index, map);
    std::vector<float> points(static_cast<std::size_t>(4 * std::max<std::int64_t>(1, sample.size())));
    for (std::size_t p = 0; p < sample.labels.size(); ++p) {
      std::copy_n(sample.xyz.data() + 3 * p, 3, points.data() + 4 * p);
      points[4 * p + 3] = sample.intensity[p];
    }
    const PointView view{points.data(), sample.size(), 16, {0, 4, 8, sample.has_intensity ? 12 : -1}, {}};
    result.pooled.add(sample.labels, session.run({{input, view}})["labels"].as<std::uint8_t>());
    ++result.scans;
  }
  return result;
}

}  // namespace rarefy::train
