#pragma once
/// Every .cpp file of this folder defines sets::<stem>(): the build writes the list into data_set_list.inc.
#include "data/sets/data_set.h"

namespace rarefy::sets {
#define RAREFY_DATA_SET(stem) DataSet stem();
#include "data_set_list.inc"
#undef RAREFY_DATA_SET
}  // namespace rarefy::sets
