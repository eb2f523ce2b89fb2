#pragma once
/// Every .cpp file of this folder defines formats::<stem>(): the build writes the list into format_list.inc.
#include "data/formats/formats.h"

namespace rarefy::formats {
#define RAREFY_FORMAT(stem) ScanFormat stem();
#include "format_list.inc"
#undef RAREFY_FORMAT
}  // namespace rarefy::formats
