#pragma once
/// What the projects call the layers of the builder "minkunet".
#include <string>
#include <vector>

namespace rarefy::models::foreign {

/// @param module  ours: "stem.conv1", "down1.conv", "down1.res2.conv1", "down2.res1.shortcut", "up3.conv",
/// "classifier",
///                each of the convolutions also with ".bn"
/// @return        candidates, likeliest first; empty for any other name
std::vector<std::string> spvnas_names(const std::string& module);
std::vector<std::string> mmdet3d_names(const std::string& module);

}  // namespace rarefy::models::foreign
