#pragma once
/// A run's profile as the programs print it with --json; the fields are documented in docs/cli.md.
#include <nlohmann/json.hpp>
#include <vector>

#include "rarefy/session.h"

namespace rarefy::cli {

/// One object per step, in the order in which the steps ran.
nlohmann::ordered_json profile_json(const std::vector<StepProfile>& profile);

}  // namespace rarefy::cli
