#pragma once
/// Scores of a model on labelled scans, through the runtime: what is measured is what ships.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/metrics/confusion.h"
#include "data/sets/data_set.h"
#include "rarefy/executor.h"
#include "rarefy/model.h"

namespace rarefy::train {

struct Evaluation {
  ConfusionMatrix pooled;
  std::int64_t scans = 0;
};

/// The label map that a pipeline names. @throws UsageError listing the known ones.
const LabelMap& label_map_of(const Pipeline& pipeline);

/// Runs the model on up to `most` scans, evenly chosen; scores count points.
/// @param stop  asked between scans; true ends the evaluation early (may be empty)
/// @throws UsageError without a pipeline
Evaluation evaluate(const Model& model, const std::vector<ScanSource>& sources, std::int64_t most, Executor& executor,
                    const std::function<bool()>& stop = {});

}  // namespace rarefy::train
