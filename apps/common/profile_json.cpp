#include "common/profile_json.h"

namespace rarefy::cli {

nlohmann::ordered_json profile_json(const std::vector<StepProfile>& profile) {
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  for (const StepProfile& s : profile) {
    steps.push_back({{"name", s.name},
                     {"op", s.op},
                     {"kind", s.kind},
                     {"variant", s.variant},
                     {"dataflow", s.dataflow},
                     {"ms", s.ms},
                     {"macs", s.macs},
                     {"rows", s.rows},
                     {"pairs", s.pairs}});
    if (!s.note.empty()) steps.back()["note"] = s.note;
  }
  return steps;
}

}  // namespace rarefy::cli
